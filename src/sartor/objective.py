"""Objective: what the gradient descends."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sartor.data.rows import Kind
from sartor.part import Part

if TYPE_CHECKING:
    from torch import Tensor

    from sartor.batch import Batch
    from sartor.network import Network
    from sartor.recipe import Plan
    from sartor.task import Task


@dataclass(frozen=True, kw_only=True)
class Objective(Part):
    """What the gradient descends."""

    shelf: ClassVar[str] = "objectives"
    predicts: ClassVar[frozenset[Kind]] = frozenset()
    """The kinds of target it can learn from: those of `Task.reading.predicts`; empty: any."""

    @abstractmethod
    def __call__(self, net: Network, task: Task, batch: Batch) -> Tensor:
        """(B,) one loss per example; the loop takes the mean over the whole update."""

    def plan(self, plan: Plan) -> Plan:
        """The plan with what this objective leaves no choice about."""
        return plan

    def groups(self, task: Task, examples: Batch) -> Tensor | None:
        """(N,) the group of each row, where every batch must hold rows of several groups in equal shares; none: a batch
        knows nothing of its rows."""
        return None
