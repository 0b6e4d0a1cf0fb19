"""EASE: one linear model of all items from all items, in closed form (Steck 2019, arXiv 1905.03375).

    P = (X^T X + l2 I)^-1        B_ij = -P_ij / P_jj, B_jj = 0        score = x B

It knows what users had and not in which order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from sartor.baseline import Baseline, Fitted, State
from sartor.classical.ranking import Ranking, Trial, lines_of, matrix
from sartor.data.items import of_rows
from sartor.data.rows import Kind
from sartor.errors import BadInput
from sartor.predictions import Floats, Integers

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.predictions import Predictions
    from sartor.task import Task

MOST = 15_000
"""Items: their square lies in memory several times in 64 bits, and is inverted."""


@dataclass(frozen=True, kw_only=True)
class Ease(Baseline):
    """Ridge regression of each item on all others."""

    reads: ClassVar[frozenset[str]] = frozenset({"items"})
    predicts: ClassVar[frozenset[Kind]] = frozenset({"items"})

    l2: float = 100.0
    """The penalty."""

    def __post_init__(self) -> None:
        if self.l2 <= 0:
            raise BadInput("VALUE_RANGE", f"ease.l2 is {self.l2:g}", fix="give a number above 0")

    def fit(self, task: Task, rows: Rows, seed: int = 0) -> Fitted:
        ranking = Ranking.of(task)
        size = len(ranking.items)
        if size > MOST:
            said = f"ease inverts a matrix of all {size:,} items, and takes at most {MOST:,}"
            raise BadInput("EASE_ITEMS", said, fix="leave it out, or take item_knn", where=rows.source)
        lines = lines_of(ranking, rows)
        trial = Trial.of(lines)
        shorter = weights([line[:-1] for line in lines], size, self.l2)
        scale, _ = trial.scale(matrix(trial.histories, size) @ shorter)
        return FittedEase(ranking, weights(lines, size, self.l2).astype(np.float32), scale)

    def restore(self, task: Task, state: State) -> Fitted:
        found = np.asarray(state.arrays["weights"], dtype=np.float32)
        return FittedEase(Ranking.of(task), found, float(state.values["scale"]))


@dataclass(frozen=True)
class FittedEase(Fitted):
    """weights (C, C); scale: what makes scores logits."""

    ranking: Ranking
    weights: NDArray[np.float32]
    scale: float

    def predict(self, rows: Rows) -> Predictions:
        had = matrix(self.ranking.numbers(of_rows(rows)), len(self.ranking.items)).astype(np.float32)
        return self.ranking.answers(rows, np.asarray(had @ self.weights, dtype=np.float64) * self.scale)

    def state(self) -> State:
        return State({"scale": self.scale}, {"weights": self.weights})


def weights(lines: Sequence[Integers], items: int, l2: float) -> Floats:
    """(C, C) B of the formula, in 64 bits."""
    had = matrix(lines, items)
    had.data[:] = 1.0
    gram = (had.T @ had).toarray()
    gram[np.diag_indices(items)] += l2
    inverse = np.linalg.inv(gram)
    found: Floats = inverse / -np.diag(inverse)
    found[np.diag_indices(items)] = 0.0
    return found
