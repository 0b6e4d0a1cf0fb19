"""Reptile: weights towards what training on each small task would make of them (Nichol et al. 2018, arXiv 1803.02999).

    w~ = w after a few steps of gradient descent on one task's rows      the gradient: (w - w~) / inner_learning_rate

With one inner step that is the plain gradient of the task's loss; with more it also brings the gradients of a task's
parts into line. No derivative goes through the inner steps, and examples and questions are learned from alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from sartor.episodic import require_episodes, require_inner, require_whole
from sartor.objective import Objective

if TYPE_CHECKING:
    from torch import Tensor

    from sartor.asking import Shape
    from sartor.batch import Batch
    from sartor.network import Network
    from sartor.recipe import Plan
    from sartor.task import Task


@dataclass(frozen=True, kw_only=True)
class Reptile(Objective):
    """Every weight that the method moves is drawn to where a few steps on an episode's rows lead."""

    suited: ClassVar[str | None] = "few_shot"
    learns: ClassVar[Literal["head", "network"]] = "network"

    inner_steps: int = 5
    inner_learning_rate: float = 0.1
    inner_batch: int | None = None
    """Rows of an inner step, each time others of the episode; none: as many as it has examples."""
    answer_steps: int | None = None
    """Steps on the examples before answering; none: as many as in training."""

    def __post_init__(self) -> None:
        steps = {"inner_steps": self.inner_steps, "inner_batch": self.inner_batch, "answer_steps": self.answer_steps}
        require_inner(self, self.inner_learning_rate, **steps)

    def plan(self, plan: Plan) -> Plan:
        return replace(plan, head_start="random")  # what an output means is learned from an episode's examples

    def suits(self, task: Task) -> None:
        require_episodes(self, task)

    def fits(self, net: Network) -> None:
        require_whole(self, net)

    def __call__(self, net: Network, task: Task, batch: Batch) -> Tensor:
        import torch

        from sartor.engine.inner import Slope, descended, loss_of, over_episodes, plain

        shape, rate = require_episodes(self, task), self.inner_learning_rate

        def one(rows: Batch, slope: Slope) -> Tensor:
            start = net.trainable()
            weights: dict[str, Tensor] = dict(start)
            for step in range(self.inner_steps):
                part = rows.take(self._part(shape, step))
                weights = descended(loss_of(net, task, part), weights, [rate], False, slope)
            towards = torch.stack([((start[n] - w).detach() / rate * start[n]).sum() for n, w in weights.items()]).sum()
            shown = loss_of(net, task, rows)({name: w.detach() for name, w in start.items()})
            return shown + towards - towards.detach()  # its value is the loss before, its gradient (w - w~) / rate

        with plain(net, second=False):
            return over_episodes(net, batch, one)

    def adapted(self, net: Network, task: Task, batch: Batch) -> dict[str, Tensor]:
        from sartor.engine.inner import learned

        steps = self.answer_steps or self.inner_steps
        return learned(net, task, batch, net.trainable(), [self.inner_learning_rate] * steps)

    def _part(self, shape: Shape, step: int) -> Tensor:
        """The places of an inner step's rows: round and round through the episode, one row of each class in turn."""
        import torch

        examples = torch.arange(shape.support).view(shape.ways, -1).T.reshape(-1)
        questions = torch.arange(shape.support, shape.rows).view(shape.ways, -1).T.reshape(-1)
        size = self.inner_batch or shape.support
        return torch.cat([examples, questions])[(step * size + torch.arange(size)) % shape.rows]
