"""Rankings of items: scores as answers, and how good they are. All items are ranked, never a sample of them: sampled
metrics order models otherwise than full ones do (Krichene and Rendle 2020).

Legend: N rows, C items, k the places that are shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sartor.data.items import of_rows
from sartor.predictions import Floats, Integers, Predictions

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from sartor.data.rows import Rows
    from sartor.task import Task

NOWHERE = np.iinfo(np.int64).max
"""The rank of an item that cannot be answered: no training row has it, or the user had it before."""
FLOOR = 1e-7
"""Probabilities are kept this far from 0 in the log-loss, as everywhere: what 32-bit outputs can tell apart."""
TIES = 20_140_909
"""Draws the order of items that are equally good."""


@dataclass(frozen=True)
class Ranking:
    """The items that can be answered, how many are, and whether what a user had before may come again."""

    items: tuple[str, ...]
    k: int
    repeats: bool

    @classmethod
    def of(cls, task: Task) -> Ranking:
        return cls(getattr(task, "items", ()), getattr(task, "k", 10), getattr(task, "repeats", False))

    def numbers(self, histories: Sequence[Sequence[str]]) -> list[Integers]:
        """Each history as numbers of items, those left out that no training row has."""
        place = self.place()
        return [np.array([place[i] for i in line if i in place], dtype=np.int64) for line in histories]

    def place(self) -> dict[str, int]:
        return {item: number for number, item in enumerate(self.items)}

    def wanted(self, rows: Rows) -> Integers:
        """(N,) the number of the first item that came next; -1 where no training row has it."""
        place = self.place()
        return np.array([place.get(cell[0], -1) if cell else -1 for cell in rows.targets() or ()], dtype=np.int64)

    def answers(self, rows: Rows, scores: Floats) -> Predictions:
        """(N, C) logits -> the first k items of each row, and how probable each item is; 0 for what was had before."""
        masked = np.array(scores, dtype=np.float64)
        if not self.repeats:
            for row, had in zip(masked, self.numbers(of_rows(rows)), strict=True):
                row[had] = -np.inf if len(set(had.tolist())) < len(self.items) else row[had]
        chances = softmax(masked)
        values = np.empty(len(rows), dtype=object)
        values[:] = [tuple(self.items[i] for i in self.first(row)) for row in chances]
        return Predictions(rows.numbers, values, self.items, chances)

    def first(self, chances: Floats) -> Integers:
        """The places of the k most probable items, those of no probability left out."""
        near = np.argpartition(-chances, min(self.k, len(chances) - 1))
        least = chances[near[min(self.k, len(chances)) - 1]]
        able = np.flatnonzero((chances >= least) & (chances > 0))
        order = np.lexsort((drawn(len(chances))[able], -chances[able]))
        found: Integers = able[order][: self.k]
        return found

    def ranks(self, predictions: Predictions, rows: Rows) -> Integers:
        """(N,) the place, from 1, of what came next among all items that could."""
        assert predictions.probabilities is not None
        turn = drawn(len(self.items))
        out = np.full(len(rows), NOWHERE, dtype=np.int64)
        for i, (chances, item) in enumerate(zip(predictions.probabilities, self.wanted(rows), strict=True)):
            if item >= 0 and chances[item] > 0:
                tied = (chances == chances[item]) & (turn < turn[item])
                out[i] = 1 + int((chances > chances[item]).sum()) + int(tied.sum())
        return out

    def losses(self, predictions: Predictions, rows: Rows) -> Floats:
        """(N,) minus the logarithm of the probability of what came next."""
        assert predictions.probabilities is not None
        wanted = self.wanted(rows)
        given = predictions.probabilities[np.arange(len(rows)), np.maximum(wanted, 0)]
        out: Floats = -np.log(np.clip(np.where(wanted >= 0, given, 0.0), FLOOR, 1.0))
        return out


def drawn(count: int) -> Integers:
    """(C,) the turn of each item among equally good ones: neither by name nor by number."""
    return np.random.default_rng(TIES).permutation(count)


def gains(ranks: Integers, k: int) -> dict[str, Floats]:
    """name -> (N,) what each row is worth: whether it is among the first k, its discounted gain there (Järvelin and
    Kekäläinen 2002; one relevant item, so that the ideal is 1), and the reciprocal rank."""
    inside, places = ranks <= k, ranks.astype(np.float64)
    return {
        f"ndcg_at_{k}": np.where(inside, 1.0 / np.log2(places + 1.0), 0.0),
        f"hit_rate_at_{k}": inside.astype(np.float64),
        "mrr": np.where(ranks == NOWHERE, 0.0, 1.0 / places),
    }


def softmax(scores: Floats) -> Floats:
    """(N, C) rows that sum to 1."""
    raised = np.exp(scores - scores.max(1, keepdims=True))
    out: Floats = raised / raised.sum(1, keepdims=True)
    return out


def matrix(lines: Sequence[Integers], items: int, decay: float = 1.0) -> csr_array:
    """(N, C) what each user had: decay^j where j items came after it."""
    from scipy.sparse import csr_array

    lengths = np.array([len(line) for line in lines], dtype=np.int64)
    ends = np.append(0, np.cumsum(lengths))
    columns = np.concatenate(lines) if len(lines) else np.zeros(0, dtype=np.int64)
    behind = np.repeat(ends[1:], lengths) - 1 - np.arange(int(ends[-1]))
    found = csr_array((decay ** behind.astype(np.float64), columns, ends), shape=(len(lines), items))
    found.sum_duplicates()
    return found


@dataclass(frozen=True)
class Trial:
    """Some users of the training part as they are asked while a setting is chosen: all but the last item, then that."""

    histories: list[Integers]
    wanted: Integers

    @classmethod
    def of(cls, lines: Sequence[Integers], most: int = 500) -> Trial:
        long = [line for line in lines if len(line) > 1][:most]
        return cls([line[:-1] for line in long], np.array([line[-1] for line in long], dtype=np.int64))

    def loss(self, scores: NDArray[Any]) -> float:
        """The mean log-loss of (N, C) logits, over the items that a user had not had."""
        masked = np.array(scores, dtype=np.float64)
        for row, had, item in zip(masked, self.histories, self.wanted, strict=True):
            kept = row[item]
            row[had] = -np.inf
            row[item] = kept
        top = masked.max(1)
        spread = np.log(np.exp(masked - top[:, None]).sum(1))
        return float((top + spread - masked[np.arange(len(masked)), self.wanted]).mean())

    def scale(self, scores: NDArray[Any]) -> tuple[float, float]:
        """The factor that makes scores the logits of least loss, from a grid of powers, and that loss."""
        if not len(self.wanted):
            return 1.0, math.inf
        size = float(np.abs(scores).max()) or 1.0
        found = {2.0 ** (power / 2) / size: 0.0 for power in range(0, 21)}
        for factor in found:
            found[factor] = self.loss(scores * factor)
        best = min(found, key=lambda factor: found[factor])
        return best, found[best]


def lines_of(ranking: Ranking, rows: Rows) -> list[Integers]:
    """Of each training row the whole line: what it had, and the items that came next behind it."""
    following = [list(cell or ()) for cell in rows.targets() or ()]
    histories = of_rows(rows)
    whole = [[*had, *then[-1:]] for had, then in zip(histories, following, strict=True)]
    return ranking.numbers(whole)
