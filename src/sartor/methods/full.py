"""Full fine-tuning: every weight moves (Devlin et al. 2019, arXiv 1810.04805).

Depth is counted from the head, which has 0: the last of n blocks has 1, the first n, what stands before it n + 1.

    rate of depth d      lr · layer_decay^d          (Clark et al. 2020, ELECTRA, arXiv 2003.10555; counted as in BEiT,
                                                     Bao et al. 2021, arXiv 2106.08254)
    depth d moves from   d / (m + 1) · unfreeze_ratio · steps on, m the depth of what moves last
                                                     (gradual unfreezing: Howard and Ruder 2018, arXiv 1801.06146)
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sartor.errors import BadInput
from sartor.method import Method

if TYPE_CHECKING:
    from sartor.network import Network


@dataclass(frozen=True, kw_only=True)
class Full(Method):
    """Every weight moves. The upper end of BERT's rates (2e-5 to 5e-5): from a solved head, higher ones lost."""

    learning_rate: ClassVar[float] = 5e-5

    layer_decay: float = 1.0
    """Each block's rate as a share of that of the block behind it; 1: one rate for all."""
    unfreeze_ratio: float = 0.0
    """Share of the steps that is cut into equal stages: in the first the head moves alone, in each that follows one
    block more from the top, in the last everything. 0: everything from the start."""
    last: int | None = None
    """Only the last so many blocks and the head; what is before them is then computed once a row."""

    def __post_init__(self) -> None:
        if not 0 < self.layer_decay <= 1:
            fix = "give one above 0 and at most 1"
            raise BadInput("VALUE_RANGE", f"full.layer_decay is {self.layer_decay:g}", fix=fix)
        if not 0 <= self.unfreeze_ratio <= 1:
            fix = "give one from 0 to 1"
            raise BadInput("VALUE_RANGE", f"full.unfreeze_ratio is {self.unfreeze_ratio:g}", fix=fix)
        if self.last is not None and self.last < 1:
            raise BadInput("VALUE_RANGE", f"full.last is {self.last}", fix="give at least 1")

    def apply(self, net: Network, steps: int) -> None:
        blocks = len(net.body.blocks())
        if not blocks and (self.layer_decay < 1 or self.unfreeze_ratio):
            fix = "leave layer_decay and unfreeze_ratio out"
            raise BadInput("FULL_BLOCKS", "this network has no blocks to tell apart by their depth", fix=fix)
        if self.last is not None and self.last > blocks:
            fix = f"give at most {blocks}" if blocks else "leave full.last out"
            raise BadInput("FULL_LAST", f"full.last is {self.last} and the network has {blocks} blocks", fix=fix)
        deep = depths(net)
        for name, weight in net.named_parameters():
            weight.requires_grad_(self.last is None or deep.get(name, 0) <= self.last)

    def rates(self, net: Network) -> Mapping[str, float]:
        if self.layer_decay == 1:
            return {}
        return {name: self.layer_decay**depth for name, depth in depths(net).items()}

    def resting(self, net: Network, step: int, steps: int) -> Collection[str]:
        end = self.unfreeze_ratio * steps
        if step >= end:
            return ()
        deepest = len(net.body.blocks()) + 1 if self.last is None else self.last
        moving = math.floor(step / end * (deepest + 1))
        return {name for name, depth in depths(net).items() if depth > moving}


def depths(net: Network) -> dict[str, int]:
    """Name -> depth, for every weight of the body. Tables of embeddings count as what stands before the blocks wherever
    they are; any other weight behind the blocks (a last norm, a pooler) counts as the head does."""
    from torch import nn

    blocks = net.body.blocks()
    inside = {id(w): len(blocks) - i for i, block in enumerate(blocks) for w in block.parameters()}
    tables = {id(m.weight) for m in net.body.modules() if isinstance(m, nn.Embedding)}
    found, before = {}, True
    for name, weight in net.body.named_parameters():
        before = before and id(weight) not in inside
        outside = len(blocks) + 1 if before or id(weight) in tables else 0
        found[f"body.{name}"] = inside.get(id(weight), outside)
    return found
