"""Which rows are asked, and in which order."""

from __future__ import annotations

import numpy as np
import pytest

from sartor.data.rows import Column, Rows, Schema
from sartor.engine.sample import SIZE, even_order, requests


def rows_of(n: int) -> Rows:
    """n rows of which the i-th has i + 1 characters."""
    schema = Schema((Column("text", "text", "given"), Column("label", "category", "given")), "label", ("text",))
    columns = {"text": ["x" * (i + 1) for i in range(n)], "label": ["yes"] * n}
    return Rows(schema, columns, np.arange(n), np.arange(n) + 1, "rows.csv")


@pytest.mark.parametrize("n", [1, 2, 3, 7, 64, 100])
def test_even_order_has_everything_once_and_begins_in_the_middle(n: int) -> None:
    assert sorted(even_order(n)) == list(range(n))
    assert even_order(n)[0] == n // 2


def test_every_stretch_is_spread_over_the_whole() -> None:
    order = even_order(64)
    for start in range(0, 64, 8):
        assert sorted(order[start : start + 8] // 8) == list(range(8))


def test_every_stretch_of_requests_has_the_lengths_of_all() -> None:
    asked = requests(rows_of(256))
    for number in range(8):
        lengths = [len(text) for text in asked.batch(32, number).column("text")]
        assert abs(np.mean(lengths) - 128.5) <= 4


def test_requests_have_no_target_and_come_in_a_circle() -> None:
    asked = requests(rows_of(3))
    assert list(asked.rows.columns) == ["text"]
    assert asked.one(0).numbers.tolist() == asked.one(3).numbers.tolist()
    assert len(asked.one(0)) == 1
    assert sorted(asked.batch(3, 5).numbers.tolist()) == [0, 1, 2]
    assert len(asked.batch(8, 0)) == 8


def test_longest_rows_come_longest_first() -> None:
    assert requests(rows_of(20)).longest(3).numbers.tolist() == [19, 18, 17]


def test_large_data_are_sampled_the_same_way_every_time() -> None:
    rows = rows_of(3 * SIZE)
    first, again = requests(rows), requests(rows)
    assert len(first.rows) == SIZE
    assert first.rows.numbers.tolist() == again.rows.numbers.tolist()
    assert len(set(first.rows.numbers.tolist())) == SIZE
