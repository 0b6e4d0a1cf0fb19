"""Small histories for the tests: users who walk along a ring of items, a step at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from sartor.data.rows import Column, Rows, Schema
from sartor.task import Task
from sartor.tasks.next_item import NextItem

ITEMS = tuple(f"item {i:02d}" for i in range(14))


def wandering(count: int = 120, seed: int = 0, asked: int = 1, length: int | None = None) -> Rows:
    """Histories and the `asked` items that came next behind the last ones; each item follows its neighbour. All items
    occur among the first rows."""
    draw = np.random.default_rng(seed)
    lines = []
    for i in range(count):
        size, start = int(draw.integers(4, 9)) if length is None else length, i % len(ITEMS)
        lines.append([ITEMS[(start + k) % len(ITEMS)] for k in range(size)])
    return histories([line[:-1] for line in lines], [line[-min(asked, len(line) - 1) :] for line in lines])


def histories(before: list[list[str]], following: list[list[str]]) -> Rows:
    users = [f"user {i}" for i in range(len(before))]
    columns: dict[str, list[Any]] = {"user": users, "items": before, "next_item": following}
    schema = Schema(
        (Column("user", "id", "given"), Column("items", "items", "given"), Column("next_item", "items", "given")),
        "next_item",
        ("items",),
        "user",
    )
    numbers = np.arange(len(before))
    return Rows(schema, columns, numbers + 7, numbers + 8, "sample.csv")


def learned(rows: Rows, **settings: Any) -> Task:
    return NextItem(**settings).learn(rows)
