"""Knowledge distillation: learn from what a better model says, and from labels (Hinton et al. 2015, arXiv 1503.02531).

    L = soft · T² KL(softmax(t / T) ‖ softmax(s / T)) + (1 - soft) · L_task        s student, t teacher

T² keeps the soft part's gradient as large as it is at T = 1 (section 2). Of several labels each has its own sigmoid in
place of the softmax; of numbers the teacher's stands for the label's. The teacher answers every row once, before
training; it may be any bundle: a larger network, a cascade, a classical model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from sartor.data.rows import Kind
from sartor.errors import BadInput
from sartor.objective import Objective

if TYPE_CHECKING:
    from torch import Tensor

    from sartor.batch import Batch
    from sartor.data.rows import Rows
    from sartor.network import Network
    from sartor.task import Task


@dataclass(frozen=True, kw_only=True)
class Distillation(Objective):
    """Descend the distance to a teacher, and the task's loss."""

    predicts: ClassVar[frozenset[Kind]] = frozenset({"category", "boolean", "labels", "number", "tags"})

    teacher: str = ""
    """The folder of a bundle that was trained on the same target."""
    temperature: float = 2.0
    soft: float = 0.5
    """Share of the teacher; the rest is the labels'."""

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            said = f"distillation.temperature is {self.temperature:g}"
            raise BadInput("VALUE_RANGE", said, fix="give one above 0, such as 2")
        if not 0 < self.soft <= 1:
            said = f"distillation.soft is {self.soft:g}"
            raise BadInput("VALUE_RANGE", said, fix="give one above 0 and at most 1")

    def __call__(self, net: Network, task: Task, batch: Batch) -> Tensor:
        from sartor.engine.recover import by_unit

        said = net(batch)
        taught = by_unit(batch).to(said.device)
        hard = task.loss(said, batch) if self.soft < 1 else 0.0
        return self.soft * self._distance(said, taught, task, batch) + (1 - self.soft) * hard

    def _distance(self, said: Tensor, taught: Tensor, task: Task, batch: Batch) -> Tensor:
        """(B,)"""
        from torch.nn import functional

        kind = task.describe().get("problem_type")
        if kind == "regression":
            return task.loss(said, replace(batch, targets=taught[:, 0]))
        scale = self.temperature**2
        if kind == "multi_label_classification":
            wanted = (taught / self.temperature).sigmoid()
            each = functional.binary_cross_entropy_with_logits(said / self.temperature, wanted, reduction="none")
            return each.mean(-1) * scale
        labels = task.describe()["num_labels"]  # behind them a chain has its steps from label to label
        wanted = functional.log_softmax(taught[:, :labels] / self.temperature, -1)
        given = functional.log_softmax(said[:, :labels] / self.temperature, -1)
        each = functional.kl_div(given, wanted, reduction="none", log_target=True).sum(-1) * scale
        return each if batch.counts is None else batch.summed(each) / batch.counts.clamp_min(1)

    def taught(self, task: Task, rows: Rows, examples: Batch) -> Batch:
        import torch

        from sartor.bundle import Bundle
        from sartor.engine.recover import TAUGHT, by_row

        if not self.teacher:
            fix = "name one: --objective distillation:teacher=runs/large/bundle"
            raise BadInput("TEACHER_NONE", "distillation needs a teacher", fix=fix)
        bundle = Bundle.load(self.teacher)
        if bundle.task.describe() != task.describe():
            fix = "give a teacher that was trained on the same target and labels"
            said = "the teacher does not predict the same thing"
            raise BadInput("TEACHER_TASK", said, fix=fix, where=self.teacher)
        told = bundle.answer(bundle.rows(rows))
        if told.probabilities is None:
            outputs = torch.tensor(told.values.astype(float)[:, None], dtype=torch.float32)
        else:
            p = torch.from_numpy(told.probabilities).clamp(1e-6, 1 - 1e-6)
            several = task.describe().get("problem_type") == "multi_label_classification"
            outputs = (p.logit() if several else p.log()).float()
        return replace(examples, dense={**examples.dense, TAUGHT: by_row(examples, outputs)})
