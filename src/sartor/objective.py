"""Objective: what the gradient descends."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sartor.part import Part

if TYPE_CHECKING:
    from torch import Tensor

    from sartor.batch import Batch
    from sartor.network import Network
    from sartor.task import Task


@dataclass(frozen=True, kw_only=True)
class Objective(Part):
    """What the gradient descends."""

    shelf: ClassVar[str] = "objectives"

    @abstractmethod
    def __call__(self, net: Network, task: Task, batch: Batch) -> Tensor:
        """(B,) one loss per example; the loop takes the mean over the whole update."""
