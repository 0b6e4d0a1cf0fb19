"""Contrastive tuning for few labelled rows: the whole body, then a head solved on its features.

The idea of SetFit (Tunstall et al. 2022, arXiv 2209.11055) without its list of pairs: see the objective `cosine_pairs`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from sartor.method import Method

if TYPE_CHECKING:
    from sartor.network import Network
    from sartor.recipe import Plan

LEAST_STEPS = 60
"""Updates of few rows: with 8 rows of a class the gain was there after 40 and went no further by 80 (docs/log.md)."""


@dataclass(frozen=True, kw_only=True)
class Contrastive(Method):
    """Every weight of the body moves, by pairs of rows. SetFit's own rate.

    It takes its updates to the end and keeps what it has then: where rows are few, a look at still fewer held-out ones
    says little about when to stop.
    """

    learning_rate: ClassVar[float] = 2e-5
    objective: ClassVar[str] = "cosine_pairs"

    def apply(self, net: Network, steps: int) -> None:
        for weight in net.parameters():
            weight.requires_grad_(True)

    def plan(self, plan: Plan) -> Plan:
        rate = plan.learning_rate or self.learning_rate
        return replace(plan, learning_rate=rate, min_steps=min(plan.min_steps, LEAST_STEPS))

    def final_from(self, steps: int) -> int:
        return steps
