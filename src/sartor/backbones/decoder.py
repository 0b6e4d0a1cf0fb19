"""Any transformers decoder, by folder or hub name: GPT-2 (Radford et al. 2019), Llama (Touvron et al. 2023, arXiv
2302.13971) and their kin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from sartor.backbone import Backbone
from sartor.errors import BadInput

if TYPE_CHECKING:
    from sartor.body import Body
    from sartor.recipe import Plan


@dataclass(frozen=True, kw_only=True)
class Decoder(Backbone):
    """A language model from a folder in the transformers layout, or from the hub's cache by its name."""

    reads: ClassVar[frozenset[str]] = frozenset({"text", "messages"})
    layouts: ClassVar[frozenset[str]] = frozenset({"texts"})

    path: str = ""
    """A folder, or a hub name such as `Qwen/Qwen2.5-0.5B-Instruct`."""
    max_length: int = 512
    """Words that are read at once; longer rows are read in stretches of so many."""

    def __post_init__(self) -> None:
        if not 2 <= self.max_length <= 1 << 20:
            said = f"decoder.max_length is {self.max_length}"
            raise BadInput("VALUE_RANGE", said, fix="give at least 2 and at most 1,048,576")

    def origin(self) -> str:
        return self.path

    def plan(self, plan: Plan) -> Plan:
        """Its head is a part of it, so that there is none to be solved before."""
        return replace(plan, head_start="random")

    def build(self, layout: str, fresh: bool = False) -> Body:
        from sartor.pretrained.decoder import open_decoder
        from sartor.pretrained.place import model_folder

        return open_decoder(model_folder(self.path, self.name), self.max_length, fresh)

    def reopen(self, folder: Path, layout: str) -> Body:
        from sartor.pretrained.decoder import open_decoder

        return open_decoder(folder, self.max_length)
