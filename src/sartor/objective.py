"""Objective: what the gradient descends."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sartor.asking import Shape
from sartor.errors import BadInput
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
    suited: ClassVar[str | None] = None
    """The task to take where the user names none; none: the target's kind decides."""

    @abstractmethod
    def __call__(self, net: Network, task: Task, batch: Batch) -> Tensor:
        """(B,) one loss per example; the loop takes the mean over the whole update."""

    def suits(self, task: Task) -> None:
        """Raise `BadInput` for a task that it cannot train; most read a batch row by row."""
        if task.asking.shape(task) is not None:
            said = f"{self.name} learns from single rows, and {task.name} is asked in episodes"
            raise BadInput("OBJECTIVE_TASK", said, fix="use --objective prototypes, maml, anil or reptile")

    def plan(self, plan: Plan) -> Plan:
        """The plan with what this objective leaves no choice about."""
        return plan

    def fits(self, net: Network) -> None:
        """Raise `BadInput` where it cannot train the weights that the method moves."""

    def shape(self, task: Task) -> Shape | None:
        """The episodes it learns from; by default those that the task is asked in."""
        return task.asking.shape(task)

    def adapted(self, net: Network, task: Task, batch: Batch) -> dict[str, Tensor]:
        """Weight -> what learning from the rows of `batch` with a known target makes of it; by default none moves."""
        return {}
