"""The network for columns: what a row is written out as, its members, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sartor.backbones.columns import ColumnsBackbone
from sartor.backbones.row_text import RowText
from sartor.data.inputs import inputs
from sartor.errors import BadInput
from sartor.part import part
from sartor.pretrained.columns import MEMBER
from table_samples import graded
from text_samples import table, task_of


def test_numbers_are_written_piece_by_piece() -> None:
    """The encoding of Gorishniy et al. 2022, by hand: full behind a piece, a share inside it, nothing before it."""
    values = [0.0, 1.0, 3.0, 7.0]
    rows = table({"n": values, "y": ["p"] * 4}, {"n": "number", "y": "category"}, "y")
    body = ColumnsBackbone(width=8, members=2).learn(rows).build("row")
    batch = body.encode({"cells": [{"n": v} for v in (2.0, -5.0, 99.0, None)]})
    written = body.written(batch.dense["numbers"], batch.dense["codes"])
    pieces = [[1, 0.5, 0], [0, 0, 0], [1, 1, 1], [1, 0.5, 0]]  # the median of what was seen, 2, for what is missing
    np.testing.assert_allclose(written[:, 1:].numpy(), pieces, atol=1e-6)


def test_in_training_each_row_is_one_members_and_the_answer_is_their_mean() -> None:
    rows = graded(40)
    body = ColumnsBackbone(width=8, members=4).learn(rows).build("row").eval()
    batch = body.encode(inputs(rows, body.reads))
    seen = body.augment(batch, 3)
    again, other = body.augment(batch, 3), body.augment(batch, 4)
    assert torch.equal(seen.dense[MEMBER], again.dense[MEMBER])
    assert not torch.equal(seen.dense[MEMBER], other.dense[MEMBER])
    assert set(seen.dense[MEMBER].tolist()) == {0, 1, 2, 3}
    with torch.no_grad():
        each = []
        for member in range(4):
            dense = {**batch.dense, MEMBER: torch.full((40,), member)}
            each.append(body(type(batch)(batch.rows, batch.offsets, dense=dense)))
        torch.testing.assert_close(torch.stack(each).mean(0), body(batch))


def test_it_must_know_the_columns() -> None:
    with pytest.raises(BadInput) as caught:
        ColumnsBackbone().build("row")
    assert caught.value.sentence() == (
        "error[COLUMNS_UNKNOWN]: the network does not know the columns that it reads. "
        "Fix: give it the training rows first: backbone.learn(rows)."
    )


def test_the_plan_of_weights_that_are_drawn() -> None:
    from sartor.recipe import Plan

    assert ColumnsBackbone().plan(Plan()).head_start == "random"
    assert ColumnsBackbone().plan(Plan(learning_rate=1e-2)).learning_rate == 1e-2


def test_a_row_is_written_as_a_text() -> None:
    columns = {"loan_amount": [1200.0, None], "home owner": [True, False], "note": ["a red car", ""]}
    rows = table(columns, {"loan_amount": "number", "home owner": "boolean", "note": "text"}, None)
    assert inputs(rows, {"row"})["text"] == [
        "loan amount: 1200; home owner: yes; note: a red car",
        "loan amount: missing; home owner: no; note: missing",
    ]


def test_rows_are_read_by_any_text_encoder(tiny_encoder: object) -> None:
    made = part("backbones", f"row_text:text=encoder:path={tiny_encoder}")
    assert isinstance(made, RowText)
    rows = graded(4)
    body = made.build("row")
    batch = task_of(rows).encode(rows, body)
    assert len(batch.sequences["input_ids"]) == int(batch.offsets[-1]) > 40


def test_what_reads_no_texts_cannot_read_rows() -> None:
    with pytest.raises(BadInput) as caught:
        part("backbones", "row_text:text=convnet").build("row")  # type: ignore[attr-defined]
    assert caught.value.sentence() == (
        "error[ROW_TEXT]: rows are written as texts, and this backbone reads image. "
        "Fix: give a text encoder: row_text:text=minilm."
    )
