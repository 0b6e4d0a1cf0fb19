"""Items like those that a user had last (Sarwar et al. 2001), recent ones counting more.

    score_j = sum_i decay^(items after i) sim_ij        sim_ij = |users of i and j| / sqrt(|users of i| |users of j|)

over the `neighbours` most similar items of each item i. The decay is the one that makes the last item of each training
user most probable; with 1 it is the plain method. Hard to beat where tastes drift (Ludewig and Jannach 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sartor.baseline import Baseline, Fitted, State
from sartor.classical.ranking import Ranking, Trial, lines_of, matrix
from sartor.data.items import of_rows
from sartor.data.rows import Kind
from sartor.errors import BadInput
from sartor.predictions import Integers

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from sartor.data.rows import Rows
    from sartor.predictions import Predictions
    from sartor.task import Task

DECAYS = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)


@dataclass(frozen=True, kw_only=True)
class ItemKNN(Baseline):
    """Cosine similarity of items by the users that had both."""

    reads: ClassVar[frozenset[str]] = frozenset({"items"})
    predicts: ClassVar[frozenset[Kind]] = frozenset({"items"})

    neighbours: int = 200
    """Similar items that are kept of each."""
    decay: float | None = None
    """What an item counts less for each that came after it; none: chosen on the last items of the training users."""

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise BadInput("VALUE_RANGE", f"item_knn.neighbours is {self.neighbours}", fix="give at least 1")
        if self.decay is not None and not 0 < self.decay <= 1:
            raise BadInput("VALUE_RANGE", f"item_knn.decay is {self.decay:g}", fix="give one above 0 and at most 1")

    def fit(self, task: Task, rows: Rows, seed: int = 0) -> Fitted:
        ranking = Ranking.of(task)
        lines = lines_of(ranking, rows)
        size, trial = len(ranking.items), Trial.of(lines)
        shorter = similar([line[:-1] for line in lines], size, self.neighbours)
        tried = {d: trial.scale(_scores(trial.histories, shorter, d)) for d in DECAYS if self.decay in (None, d)}
        if self.decay is not None and not tried:
            tried = {self.decay: trial.scale(_scores(trial.histories, shorter, self.decay))}
        decay = min(tried, key=lambda d: tried[d][1])
        return FittedNeighbours(ranking, similar(lines, size, self.neighbours), decay, tried[decay][0])

    def restore(self, task: Task, state: State) -> Fitted:
        from scipy.sparse import csr_array

        ranking = Ranking.of(task)
        kept = tuple(np.asarray(state.arrays[name]) for name in ("data", "indices", "indptr"))
        sims = csr_array(kept, shape=(len(ranking.items), len(ranking.items)))
        return FittedNeighbours(ranking, sims, float(state.values["decay"]), float(state.values["scale"]))


@dataclass(frozen=True)
class FittedNeighbours(Fitted):
    """sims (C, C), of each row its nearest; scale: what makes scores logits."""

    ranking: Ranking
    sims: Any
    decay: float
    scale: float

    def predict(self, rows: Rows) -> Predictions:
        lines = self.ranking.numbers(of_rows(rows))
        return self.ranking.answers(rows, self.scale * _scores(lines, self.sims, self.decay))

    def state(self) -> State:
        arrays = {"data": self.sims.data, "indices": self.sims.indices, "indptr": self.sims.indptr}
        return State({"decay": self.decay, "scale": self.scale}, arrays)


def similar(lines: Sequence[Integers], items: int, neighbours: int) -> csr_array:
    """(C, C) the cosine of each item with the `neighbours` most similar others."""
    from scipy.sparse import csr_array, diags_array

    had = matrix(lines, items)
    had.data[:] = 1.0
    both = (had.T @ had).tocsr()
    norms = np.sqrt(np.maximum(both.diagonal(), 1.0))
    found = (diags_array(1.0 / norms) @ both @ diags_array(1.0 / norms)).tocsr()
    found.setdiag(0.0)
    found.eliminate_zeros()
    kept: list[Integers] = []
    for start, end in zip(found.indptr[:-1], found.indptr[1:], strict=True):
        order = np.lexsort((found.indices[start:end], -found.data[start:end]))
        kept.append(start + np.sort(order[:neighbours]))
    places = np.concatenate(kept)
    ends = np.append(0, np.cumsum([len(part) for part in kept]))
    return csr_array((found.data[places], found.indices[places], ends), shape=found.shape)


def _scores(lines: Sequence[Integers], sims: csr_array, decay: float) -> Any:
    """(N, C)"""
    return (matrix(lines, sims.shape[0], decay) @ sims).toarray()
