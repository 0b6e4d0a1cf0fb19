"""Folds that are dealt, and the interval of differences between scores of folds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sartor.errors import BadInput
from sartor.position.folds import corrected, dealt, repeated
from table_samples import graded, priced


def test_every_row_is_held_out_once_in_each_repeat() -> None:
    rows = graded(50)
    found = list(repeated(rows, 5, 2))
    assert len(found) == 10
    for repeat in (0, 1):
        held = np.concatenate([f.held.numbers for f in found if f.repeat == repeat])
        assert sorted(held) == sorted(rows.numbers)
    assert all(not set(f.train.numbers) & set(f.held.numbers) for f in found)
    assert list(found[0].held.numbers) != list(found[5].held.numbers)


def test_classes_are_spread_over_the_folds() -> None:
    rows = graded(90)
    fold = dealt(rows, 3, 0)
    labels = np.array(rows.targets())
    for label in set(labels):
        counts = np.bincount(fold[labels == label], minlength=3)
        assert counts.max() - counts.min() <= 1


def test_numbers_are_spread_too() -> None:
    rows = priced(60)
    fold, prices = dealt(rows, 3, 0), np.array(rows.targets())
    assert np.ptp([prices[fold == f].mean() for f in range(3)]) < 0.5 * prices.std()


def test_a_group_stays_together() -> None:
    rows = graded(60)
    schema = dataclasses.replace(rows.schema, group="purpose")
    fold = dealt(dataclasses.replace(rows, schema=schema), 3, 0)
    purposes = np.array([str(v) for v in rows.columns["purpose"]])
    assert all(len(set(fold[purposes == p])) == 1 for p in set(purposes) - {"None"})


def test_too_few_rows_for_the_folds() -> None:
    with pytest.raises(BadInput) as caught:
        dealt(graded(3), 5, 0)
    assert caught.value.sentence() == (
        "error[FOLDS]: sample.csv: 3 rows or groups cannot be dealt into 5 folds. Fix: give from 2 to 3 folds."
    )


def test_the_corrected_interval_is_wider_than_the_naive_one() -> None:
    differences = np.random.default_rng(0).normal(0.01, 0.02, 15)
    found = corrected(differences, 0.25)
    half = 2.1448 * np.sqrt((1 / 15 + 0.25) * differences.var(ddof=1))  # t of 14 degrees of freedom
    assert found.value == pytest.approx(differences.mean())
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), rel=1e-4)
