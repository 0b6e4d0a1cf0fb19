"""Small tables for the tests: numbers, categories, truths and dates that decide the answer; some are missing."""

from __future__ import annotations

from typing import Any

import numpy as np

from sartor.data.rows import Kind, Rows
from text_samples import table

GRADES = ("A", "B", "C")
KINDS: dict[str, Kind] = {"income": "number", "purpose": "category", "owner": "boolean", "opened": "date"}


def _columns(count: int, draw: np.random.Generator) -> dict[str, list[Any]]:
    income = [None if draw.random() < 0.1 else float(v) for v in draw.normal(3000, 900, count)]
    purpose = [None if draw.random() < 0.1 else str(v) for v in draw.choice(["car", "house", "travel"], count)]
    opened = [f"20{draw.integers(10, 24)}-{draw.integers(1, 13):02d}-{draw.integers(1, 29):02d}" for _ in range(count)]
    return {"income": income, "purpose": purpose, "owner": (draw.random(count) < 0.5).tolist(), "opened": opened}


def _score(columns: dict[str, list[Any]]) -> np.ndarray:
    """What the answers are made of: more with income and with a house, more for owners who travel."""
    income = np.array([0.0 if v is None else (v - 3000) / 900 for v in columns["income"]])
    house = np.array([v == "house" for v in columns["purpose"]])
    both = np.array([v == "travel" and o for v, o in zip(columns["purpose"], columns["owner"], strict=True)])
    return np.asarray(income + 1.5 * house + 1.5 * both)


def graded(count: int = 90, seed: int = 0, labels: tuple[str, ...] = GRADES) -> Rows:
    """Rows of one grade each."""
    columns = _columns(count, np.random.default_rng(seed))
    place = np.argsort(np.argsort(_score(columns))) * len(labels) // count
    return table({**columns, "label": [labels[i] for i in place]}, {**KINDS, "label": "category"}, "label")


def priced(count: int = 90, seed: int = 0) -> Rows:
    """Rows with a number, around 1000."""
    columns = _columns(count, np.random.default_rng(seed))
    prices = (1000 + 10 * _score(columns)).tolist()
    return table({**columns, "label": prices}, {**KINDS, "label": "number"}, "label")


def flagged(count: int = 90, seed: int = 0) -> Rows:
    """Rows with none, one or both of two labels."""
    columns = _columns(count, np.random.default_rng(seed))
    said = [
        [*(["rich"] if s > 0 else []), *(["owner"] if o else [])]
        for s, o in zip(_score(columns), columns["owner"], strict=True)
    ]
    return table({**columns, "label": said}, {**KINDS, "label": "labels"}, "label")


TABLED = {"columns, one label": graded, "columns, several labels": flagged, "columns, a number": priced}
CELLS = [
    {"income": 3100.0, "purpose": "car", "owner": True, "opened": "2015-03-02"},
    {"income": None, "purpose": "boat", "owner": None, "opened": "someday"},
    {},
]
"""Cells as they may come when a network serves: missing, never seen, no date, nothing at all."""
