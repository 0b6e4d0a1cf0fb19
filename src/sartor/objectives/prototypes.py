"""Prototypes: a class is the mean of its examples' features (Snell et al. 2017, arXiv 1703.05175).

    p(class k | x)  ~  exp(-|f(x) - c_k|^2 / temperature)        c_k = mean of f over the examples of class k

By |f - c|^2 = |f|^2 - 2 f c + |c|^2 that is a linear head with weights 2 c_k and biases -|c_k|^2 (section 2.3 there):
learning from examples is setting the head, and the body is trained for what such heads answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from sartor.episodic import require_episodes
from sartor.errors import BadInput
from sartor.objective import Objective

if TYPE_CHECKING:
    from torch import Tensor

    from sartor.asking import Shape
    from sartor.batch import Batch
    from sartor.network import Network
    from sartor.recipe import Plan
    from sartor.task import Task

FAR = -1e9
"""The bias of a class without an example: nothing is near it."""


@dataclass(frozen=True, kw_only=True)
class Prototypes(Objective):
    """The body descends the loss of an episode's questions under the head that its examples make.

    Training with more ways than are asked helps (section 3.1 there)."""

    suited: ClassVar[str | None] = "few_shot"

    ways: int | None = None
    """Classes of a training episode; none: as many as the task asks."""
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.ways is not None and self.ways < 2:
            raise BadInput("VALUE_RANGE", f"prototypes.ways is {self.ways}", fix="give at least 2")
        if not self.temperature > 0:
            said = f"prototypes.temperature is {self.temperature:g}"
            raise BadInput("VALUE_RANGE", said, fix="give more than 0")

    def plan(self, plan: Plan) -> Plan:
        return replace(plan, head_start="random")  # what an output means is learned from an episode's examples

    def suits(self, task: Task) -> None:
        require_episodes(self, task)
        if task.describe()["problem_type"] == "regression":
            fix = "use --objective maml, anil or reptile"
            raise BadInput("OBJECTIVE_TASK", "prototypes tell classes apart, and the target is a number", fix=fix)

    def shape(self, task: Task) -> Shape | None:
        shape = require_episodes(self, task)
        return shape if self.ways is None else replace(shape, ways=self.ways)

    def __call__(self, net: Network, task: Task, batch: Batch) -> Tensor:
        from sartor.engine.episodes import opened

        shape = require_episodes(self, task) if self.ways is None else self.shape(task)
        assert shape is not None and batch.targets is not None
        features: Tensor = net.body(opened(batch)).float()
        features = features.view(len(batch), shape.rows, -1)  # (M, R, D)
        centres = features[:, : shape.support].reshape(len(batch), shape.ways, shape.shots, -1).mean(2)  # (M, W, D)
        asked = features[:, shape.support :]  # (M, Q, D)
        outputs = 2 * asked @ centres.transpose(1, 2) - (centres**2).sum(-1)[:, None]  # (M, Q, W)
        questions = replace(batch, targets=batch.targets[:, shape.support :].reshape(-1))
        losses = task.loss(outputs.flatten(0, 1) / self.temperature, questions)
        return losses.view(len(batch), -1).mean(1)

    def adapted(self, net: Network, task: Task, batch: Batch) -> dict[str, Tensor]:
        import torch

        from sartor.engine.episodes import known
        from sartor.engine.features import features

        examples = known(batch)
        if not len(examples):
            return {}
        assert examples.targets is not None
        found, targets = features(net.body, examples), examples.targets
        classes = max(int(targets.max()) + 1, int(task.describe()["num_labels"]))
        hot = torch.nn.functional.one_hot(targets, classes).float()  # (N, C)
        counts = hot.sum(0)
        centres = hot.T @ found / counts.clamp_min(1)[:, None]  # (C, D)
        bias = torch.where(counts > 0, -(centres**2).sum(-1) / self.temperature, FAR)
        return {"head.weight": 2 * centres / self.temperature, "head.bias": bias}
