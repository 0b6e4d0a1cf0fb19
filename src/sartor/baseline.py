"""Baseline: what a large model must beat."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sartor.data.rows import Kind
from sartor.part import Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sartor.data.rows import Rows
    from sartor.predictions import Predictions
    from sartor.task import Task


@dataclass(frozen=True)
class State:
    """Everything a fitted baseline knows, as values that need no pickle: JSON, and arrays for safetensors."""

    values: dict[str, Any]
    arrays: dict[str, NDArray[np.generic]]


class Fitted:
    """A baseline after `fit`. Abstract: each baseline's file has its own."""

    @abstractmethod
    def predict(self, rows: Rows) -> Predictions:
        """Answers for rows with or without targets."""

    @abstractmethod
    def state(self) -> State:
        """What `Baseline.restore` needs."""


@dataclass(frozen=True, kw_only=True)
class Baseline(Part):
    """A candidate that is no fine-tuned network."""

    shelf: ClassVar[str] = "baselines"
    reads: ClassVar[frozenset[str]] = frozenset()
    """The kinds of column it uses; empty: any."""
    predicts: ClassVar[frozenset[Kind]] = frozenset({"category", "boolean", "labels", "number"})
    """The kinds of target it can learn: those of `Task.reading.predicts`."""
    layouts: ClassVar[frozenset[str]] = frozenset({"row", "tokens", "items", "frames", "boxes"})
    """What it answers: see `Task.layout`."""

    def fits(self, kinds: Collection[str]) -> bool:
        """Whether rows whose inputs are of these kinds have what it needs."""
        return not self.reads or bool(self.reads & set(kinds))

    def answers(self, task: Task) -> bool:
        """Whether it can answer what the task asks."""
        return task.layout in self.layouts and bool(self.predicts & task.reading.predicts)

    @abstractmethod
    def fit(self, task: Task, rows: Rows, seed: int = 0) -> Fitted:
        """Learn from the training rows only."""

    @abstractmethod
    def restore(self, task: Task, state: State) -> Fitted:
        """The fitted baseline that `Fitted.state` described; equal predictions."""
