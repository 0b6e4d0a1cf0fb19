"""A first-order Markov chain: what followed the last item most often (Shani, Heckerman and Brafman 2005).

    p(j | i) = (n_ij + m q_j) / (n_i + m)        q_j the share of item j in the training part

The strength m of the shares is the one under which the last item of each training user is most probable.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sartor.baseline import Baseline, Fitted, State
from sartor.classical.ranking import Ranking, Trial, lines_of
from sartor.data.items import of_rows
from sartor.data.rows import Kind
from sartor.errors import BadInput
from sartor.predictions import Floats, Integers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy.sparse import csr_array

    from sartor.data.rows import Rows
    from sartor.predictions import Predictions
    from sartor.task import Task

STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


@dataclass(frozen=True, kw_only=True)
class Markov(Baseline):
    """Counts of pairs that followed each other."""

    reads: ClassVar[frozenset[str]] = frozenset({"items"})
    predicts: ClassVar[frozenset[Kind]] = frozenset({"items"})

    strength: float | None = None
    """How many observations the items' shares are worth; none: chosen on the last items of the training users."""

    def __post_init__(self) -> None:
        if self.strength is not None and self.strength <= 0:
            raise BadInput("VALUE_RANGE", f"markov.strength is {self.strength:g}", fix="give a number above 0")

    def fit(self, task: Task, rows: Rows, seed: int = 0) -> Fitted:
        ranking = Ranking.of(task)
        lines = lines_of(ranking, rows)
        return _counted(ranking, lines, self.strength or self._chosen(ranking, lines))

    def restore(self, task: Task, state: State) -> Fitted:
        arrays = {name: np.asarray(state.arrays[name]) for name in ("pairs", "counts", "shares")}
        return FittedMarkov(Ranking.of(task), **arrays, strength=float(state.values["strength"]))

    def _chosen(self, ranking: Ranking, lines: Sequence[Integers]) -> float:
        trial = Trial.of(lines)
        if not len(trial.wanted):
            return 1.0
        known = _counted(ranking, [line[:-1] for line in lines], 1.0)
        last = np.array([line[-1] for line in trial.histories], dtype=np.int64)
        losses = {m: trial.loss(known.logits(last, m)) for m in STRENGTHS}
        return min(losses, key=lambda m: losses[m])


@dataclass(frozen=True)
class FittedMarkov(Fitted):
    """pairs (2, P) items that followed each other, counts (P,) how often, shares (C,) of all items."""

    ranking: Ranking
    pairs: Integers
    counts: Integers
    shares: Floats
    strength: float

    def predict(self, rows: Rows) -> Predictions:
        lines = self.ranking.numbers(of_rows(rows))
        last = np.array([line[-1] if len(line) else -1 for line in lines], dtype=np.int64)
        return self.ranking.answers(rows, self.logits(last, self.strength))

    def state(self) -> State:
        arrays: dict[str, Any] = {"pairs": self.pairs, "counts": self.counts, "shares": self.shares}
        return State({"strength": self.strength}, arrays)

    @functools.cached_property
    def table(self) -> csr_array:
        """(C, C) how often one item followed another."""
        from scipy.sparse import csr_array

        size = len(self.shares)
        return csr_array((self.counts.astype(np.float64), tuple(self.pairs)), shape=(size, size))

    def logits(self, last: Integers, strength: float) -> Floats:
        """(N,) the last item of each user, -1 for none -> (N, C) log p(j | i)."""
        followed = self.table[np.maximum(last, 0)].toarray() * (last >= 0)[:, None]
        out: Floats = np.log((followed + strength * self.shares) / (followed.sum(1, keepdims=True) + strength))
        return out


def _counted(ranking: Ranking, lines: Sequence[Integers], strength: float) -> FittedMarkov:
    size = len(ranking.items)
    empty = np.zeros((2, 0), dtype=np.int64)
    steps = np.concatenate([empty, *(np.stack([line[:-1], line[1:]]) for line in lines if len(line) > 1)], axis=1)
    pairs, counts = np.unique(steps, axis=1, return_counts=True)
    had = np.bincount(np.concatenate([empty[0], *lines]), minlength=size) + 0.5
    return FittedMarkov(ranking, pairs, counts, had / had.sum(), strength)
