"""The task's own loss against the labels in the data: maximum likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sartor.objective import Objective

if TYPE_CHECKING:
    from torch import Tensor

    from sartor.batch import Batch
    from sartor.network import Network
    from sartor.task import Task


@dataclass(frozen=True, kw_only=True)
class Supervised(Objective):
    """Descend the task's loss."""

    def __call__(self, net: Network, task: Task, batch: Batch) -> Tensor:
        return task.loss(net(batch), batch)
