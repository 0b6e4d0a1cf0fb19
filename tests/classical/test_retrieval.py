"""Ranks and recalls against their definitions, worked out by hand or by brute force."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pair_samples import matched
from sartor.classical import retrieval
from sartor.classical.retrieval import Pool, answered
from sartor.predictions import Predictions
from text_samples import table

REPEATED = table(
    {"a": ["x", "x", "y", "z", ""], "b": ["1", "2", "1", "3", "4"]}, {"a": "text", "b": "text"}, None
)  # x: 1 or 2; y: 1; z: 3; 4 is nobody's
S = {"x": [0.1, 0.9, 0.95, 0.0], "y": [0.2, 0.3, 0.1, 0.25], "z": [0.0, 0.0, 0.5, 0.0]}


def said() -> Predictions:
    left, right = REPEATED.columns["a"], REPEATED.columns["b"]
    return answered(
        REPEATED,
        Pool.of(REPEATED),
        lambda a, b: np.array([[S[left[i]][int(right[j]) - 1] if left[i] else 0.0 for j in b] for i in a]),
    )


def test_a_query_with_several_partners_stands_where_its_best_one_does() -> None:
    standing, _, first = retrieval.queries(said())
    assert [REPEATED.columns["a"][i] for i in first] == ["x", "y", "z"]
    assert retrieval.ranks(standing).tolist() == [2, 3, 1]  # above x's 2 is only 3; above y's 1 are 2 and 4


def test_backwards_every_second_side_asks() -> None:
    standing, _, first = retrieval.queries(said(), back=True)
    assert [REPEATED.columns["b"][i] for i in first] == ["1", "2", "3"]
    assert retrieval.ranks(standing).tolist() == [1, 1, 2]  # 1's y; 2's x; x is nearer to 3 than z


def test_a_side_that_is_empty_is_neither_asked_nor_found() -> None:
    found = said()
    assert np.isnan(found.values[4])
    assert np.isnan(found.measures["query"][4])
    assert np.isfinite(found.measures["back query"][4])
    assert np.isnan(found.measures["back loss"][4])


def test_the_nearest_are_named_by_their_rows_numbers() -> None:
    assert said().measures["nearest"][0, :4].tolist() == [10, 8, 7, 11]  # rows 3, 1, 0 and 4, counted from 7
    assert np.isnan(said().measures["nearest"][0, 4])


@pytest.mark.parametrize(("above", "tied", "alike"), [(0, 3, 1), (1, 2, 2), (2, 0, 1), (0, 4, 3), (4, 1, 1)])
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_ties_count_as_if_their_order_were_drawn(above: int, tied: int, alike: int, k: int) -> None:
    orders = set(itertools.permutations([0] * tied + [1] * alike))
    first = [above + 1 + order.index(1) for order in orders]
    standing = np.array([[above, tied, alike]], dtype=float)
    assert retrieval.recall_at(k, standing)[0] == pytest.approx(np.mean([rank <= k for rank in first]))
    assert retrieval.ranks(standing)[0] == pytest.approx(np.mean(first))


def test_who_says_the_same_of_everything_scores_what_chance_gives() -> None:
    rows = matched(40)
    found = answered(rows, Pool.of(rows), lambda a, b: np.ones((len(a), len(b))))
    assert retrieval.recall_at(5, retrieval.queries(found)[0]).mean() == pytest.approx(5 / 40)


def test_the_loss_is_a_likelihood_at_the_best_scale_of_the_other_half() -> None:
    rows, draw = matched(30), np.random.default_rng(0)
    cells = draw.normal(size=(30, 30)) * 0.02 + np.eye(30) * 0.1
    losses = retrieval.queries(answered(rows, Pool.of(rows), lambda a, b: cells[np.ix_(a, b)]))[1]
    each = np.array(
        [[-s * row[i] + np.log(np.exp(s * row).sum()) for s in retrieval.SCALES] for i, row in enumerate(cells)]
    )
    even, odd = each[::2].mean(0).argmin(), each[1::2].mean(0).argmin()
    np.testing.assert_allclose(losses[::2], each[::2, odd])
    np.testing.assert_allclose(losses[1::2], each[1::2, even])


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, cells = matched(30), np.random.default_rng(0).normal(size=(30, 30))
    whole = answered(rows, Pool.of(rows), lambda a, b: cells[np.ix_(a, b)])
    monkeypatch.setattr(retrieval, "BLOCK", 7)
    parted = answered(rows, Pool.of(rows), lambda a, b: cells[np.ix_(a, b)])
    for name, values in whole.measures.items():
        np.testing.assert_array_equal(values, parted.measures[name])
    np.testing.assert_array_equal(whole.values, parted.values)


def test_rows_of_one_group_are_partners() -> None:
    rows = table(
        {"a": ["p", "q", "r"], "b": ["1", "2", "3"], "g": ["one", "one", "two"]},
        {"a": "text", "b": "text", "g": "category"},
        None,
    )
    rows = replace(rows, schema=replace(rows.schema, group="g", inputs=("a", "b")))
    assert (Pool.of(rows, grouped=True).related.toarray() > 0).tolist() == [
        [True, True, False],
        [True, True, False],
        [False, False, True],
    ]
    assert Pool.of(rows).related.toarray().sum() == 3


def test_answers_survive_the_file(tmp_path: Path) -> None:
    found = said()
    found.save(tmp_path / "p.parquet")
    again = Predictions.load(tmp_path / "p.parquet")
    assert again.measures.keys() == found.measures.keys()
    for name, values in found.measures.items():
        np.testing.assert_array_equal(again.measures[name], values)
    np.testing.assert_array_equal(again.take([3, 0]).measures["loss"], found.measures["loss"][[3, 0]])
