"""Networks over what users did, drawn anew: SASRec (Kang and McAuley 2018, arXiv 1808.09781) and BERT4Rec (Sun et al.
2019, arXiv 1904.06690).

SASRec learns from every position of a history, with the full softmax over all items in place of one negative: the loss
alone decides which of the two is better (Klenitskiy and Vasilev 2023, arXiv 2309.07602).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from sartor.backbone import Backbone, anew
from sartor.data.items import catalogue
from sartor.errors import BadInput
from sartor.part import learned

if TYPE_CHECKING:
    from sartor.body import Body
    from sartor.data.rows import Rows
    from sartor.recipe import Plan

SEED = 20_180_820
"""Weights that are drawn are the same everywhere: a name and a catalogue are one network."""
EPOCHS = {"sasrec": 50.0, "bert4rec": 150.0}
"""BERT4Rec learns from fewer positions at a time, and takes about three times as long (arXiv 2309.07602)."""


@dataclass(frozen=True, kw_only=True)
class Items(Backbone):
    """A transformer over the items of a user, oldest first; its output is tied to its table of items."""

    reads: ClassVar[frozenset[str]] = frozenset({"items"})
    layouts: ClassVar[frozenset[str]] = frozenset({"items"})

    kind: Literal["sasrec", "bert4rec"] = "sasrec"
    """Whether a position sees what came before it, or both sides of a masked item."""
    width: int = 64
    layers: int = 2
    heads: int = 2
    max_length: int = 200
    """The last so many items of a user are read."""
    dropout: float = 0.3
    mask_share: float = 0.2
    """Of a training row's items, for bert4rec; its last item is always masked besides."""
    learning_rate: float = 1e-3
    """Where the plan has none."""
    items: tuple[str, ...] = learned(())
    """The items of the training part."""

    def __post_init__(self) -> None:
        for name, low in {"width": 2, "layers": 1, "heads": 1, "max_length": 2}.items():
            if getattr(self, name) < low:
                said = f"items.{name} is {getattr(self, name)}"
                raise BadInput("VALUE_RANGE", said, fix=f"give at least {low}")
        for name in ("dropout", "mask_share"):
            if not 0 <= getattr(self, name) < 1:
                said = f"items.{name} is {getattr(self, name):g}"
                raise BadInput("VALUE_RANGE", said, fix="give at least 0 and below 1")
        if self.width % self.heads:
            said = f"items.width is {self.width}, which {self.heads} heads do not divide"
            raise BadInput("VALUE_RANGE", said, fix="give a multiple of the heads")

    def learn(self, rows: Rows) -> Self:
        return self.with_settings(items=catalogue(rows))

    def plan(self, plan: Plan) -> Plan:
        """Products this small gain nothing in 16 bits."""
        made = anew(plan, self.learning_rate, EPOCHS[self.kind])
        return replace(made, precision="fp32") if made.precision == "auto" else made

    def build(self, layout: str, fresh: bool = False) -> Body:
        from sartor.pretrained.items import causal, masked

        drawn = causal if self.kind == "sasrec" else masked
        return drawn(self.settings(), self.items, self.max_length, None if fresh else SEED)

    def reopen(self, folder: Path, layout: str) -> Body:
        from sartor.pretrained.items import reopened

        share = self.mask_share if self.kind == "bert4rec" else None
        return reopened(folder, self.items, self.max_length, share)
