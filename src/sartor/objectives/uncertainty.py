"""Tasks weighed by their own uncertainty (Kendall, Gal and Cipolla 2018, arXiv 1705.07115).

loss of a row of task k  =  exp(-s_k) l + s_k / 2        s_k = log sigma_k^2, learned beside the network

A task that stays hard gets a large sigma and counts for less; s_k / 2 keeps sigma from growing without end. Where s_k
is at its optimum the task counts 1 / (2 L_k), L_k its mean loss. The paper halves the first term for Gaussian
likelihoods: that moves s_k by log 2 and leaves this weight as it is, so every task has the same form here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from sartor import part as parts
from sartor.errors import BadInput
from sartor.objective import Objective

if TYPE_CHECKING:
    from torch import Tensor

    from sartor.batch import Batch
    from sartor.network import Beside, Network
    from sartor.task import Task


@dataclass(frozen=True, kw_only=True)
class Uncertainty(Objective):
    """Every task's loss by a weight that is learned. `learning_rate` is that of the s_k: at the rate of a pretrained
    body they would not move within a run."""

    of: Objective = field(default_factory=lambda: cast(Objective, parts.part("objectives", "supervised")))
    """The objective that is weighed."""
    learning_rate: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < 10:
            message = f"uncertainty.learning_rate is {self.learning_rate:g}"
            raise BadInput("VALUE_RANGE", message, fix="give one between 0 and 10")

    def beside(self, task: Task) -> Beside:
        import torch

        from sartor.network import Beside

        return Beside(torch.zeros(max(1, len(task.members.tasks(task)))), self.learning_rate)

    def __call__(self, net: Network, task: Task, batch: Batch) -> Tensor:
        assert net.beside is not None
        losses = self.of(net, task, batch)
        s = net.beside(task.members.places(task, batch).to(losses.device))
        weighed: Tensor = (-s).exp() * losses + s / 2
        return weighed

    def facts(self, net: Network, task: Task) -> dict[str, Any]:
        assert net.beside is not None
        weights = (-net.beside.values.detach()).exp().tolist()
        return {"weights": dict(zip(task.members.tasks(task) or [task.name], weights, strict=True))}
