from __future__ import annotations

import numpy as np
import pytest

from sartor.baselines.majority import Majority
from text_samples import labelled, measured, served, table, tagged, task_of


def test_it_answers_the_most_frequent_label_with_the_training_frequencies() -> None:
    rows = table(
        {"text": list("abcdefgh"), "label": ["no", "yes", "no", "no", "yes", "maybe", "no", "no"]},
        {"text": "text", "label": "category"},
        "label",
    )
    said = Majority().fit(task_of(rows), rows).predict(served(rows))
    assert list(said.values) == ["no"] * 8
    assert said.labels == ("maybe", "no", "yes")
    assert said.probabilities[3] == pytest.approx([1 / 8, 5 / 8, 2 / 8], abs=1e-5)


def test_of_several_labels_it_answers_those_that_most_rows_have() -> None:
    rows = table(
        {"text": list("abcd"), "label": [["a", "b"], ["a"], ["a", "c"], ["b"]]},
        {"text": "text", "label": "labels"},
        "label",
    )
    said = Majority().fit(task_of(rows), rows).predict(rows)
    assert list(said.values) == [("a",)] * 4
    assert said.probabilities[0] == pytest.approx([0.75, 0.5, 0.25], abs=1e-5)


def test_of_numbers_it_answers_the_mean() -> None:
    rows = measured(20)
    said = Majority().fit(task_of(rows), rows).predict(served(rows))
    assert said.values == pytest.approx(np.full(20, np.mean(rows.targets())))


def test_it_reads_no_column_at_all() -> None:
    rows, others = labelled(20), tagged(5)
    said = Majority().fit(task_of(rows), rows).predict(others)
    assert len(set(said.values)) == 1
