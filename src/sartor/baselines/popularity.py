"""The items that most users had, the same for everybody: what any recommendation must beat (Dacrema et al. 2019,
arXiv 1907.06902)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sartor.baseline import Baseline, Fitted, State
from sartor.classical.ranking import Ranking, lines_of
from sartor.data.rows import Kind
from sartor.predictions import Floats

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.predictions import Predictions
    from sartor.task import Task


@dataclass(frozen=True, kw_only=True)
class Popularity(Baseline):
    """How often each item was had in the training part, and half a time more."""

    reads: ClassVar[frozenset[str]] = frozenset({"items"})
    predicts: ClassVar[frozenset[Kind]] = frozenset({"items"})

    def fit(self, task: Task, rows: Rows, seed: int = 0) -> Fitted:
        ranking = Ranking.of(task)
        had = np.concatenate([np.zeros(0, dtype=np.int64), *lines_of(ranking, rows)])
        return FittedPopularity(
            ranking, np.asarray(np.bincount(had, minlength=len(ranking.items)) + 0.5, dtype=np.float64)
        )

    def restore(self, task: Task, state: State) -> Fitted:
        return FittedPopularity(Ranking.of(task), np.asarray(state.arrays["counts"], dtype=np.float64))


@dataclass(frozen=True)
class FittedPopularity(Fitted):
    """counts (C,)"""

    ranking: Ranking
    counts: Floats

    def predict(self, rows: Rows) -> Predictions:
        return self.ranking.answers(rows, np.tile(np.log(self.counts), (len(rows), 1)))

    def state(self) -> State:
        return State({}, {"counts": self.counts})
