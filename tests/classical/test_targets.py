from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from sartor.classical.targets import FLOOR, Target
from sartor.errors import BadInput
from sartor.tasks.classification import Classification
from text_samples import labelled, served, tagged, task_of


def test_rows_without_a_target_are_refused() -> None:
    rows = labelled(10)
    with pytest.raises(BadInput) as caught:
        Target.of(task_of(rows)).known(served(rows))
    expected = "error[LABEL_COLUMN]: sample.csv: the rows have no target column. Fix: pass --target NAME."
    assert caught.value.sentence() == expected


def test_a_task_of_another_kind_is_refused() -> None:
    @dataclass(frozen=True)
    class Story:
        name: str = "story"

    with pytest.raises(BadInput) as caught:
        Target.of(Story())  # type: ignore[arg-type]
    assert caught.value.sentence() == (
        "error[BASELINE_TASK]: a baseline cannot predict what the task 'story' asks for. "
        "Fix: use a task such as classification or regression."
    )


def test_labels_become_columns_in_the_tasks_order() -> None:
    rows = tagged(20)
    task = task_of(rows)
    known = Target.of(task).known(rows)
    for row, said in zip(known, rows.targets(), strict=True):
        assert {task.labels[i] for i in np.flatnonzero(row)} == set(said)


def test_labels_that_are_no_text_are_known_by_their_text() -> None:
    rows = labelled(4)
    numbered = type(rows)(rows.schema, {**rows.columns, "label": [1, 2, 2, 1]}, rows.numbers, rows.lines, rows.source)
    task = Classification().learn(numbered)
    assert Target.of(task).known(numbered).argmax(1).tolist() == [0, 1, 1, 0]


def test_certainty_leaves_a_little_for_every_label() -> None:
    rows = labelled(10)
    target = Target(("a", "b"), False)
    said = target.answers(rows, np.tile([1.0, 0.0], (10, 1)))
    assert said.probabilities[0] == pytest.approx([1 - FLOOR / 2, FLOOR / 2])
