"""ANIL: MAML whose inner loop moves the head alone (Raghu et al. 2020, arXiv 1909.09157).

    h' = h - inner_learning_rate * d loss(h, features of the examples) / d h        the features stay as they are

The features are computed once for all rows of all episodes, and no second derivative is taken of the body.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from sartor.episodic import require_episodes, require_inner
from sartor.objective import Objective

if TYPE_CHECKING:
    from torch import Tensor

    from sartor.batch import Batch
    from sartor.network import Network
    from sartor.recipe import Plan
    from sartor.task import Task


@dataclass(frozen=True, kw_only=True)
class Anil(Objective):
    """The head learns from an episode's examples; body and head descend the loss of its questions."""

    suited: ClassVar[str | None] = "few_shot"

    inner_steps: int = 5
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

    def __call__(self, net: Network, task: Task, batch: Batch) -> Tensor:
        from sartor.engine.inner import heads_over_episodes

        shape = require_episodes(self, task)
        rates = [self.inner_learning_rate] * self.inner_steps
        return heads_over_episodes(net, task, batch, shape, rates, second=not self.first_order)

    def adapted(self, net: Network, task: Task, batch: Batch) -> dict[str, Tensor]:
        from sartor.engine.inner import learned

        steps = self.answer_steps or self.inner_steps
        moving = {name: w for name, w in net.trainable().items() if name.startswith("head.")}
        return learned(net, task, batch, moving, [self.inner_learning_rate] * steps)
