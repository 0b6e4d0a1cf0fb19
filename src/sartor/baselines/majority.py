"""The answer that needs no input: the most frequent label, or the mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sartor.baseline import Baseline, Fitted, State
from sartor.classical.targets import Target
from sartor.data.rows import Kind
from sartor.predictions import Floats, Predictions

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.task import Task


@dataclass(frozen=True, kw_only=True)
class Majority(Baseline):
    """Says the same for every row: the training rows' frequencies of the labels, or the mean of their numbers; of
    tokens that they are in no span."""

    predicts: ClassVar[frozenset[Kind]] = Baseline.predicts | {"tags"}

    def fit(self, task: Task, rows: Rows, seed: int = 0) -> Fitted:
        target = Target.of(task)
        return Constant(target, np.atleast_1d(target.known(rows).mean(0)))

    def restore(self, task: Task, state: State) -> Fitted:
        return Constant(Target.of(task), np.asarray(state.arrays["answer"], dtype=np.float64))


@dataclass(frozen=True)
class Constant(Fitted):
    """`answer`: (C,) frequencies, or (1,) a number."""

    target: Target
    answer: Floats

    def predict(self, rows: Rows) -> Predictions:
        everywhere = np.tile(self.answer, (self.target.count(rows), 1))
        return self.target.answers(rows, everywhere[:, 0] if self.target.number else everywhere)

    def state(self) -> State:
        return State({}, {"answer": self.answer})
