"""Splits of several data sets that are learned from together: each as it is alone, and no text on two sides."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from dataclasses import replace

import numpy as np

from sartor.data import duplicates, sets
from sartor.data.problem import Problem, rows_of
from sartor.data.rows import Rows
from sartor.data.split import PARTS, Split
from sartor.errors import BadInput


def alike(rows: Rows, twin: Split) -> Split:
    """The split of rows that another task has too, with another target: every row is where it is there."""
    train, validation, test = (rows.take(part.numbers) for part in (twin.train, twin.validation, twin.test))
    how = f"as for '{twin.train.schema.target}' of the same rows"
    return Split(train, validation, test, how, _hash(rows.fingerprint(), twin.fingerprint))


def together(splits: Mapping[str, Split]) -> tuple[Split, tuple[Problem, ...]]:
    """The parts of all in one table each, and what is worth a warning: training rows are left out whose text another
    data set holds out, for its answer may be the same there."""
    kept, problems = _without_held_out(splits)
    train, validation, test = (sets.join({name: part(s, which) for name, s in kept.items()}) for which in PARTS)
    ways = {name: split.how for name, split in kept.items()}
    how = "; ".join(f"{name}: {way}" for name, way in ways.items())
    seen = [text for name, split in kept.items() for text in (name, split.fingerprint, str(len(split.train)))]
    return Split(train, validation, test, how, _hash(*seen)), problems


def part(split: Split, which: str) -> Rows:
    rows: Rows = getattr(split, which)
    return rows


def _without_held_out(splits: Mapping[str, Split]) -> tuple[dict[str, Split], tuple[Problem, ...]]:
    held = {name: _keys(split.validation) | _keys(split.test) for name, split in splits.items()}
    kept, problems = {}, []
    for name, split in splits.items():
        others = set().union(*(keys for other, keys in held.items() if other != name))
        inside = np.array([key not in others for key in _each(split.train)], dtype=bool)
        gone = int((~inside).sum())
        if not inside.any():
            message = f"every training text of '{name}' is held out by another data set"
            raise BadInput("TASKS_LEAK", message, fix="give parts that fit together", where=split.train.source)
        if gone:
            message = f"{name}: {rows_of(gone)} of the training part left out, whose text another data set holds out"
            places = tuple(split.train.place(i) for i in np.flatnonzero(~inside)[:5])
            problems.append(Problem("TASKS_LEAK", "warning", message, "nothing, if that is meant", gone, places))
        kept[name] = replace(split, train=split.train.take(inside)) if gone else split
    return kept, tuple(problems)


def _each(rows: Rows) -> list[Hashable]:
    """What each row says in texts; of a table without them nothing that could be told apart."""
    if not rows.schema.reading("text"):
        return [None] * len(rows)
    return [None if duplicates.blank(key) else key for key in duplicates.keys(rows)]


def _keys(rows: Rows) -> set[Hashable]:
    return set(_each(rows)) - {None}


def _hash(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
