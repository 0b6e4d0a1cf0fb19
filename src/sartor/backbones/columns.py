"""The columns of a table: an ensemble of small residual networks in one (TabM, Gorishniy et al. 2024, arXiv
2410.24210) over piecewise-linear encodings of numbers (Gorishniy et al. 2022, arXiv 2203.05556), drawn anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from sartor.backbone import Backbone, anew
from sartor.data.inputs import CELLS
from sartor.errors import BadInput
from sartor.part import learned

if TYPE_CHECKING:
    from sartor.body import Body
    from sartor.data.rows import Rows
    from sartor.recipe import Plan

SEED = 20_241_031
"""Weights that are drawn are the same everywhere: a name is one network."""
EPOCHS = 24.0


@dataclass(frozen=True, kw_only=True)
class ColumnsBackbone(Backbone):
    """A network for numbers, categories, truths and dates; it begins as a generalised additive model."""

    reads: ClassVar[frozenset[str]] = frozenset(CELLS)
    library: ClassVar[str] = "sartor"

    width: int = 64
    blocks: int = 2
    members: int = 8
    """Networks in one: all weights are shared but the signs they read a row with."""
    dropout: float = 0.2
    learning_rate: float = 1e-3
    """Where the plan has none."""
    table: Mapping[str, Any] | None = learned(None)
    """What the training rows taught of the columns."""

    def __post_init__(self) -> None:
        for name, most in (("width", 4096), ("blocks", 64), ("members", 256)):
            if not 1 <= getattr(self, name) <= most:
                said = f"columns.{name} is {getattr(self, name)}"
                raise BadInput("VALUE_RANGE", said, fix=f"give at least 1 and at most {most}")
        if not 0 <= self.dropout < 1:
            said = f"columns.dropout is {self.dropout:g}"
            raise BadInput("VALUE_RANGE", said, fix="give at least 0 and below 1")

    def learn(self, rows: Rows) -> Self:
        from sartor.classical.columns import Columns

        return self.with_settings(table=Columns.learn(rows).to_json())

    def plan(self, plan: Plan) -> Plan:
        return anew(plan, self.learning_rate, EPOCHS)

    def build(self, layout: str, fresh: bool = False) -> Body:
        import torch

        from sartor.classical.columns import Columns
        from sartor.pretrained.columns import ColumnsBody

        if self.table is None:
            fix = "give it the training rows first: backbone.learn(rows)"
            raise BadInput("COLUMNS_UNKNOWN", "the network does not know the columns that it reads", fix=fix)
        with torch.random.fork_rng(devices=[], enabled=not fresh):
            if not fresh:
                torch.manual_seed(SEED)
            return ColumnsBody(Columns.from_json(self.table), self.width, self.blocks, self.members, self.dropout)

    def reopen(self, folder: Path, layout: str) -> Body:
        from sartor.pretrained.columns import opened

        return opened(folder)
