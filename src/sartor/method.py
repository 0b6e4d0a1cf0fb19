"""Method: which weights move."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from sartor.part import Part

if TYPE_CHECKING:
    from torch import Tensor

    from sartor.network import Network
    from sartor.recipe import Plan


@dataclass(frozen=True, kw_only=True)
class Method(Part):
    """Which weights move."""

    shelf: ClassVar[str] = "methods"
    learning_rate: ClassVar[float]
    """Its own good default, with a source."""

    @abstractmethod
    def apply(self, net: Network, steps: int) -> None:
        """Freeze and insert; the same call before training and when a bundle's weights are about to be loaded."""

    def plan(self, plan: Plan) -> Plan:
        """The plan with what this method leaves no choice about; fills in its own learning rate where none is given."""
        return plan if plan.learning_rate is not None else replace(plan, learning_rate=self.learning_rate)

    def penalty(self, net: Network) -> Tensor | float:
        """Added to the loss of every step."""
        return 0.0

    def after_step(self, net: Network, step: int) -> None:
        """Called after the optimizer's step, gradients still there."""

    def merge(self, net: Network) -> None:
        """Fold what was inserted into the body; outputs unchanged."""
