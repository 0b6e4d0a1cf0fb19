"""Contrastive tuning for few labelled rows: the whole body, then a head solved on its features.

The idea of SetFit (Tunstall et al. 2022, arXiv 2209.11055) without its list of pairs, which grows as the square of the
rows: a batch of B rows, equally many of each class, is B (B - 1) pairs for B forward passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sartor.method import Method

if TYPE_CHECKING:
    from sartor.network import Network


@dataclass(frozen=True, kw_only=True)
class Contrastive(Method):
    """Every weight of the body moves, by the objective `supervised_contrastive`."""

    learning_rate: ClassVar[float] = 5e-5
    objective: ClassVar[str] = "supervised_contrastive"

    def apply(self, net: Network, steps: int) -> None:
        for weight in net.parameters():
            weight.requires_grad_(True)
