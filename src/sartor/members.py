"""Members: the tasks that a task is made of, and which rows, outputs and answers are each one's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from sartor.batch import Batch
    from sartor.data.rows import Rows
    from sartor.predictions import Predictions
    from sartor.task import Task


@dataclass(frozen=True)
class Share:
    """What one member has of the answers for rows of several."""

    task: Task
    said: Predictions
    rows: Rows


class Members:
    """Those of most tasks: none, for they are one by themselves. Legend: N rows, B batch, C outputs."""

    def tasks(self, task: Task) -> dict[str, Task]:
        """The tasks it is made of, by name."""
        return {}

    def places(self, task: Task, batch: Batch) -> Tensor:
        """(B,) the number of each row's task among them."""
        import torch

        return torch.zeros(len(batch), dtype=torch.long)

    def outputs(self, task: Task) -> dict[str, slice]:
        """Which of the C outputs are each one's."""
        return {}

    def epoch(self, task: Task, examples: Batch, seed: int, epoch: int) -> Tensor:
        """Positions of the examples that an epoch takes, equally many in each: every one once. A function of (seed,
        epoch) alone."""
        import torch

        return torch.arange(len(examples))

    def shares(self, task: Task, said: Predictions, rows: Rows) -> dict[str, Share]:
        """Every member's part of the answers, those left out of which there are no rows."""
        return {}
