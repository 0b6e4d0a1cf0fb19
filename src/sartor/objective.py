"""Objective: what the gradient descends."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from sartor.asking import Shape
from sartor.data.rows import Kind, Rows
from sartor.errors import BadInput
from sartor.part import Part

if TYPE_CHECKING:
    from torch import Tensor

    from sartor.batch import Batch
    from sartor.network import Beside, Network
    from sartor.recipe import Plan
    from sartor.task import Task


@dataclass(frozen=True, kw_only=True)
class Objective(Part):
    """What the gradient descends."""

    shelf: ClassVar[str] = "objectives"
    predicts: ClassVar[frozenset[Kind]] = frozenset()
    """The kinds of target it can learn from: those of `Task.reading.predicts`; empty: any."""
    suited: ClassVar[str | None] = None
    """The task to take where the user names none; none: the target's kind decides."""
    learns: ClassVar[Literal["head", "network"]] = "head"
    """What learns from examples before it answers: the head alone, over features that stay, or every weight."""

    @abstractmethod
    def __call__(self, net: Network, task: Task, batch: Batch) -> Tensor:
        """(B,) one loss per example; the loop takes the mean over the whole update."""

    def beside(self, task: Task) -> Beside | None:
        """What it learns besides the network, which then has it as `net.beside`."""
        return None

    def parts(self, task: Task, update: Batch) -> Sequence[Batch]:
        """The rows of an update in groups, where the gradient of each is wanted by itself."""
        return [update]

    def combine(self, gradients: Sequence[Mapping[str, Tensor]], seed: int) -> dict[str, Tensor]:
        """Weight -> its gradient, from those of the groups, whose sum is that of the update; a weight that a group does
        not touch is left out. `seed` is the update's own, the same in every process."""
        raise NotImplementedError(f"{type(self).__name__} wants its gradients apart and does not combine them")

    def facts(self, net: Network, task: Task) -> dict[str, Any]:
        """What a reader of the card should know of how a trained network was weighed, as JSON."""
        return {}

    def suits(self, task: Task) -> None:
        """Raise `BadInput` for a task that it cannot train; most read a batch row by row."""
        if task.asking.shape(task) is not None:
            said = f"{self.name} learns from single rows, and {task.name} is asked in episodes"
            raise BadInput("OBJECTIVE_TASK", said, fix="use --objective prototypes, maml, anil or reptile")

    def taught(self, task: Task, rows: Rows, examples: Batch) -> Batch:
        """The encoded training rows with what it learns from besides their targets; asked once, before training."""
        return examples

    def plan(self, plan: Plan) -> Plan:
        """The plan with what this objective leaves no choice about."""
        return plan

    def groups(self, task: Task, examples: Batch) -> Tensor | None:
        """(N,) the group of each row, where every batch must hold rows of several groups in equal shares; none: a batch
        knows nothing of its rows."""
        return None

    def fits(self, net: Network) -> None:
        """Raise `BadInput` where it cannot train the weights that the method moves."""

    def shape(self, task: Task) -> Shape | None:
        """The episodes it learns from; by default those that the task is asked in."""
        return task.asking.shape(task)

    def adapted(self, net: Network, task: Task, batch: Batch) -> dict[str, Tensor]:
        """Weight -> what learning from the rows of `batch` with a known target makes of it; by default none moves."""
        return {}
