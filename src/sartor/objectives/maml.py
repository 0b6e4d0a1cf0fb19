"""MAML: weights from which a few gradient steps on a few examples go far (Finn et al. 2017, arXiv 1703.03400).

    w' = w - inner_learning_rate * d loss(w, examples) / d w        min over w of the mean loss(w', questions)

The gradient goes through the inner steps; `first_order` takes their gradients as constants, which the authors found to
lose little, and which needs no second derivative.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from sartor.episodic import require_episodes, require_inner, require_whole
from sartor.objective import Objective

if TYPE_CHECKING:
    from torch import Tensor

    from sartor.batch import Batch
    from sartor.network import Network
    from sartor.recipe import Plan
    from sartor.task import Task


@dataclass(frozen=True, kw_only=True)
class Maml(Objective):
    """Every weight that the method moves learns from an episode's examples; the loss of its questions is descended."""

    suited: ClassVar[str | None] = "few_shot"
    learns: ClassVar[Literal["head", "network"]] = "network"

    inner_steps: int = 1
    inner_learning_rate: float = 0.1
    first_order: bool = False
    answer_steps: int | None = None
    """Inner steps before answering; none: as many as in training."""

    def __post_init__(self) -> None:
        require_inner(self, self.inner_learning_rate, inner_steps=self.inner_steps, answer_steps=self.answer_steps)

    def plan(self, plan: Plan) -> Plan:
        return replace(plan, head_start="random")  # what an output means is learned from an episode's examples

    def suits(self, task: Task) -> None:
        require_episodes(self, task)

    def fits(self, net: Network) -> None:
        require_whole(self, net)

    def __call__(self, net: Network, task: Task, batch: Batch) -> Tensor:
        from sartor.engine.episodes import parted
        from sartor.engine.inner import Slope, descended, loss_of, over_episodes, plain

        shape, second = require_episodes(self, task), not self.first_order

        def one(rows: Batch, slope: Slope) -> Tensor:
            examples, questions = parted(rows, shape)
            rates = [self.inner_learning_rate] * self.inner_steps
            weights = descended(loss_of(net, task, examples), net.trainable(), rates, second, slope)
            return loss_of(net, task, questions)(weights)

        with plain(net, second):
            return over_episodes(net, batch, one)

    def adapted(self, net: Network, task: Task, batch: Batch) -> dict[str, Tensor]:
        from sartor.engine.inner import learned

        steps = self.answer_steps or self.inner_steps
        return learned(net, task, batch, net.trainable(), [self.inner_learning_rate] * steps)
