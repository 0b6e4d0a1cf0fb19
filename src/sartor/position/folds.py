"""Repeated cross-validation: what tells candidates apart where rows are few, and one cut decides too much.

Every repeat deals the rows into folds anew, classes (or ranges of numbers) spread over them, a group's rows in one.
Scores of folds share training rows, so their spread is too small: the interval of a mean difference takes the corrected
variance (1 / J + n_test / n_train) s^2 with J - 1 degrees of freedom (Nadeau and Bengio 2003; Bouckaert and Frank 2004
for repeats).

Legend: N rows, J folds of all repeats together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sartor.data.rows import Rows
from sartor.errors import BadInput
from sartor.position.intervals import Interval
from sartor.predictions import Floats, Integers


@dataclass(frozen=True)
class Fold:
    """Rows to learn from, and those that are held out."""

    repeat: int
    train: Rows
    held: Rows


def repeated(rows: Rows, folds: int = 5, repeats: int = 3, seed: int = 0) -> Iterator[Fold]:
    """`folds` times `repeats` parts. Raises `BadInput` where there are fewer rows or groups than folds."""
    for repeat in range(repeats):
        where = dealt(rows, folds, seed + repeat)
        for fold in range(folds):
            yield Fold(repeat, rows.take(where != fold), rows.take(where == fold))


def dealt(rows: Rows, folds: int, seed: int) -> Integers:
    """(N,) the fold of each row."""
    unit, order = _units(rows), _order(rows)
    units = int(unit.max(initial=-1)) + 1
    if folds < 2 or units < folds:
        fix = f"give from 2 to {max(2, units)} folds"
        raise BadInput(
            "FOLDS", f"{units} rows or groups cannot be dealt into {folds} folds", fix=fix, where=rows.source
        )
    first = np.zeros(units)
    np.add.at(first, unit, order)
    mean = first / np.bincount(unit, minlength=units)  # where a group stands among the targets
    shuffled = np.random.default_rng(seed).permutation(units)
    fold = np.empty(units, dtype=np.int64)
    fold[shuffled[np.argsort(mean[shuffled], kind="stable")]] = np.arange(units) % folds
    return fold[unit]


def corrected(differences: Floats, share: float, level: float = 0.95) -> Interval:
    """The mean of (J,) differences of scores, one of each fold; `share`: held-out rows by training rows of a fold."""
    from scipy.stats import t

    count = len(differences)
    mean = float(differences.mean())
    if count < 2:
        return Interval(mean, -math.inf, math.inf, count, level, "none")
    spread = math.sqrt((1 / count + share) * float(differences.var(ddof=1)))
    half = float(t.ppf((1 + level) / 2, count - 1)) * spread
    return Interval(mean, mean - half, mean + half, count, level, "corrected resampled t")


def _units(rows: Rows) -> Integers:
    """(N,) the group of each row as a number; each row its own where there are no groups."""
    if rows.schema.group is None:
        return np.arange(len(rows))
    numbers: dict[object, int] = {}
    values = [("alone", i) if v is None else v for i, v in enumerate(rows.columns[rows.schema.group])]
    return np.array([numbers.setdefault(v, len(numbers)) for v in values], dtype=np.int64)


def _order(rows: Rows) -> Floats:
    """(N,) targets as numbers by which equal or near ones stand together."""
    values = rows.targets() or [0] * len(rows)
    if all(isinstance(v, int | float) for v in values):
        return np.asarray(values, dtype=np.float64)
    places = {value: i for i, value in enumerate(sorted({str(v) for v in values}))}
    return np.array([places[str(v)] for v in values], dtype=np.float64)
