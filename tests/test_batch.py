"""Ragged rows end to end."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sartor.batch import Batch


def ragged(rows: list[list[int]]) -> Batch:
    offsets = torch.tensor([0, *[len(r) for r in rows]]).cumsum(0)
    flat = torch.tensor([t for r in rows for t in r], dtype=torch.int32)
    return Batch(
        rows=torch.arange(len(rows)) + 100,
        offsets=offsets,
        sequences={"input_ids": flat, "doubled": flat * 2},
        dense={"image": torch.arange(len(rows) * 2).reshape(-1, 2)},
        targets=torch.arange(len(rows)) * 10,
    )


ROWS = st.lists(st.lists(st.integers(1, 99), max_size=6), min_size=1, max_size=8)


def unpadded(batch: Batch) -> list[list[int]]:
    padded = batch.padded({"input_ids": 0})
    pairs = zip(padded["input_ids"], padded["attention_mask"], strict=True)
    return [ids[mask.bool()].tolist() for ids, mask in pairs]


@settings(max_examples=80, deadline=None)
@given(ROWS, st.data())
def test_taking_rows_takes_all_that_belongs_to_them(rows: list[list[int]], data: st.DataObject) -> None:
    where = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=9))
    taken = ragged(rows).take(torch.tensor(where))
    assert len(taken) == len(where)
    assert unpadded(taken) == [rows[i] for i in where]
    assert torch.equal(taken.sequences["doubled"], taken.sequences["input_ids"] * 2)
    assert taken.rows.tolist() == [100 + i for i in where]
    assert taken.targets.tolist() == [10 * i for i in where]
    assert taken.dense["image"].tolist() == [[2 * i, 2 * i + 1] for i in where]
    assert taken.lengths.tolist() == [len(rows[i]) for i in where]


def test_padding() -> None:
    padded = ragged([[5, 6, 7], [8]]).padded({"input_ids": 1})
    assert padded["input_ids"].tolist() == [[5, 6, 7], [8, 1, 1]]
    assert padded["doubled"].tolist() == [[10, 12, 14], [16, 0, 0]]
    assert padded["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert {v.dtype for v in padded.values()} == {torch.int64}


@pytest.mark.parametrize("to", [3, 5])
def test_padding_to_a_length(to: int) -> None:
    assert ragged([[5, 6, 7], [8]]).padded({}, to=to)["input_ids"].shape == (2, to)


def test_rows_without_targets_stay_without() -> None:
    batch = Batch(rows=torch.arange(2), offsets=torch.tensor([0, 1, 2]), sequences={"x": torch.tensor([4, 5])})
    assert batch.take(torch.tensor([1])).targets is None


COUNTS = st.lists(st.integers(0, 4), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(COUNTS, st.randoms(use_true_random=False))
def test_what_a_head_reads_several_of_goes_with_its_row(counts: list[int], random: object) -> None:
    owner = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    whole = Batch(
        rows=torch.arange(len(counts)),
        offsets=torch.arange(len(counts) + 1),
        targets=owner * 10 + 1,
        counts=torch.tensor(counts),
    )
    order = list(range(len(counts)))
    random.shuffle(order)  # type: ignore[attr-defined]
    some = whole.take(torch.tensor(order))
    assert some.targets.tolist() == [i * 10 + 1 for i in order for _ in range(counts[i])]
    assert torch.equal(whole.restored(some.targets, torch.tensor(order)), whole.targets)
    assert whole.summed(torch.ones(len(owner))).tolist() == counts
    assert len(whole.take(torch.tensor(order[:1])).targets) == counts[order[0]]


def test_of_a_row_as_a_whole_a_head_reads_one() -> None:
    batch = ragged([[1, 2], [3]])
    assert torch.equal(batch.restored(torch.tensor([7, 5]), torch.tensor([1, 0])), torch.tensor([5, 7]))
    assert batch.summed(torch.tensor([2.0, 3.0])).tolist() == [2.0, 3.0]
