"""The order of the data as a pure function."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sartor.engine.order import balanced_batches, epoch_batches, mixed, step_seed


def batches(count: int, size: int, seed: int = 0, epoch: int = 0) -> list[list[int]]:
    return [b.tolist() for b in epoch_batches(torch.arange(count), size, seed, epoch)]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.integers(1, 33), st.integers(0, 2**62), st.integers(0, 50))
def test_every_row_comes_once_in_an_epoch(count: int, size: int, seed: int, epoch: int) -> None:
    made = batches(count, size, seed, epoch)
    assert sorted(i for b in made for i in b) == list(range(count))
    assert sorted(map(len, made)) == sorted([size] * (count // size) + [count % size] * (count % size > 0))


def test_the_same_seed_and_epoch_give_the_same_batches_whatever_was_drawn_before() -> None:
    first = batches(100, 8, 3, 1)
    torch.manual_seed(99)
    np.random.default_rng(1).random(5)
    assert batches(100, 8, 3, 1) == first


def test_every_seed_and_every_epoch_has_its_own_order() -> None:
    orders = [batches(100, 8, seed, epoch) for seed in range(5) for epoch in range(5)]
    assert len({str(order) for order in orders}) == 25


def test_a_key_does_not_depend_on_the_other_rows() -> None:
    rows = np.arange(1000, dtype=np.uint64)
    few = rows[[3, 500, 999]]
    np.testing.assert_array_equal(mixed(7, 2, few), mixed(7, 2, rows)[[3, 500, 999]])


def test_rows_that_stay_keep_their_order_when_others_are_taken_away() -> None:
    numbers = torch.arange(60)
    kept = numbers[numbers % 3 > 0]
    [whole] = epoch_batches(numbers, 60, 5, 0)
    [part] = epoch_batches(kept, 60, 5, 0)
    assert kept[part].tolist() == [i for i in whole.tolist() if i % 3 > 0]
    assert kept[part].tolist() != sorted(kept.tolist())


def test_the_place_of_a_row_is_even() -> None:
    """Chi-squared over the places of one row in 4000 epochs: 16 cells, 99.99 % point of 15 degrees of freedom."""
    rows = np.arange(16, dtype=np.uint64)
    ranks = [int(np.argsort(np.argsort(mixed(1, epoch, rows)))[4]) for epoch in range(4000)]
    counts = np.bincount(ranks, minlength=16)
    assert ((counts - 250) ** 2 / 250).sum() < 44.3


def test_the_order_knows_nothing_of_lengths() -> None:
    """Rows numbered by length: the batches' means spread as those of random batches do."""
    means = np.array([b.float().mean() for b in epoch_batches(torch.arange(6400), 16, 0, 0)])
    assert means.std() == pytest.approx(6400 / np.sqrt(12 * 16), rel=0.15)


def test_the_hash_is_the_published_splitmix() -> None:
    """SplitMix64 from state 0: its first output, as its authors' reference code gives it."""
    assert int(mixed(0)[0]) == 0xE220A8397B1DCDAF


@pytest.mark.parametrize("step", [0, 1, 10**9])
def test_a_step_seed_is_a_seed(step: int) -> None:
    torch.Generator().manual_seed(step_seed(2**62, step))
    assert 0 <= step_seed(2**62, step) < 2**63


def test_step_seeds_differ() -> None:
    assert len({step_seed(seed, step) for seed in range(50) for step in range(50)}) == 2500


def balanced(groups: list[int], size: int, seed: int = 0, epoch: int = 0) -> list[list[int]]:
    rows = torch.arange(len(groups))
    return [b.tolist() for b in balanced_batches(rows, torch.tensor(groups), size, seed, epoch)]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=150), st.integers(2, 40), st.integers(0, 2**40))
def test_balanced_batches_are_as_many_and_hold_no_row_twice(groups: list[int], size: int, seed: int) -> None:
    made = balanced(groups, size, seed)
    assert len(made) == -(-len(groups) // size)
    for batch in made:
        assert 1 <= len(set(batch)) == len(batch) <= size
    for batch in made:
        shares = [sum(groups[i] == g for i in batch) for g in {groups[i] for i in batch}]
        full = [s for g, s in zip({groups[i] for i in batch}, shares, strict=True) if groups.count(g) > s]
        assert max(full, default=0) - min(full, default=0) <= 1  # fewer only where a group has no more


def test_every_stretch_of_a_balanced_batch_is_balanced() -> None:
    groups = [0] * 50 + [1] * 10 + [2] * 20
    for batch in balanced(groups, 12):
        for at in range(0, 12, 6):
            assert sorted(groups[i] for i in batch[at : at + 6]) == [0, 0, 1, 1, 2, 2]


def test_of_many_groups_each_comes_round_and_brings_two_rows() -> None:
    groups = [i // 5 for i in range(5 * 77)]
    seen: list[int] = []
    for epoch in range(2):
        for batch in balanced(groups, 16, epoch=epoch):
            here = [groups[i] for i in batch]
            assert sorted(here) == sorted(2 * list(set(here)))
            assert len(set(here)) == 8
            seen += set(here)
    counts = np.bincount(seen)
    assert counts.min() >= 4
    assert counts.max() <= 6


def test_a_large_group_shows_other_rows_every_time() -> None:
    groups = [0] * 100 + [1] * 4
    shown = [i for batch in balanced(groups, 8) for i in batch if i < 100]
    assert len(shown) == len(set(shown)) == 13 * 4


def test_balanced_batches_depend_on_seed_and_epoch_alone() -> None:
    groups = [i % 3 for i in range(60)]
    assert balanced(groups, 9, 3, 1) == balanced(groups, 9, 3, 1)
    assert len({str(balanced(groups, 9, seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9
