"""A table's rows as texts "name: value; name: value" for any text encoder (TabLLM: Hegselmann et al. 2023, arXiv
2210.10723): what its columns are called then counts too, and texts among them are read as texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from sartor.backbone import Backbone
from sartor.data.cells import READABLE
from sartor.part import part

if TYPE_CHECKING:
    from sartor.body import Body
    from sartor.recipe import Plan


def _packaged() -> Backbone:
    found = part("backbones", "minilm")
    assert isinstance(found, Backbone)
    return found


@dataclass(frozen=True, kw_only=True)
class RowText(Backbone):
    """A text encoder that reads whole rows."""

    reads: ClassVar[frozenset[str]] = frozenset(READABLE)

    text: Backbone = field(default_factory=_packaged)
    """Which encoder: `row_text:text=encoder:path=FOLDER`."""

    def origin(self) -> str:
        return self.text.origin()

    def plan(self, plan: Plan) -> Plan:
        return self.text.plan(plan)

    def build(self, layout: str, fresh: bool = False) -> Body:
        return _of_rows(self.text.build(layout, fresh))

    def reopen(self, folder: Path, layout: str) -> Body:
        return _of_rows(self.text.reopen(folder, layout))


def _of_rows(body: Body) -> Body:
    """The body, reading rows where it read texts. Raises `BadInput` for one that reads no texts."""
    from sartor.errors import BadInput

    if body.reads != {"text"}:
        said = f"rows are written as texts, and this backbone reads {', '.join(sorted(body.reads))}"
        raise BadInput("ROW_TEXT", said, fix="give a text encoder: row_text:text=minilm")
    body.reads = frozenset({"row"})
    return body
