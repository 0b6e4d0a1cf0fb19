"""Linear probing: a head on frozen features, fitted to its optimum (Alain and Bengio 2016, arXiv 1610.01644)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from sartor.method import Method

if TYPE_CHECKING:
    from sartor.network import Network
    from sartor.recipe import Plan


@dataclass(frozen=True, kw_only=True)
class Probe(Method):
    """Only the head, in closed form or by L-BFGS on cached features: the plan's head start and no step after it."""

    learning_rate: ClassVar[float] = 1e-3

    def apply(self, net: Network, steps: int) -> None:
        for weight in net.body.parameters():
            weight.requires_grad_(False)

    def plan(self, plan: Plan) -> Plan:
        return replace(plan, max_steps=0, head_start="solved", learning_rate=plan.learning_rate or self.learning_rate)
