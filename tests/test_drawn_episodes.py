"""Episodes as a pure function of the seed and their number."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sartor.asking import Shape
from sartor.drawing import Pool, draw, pool, ways_of

CLASSES = np.array([0, 1, 2, 3] * 20)
GROUPS = np.repeat([0, 1], 40)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 4), st.integers(1, 4), st.integers(1, 4), st.booleans(), st.integers(0, 2**62), st.integers(0, 2**40)
)
def test_an_episode_has_its_shape(ways: int, shots: int, queries: int, mixed: bool, seed: int, number: int) -> None:
    shape = Shape(ways, shots, queries, mixed)
    places = draw(pool(CLASSES, GROUPS, shape), shape, seed, number)
    assert len(set(places.tolist())) == len(places) == shape.rows
    kinds = list(zip(GROUPS[places].tolist(), CLASSES[places].tolist(), strict=True))
    shown, asked = kinds[: shape.support], kinds[shape.support :]
    assert set(Counter(shown).values()) == {shots}
    assert set(Counter(asked).values()) == {queries}
    assert set(shown) == set(asked)
    assert len(set(shown)) == ways
    assert mixed or len({group for group, _ in kinds}) == 1
    order = dict(zip(ways_of(shape), kinds, strict=True))
    assert [order[way] for way in ways_of(shape)] == kinds


def test_it_is_decided_by_seed_and_number_alone() -> None:
    shape = Shape(3, 2, 2)
    found = [draw(pool(CLASSES, GROUPS, shape), shape, 3, n).tolist() for n in range(50)]
    np.random.default_rng(0).random(9)
    again = [draw(pool(CLASSES, GROUPS, shape), shape, 3, n).tolist() for n in range(50)]
    assert found == again
    assert len({tuple(f) for f in found}) == 50
    assert found != [draw(pool(CLASSES, GROUPS, shape), shape, 4, n).tolist() for n in range(50)]


def test_every_class_and_every_row_comes_equally_often() -> None:
    shape = Shape(2, 1, 1)
    found = pool(CLASSES, GROUPS, shape)
    counts = Counter(i for n in range(4000) for i in draw(found, shape, 0, n).tolist())
    assert len(counts) == 80
    assert 0.7 * 200 < min(counts.values()) <= max(counts.values()) < 1.3 * 200


def test_named_classes_keep_their_order() -> None:
    shape = Shape(4, 1, 1, named=True)
    for number in range(10):
        places = draw(pool(CLASSES, GROUPS, shape), shape, 0, number)
        assert CLASSES[places[:4]].tolist() == [0, 1, 2, 3]


def test_small_classes_then_small_groups_are_left_out() -> None:
    classes = np.array([0, 0, 0, 1, 1, 1, 2, 2, -1, -1, -1, 0, 0, 0, 1])
    groups = np.array([0] * 11 + [1] * 4)
    found = pool(classes, groups, Shape(2, 2, 1))
    assert [[rows.tolist() for rows in group] for group in found.groups] == [[[0, 1, 2], [3, 4, 5]]]
    assert len(pool(classes, groups, Shape(3, 2, 1, mixed=True)).groups[0]) == 3
    assert pool(classes, groups, Shape(3, 2, 1)) == Pool(())


@pytest.mark.parametrize("rows", [0, 3])
def test_nothing_is_drawn_from_too_few_rows(rows: int) -> None:
    assert pool(np.zeros(rows, dtype=int), np.zeros(rows, dtype=int), Shape(2, 1, 1)).groups == ()
