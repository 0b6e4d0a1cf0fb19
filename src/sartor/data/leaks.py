"""Columns and texts that give the answer away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from sartor.data.problem import Problem, rows_of
from sartor.data.rows import Rows

LEAST_ROWS = 20
APART = ("labels", "tags", "text", "boxes")
"""Targets of several parts, which no column gives away by itself."""
GLANCE = 2000
"""Rows looked at first: most columns fail there and cost no more."""


def check(rows: Rows) -> Iterator[Problem]:
    """A column that alone predicts the target perfectly, and texts that contain their label in every row."""
    values, target = rows.targets(), rows.schema.target
    if values is None or target is None or len(rows) < LEAST_ROWS or rows.schema.kind(target) in APART:
        return
    if len(set(values)) < 2:
        return
    for name in rows.schema.inputs:
        if rows.schema.kind(name) in ("number", "category", "boolean") and _gives_away(rows, name, target):
            message = f"the column '{name}' alone predicts '{target}' perfectly in {rows_of(len(rows))}"
            fix = f"leave it out with --ignore {name}, unless it is known when you predict"
            yield Problem("LEAK_COLUMN", "warning", message, fix, len(rows))
    if rows.schema.kind(target) == "category":
        yield from _spelled_out(rows, values)


def _gives_away(rows: Rows, name: str, target: str) -> bool:
    column, values = rows.columns[name], rows.targets() or ()
    if rows.schema.kind(target) == "number":
        return rows.schema.kind(name) == "number" and _linear(column, values)
    if not _decides(column[:GLANCE], values[:GLANCE]) and not _threshold(rows, name, GLANCE):
        return False
    if _decides(column, values) and len(set(column)) <= max(2, len(column) / 5):
        return True
    return _threshold(rows, name, len(rows))


def _decides(column: Sequence[Any], values: Sequence[Any]) -> bool:
    """Whether each value of the column goes with one value of the target."""
    return len(set(zip(column, values, strict=True))) == len(set(column)) and len(set(column)) > 1


def _threshold(rows: Rows, name: str, first: int) -> bool:
    """Whether the classes lie side by side along a number: each is one interval."""
    if rows.schema.kind(name) != "number":
        return False
    pairs = [
        (v, t) for v, t in zip(rows.columns[name][:first], (rows.targets() or ())[:first], strict=True) if v is not None
    ]
    if len(pairs) < min(first, len(rows)):
        return False
    pairs.sort()
    changes = sum(a[1] != b[1] for a, b in pairwise(pairs))
    ties = any(a[0] == b[0] and a[1] != b[1] for a, b in pairwise(pairs))
    return not ties and changes == len({t for _, t in pairs}) - 1


def _linear(column: Sequence[Any], values: Sequence[Any]) -> bool:
    pairs = [(v, t) for v, t in zip(column, values, strict=True) if v is not None and t is not None]
    if len(pairs) < max(LEAST_ROWS, 0.9 * len(values)):
        return False
    x, y = np.asarray(pairs, dtype=np.float64).T
    if x.std() == 0 or y.std() == 0:
        return False
    return bool(abs(np.corrcoef(x, y)[0, 1]) > 1 - 1e-9)


def _spelled_out(rows: Rows, values: Sequence[Any]) -> Iterator[Problem]:
    texts = rows.texts()
    if not texts:
        return
    for text, label in zip(texts, values, strict=True):
        if label is None or len(label) < 2 or label.casefold() not in " ".join(text).casefold():
            return
    message = f"every text contains its own label in {rows_of(len(rows))}"
    fix = "remove the label from the texts, unless it is there when you predict"
    yield Problem("LEAK_TEXT", "warning", message, fix, len(rows))
