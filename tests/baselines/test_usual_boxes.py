"""The usual boxes: those that meet most."""

from __future__ import annotations

import numpy as np
import pytest

from image_samples import boxed
from sartor.baselines.usual_boxes import UsualBoxes
from sartor.data.boxes import Box
from sartor.errors import BadInput
from text_samples import task_of


def test_the_first_box_is_the_one_that_meets_most_of_its_class() -> None:
    rows = boxed(20)
    for i in range(20):
        shift = float(i % 3) if i < 15 else 30.0
        rows.columns["objects"][i][:] = [Box("bar", 10.0 + shift, 10.0, 30.0 + shift, 30.0)]
    task = task_of(rows)
    said = UsualBoxes().fit(task, rows, 0).predict(rows)
    assert [len(labels) for labels in said.values] == [2] * 20
    np.testing.assert_allclose(said.boxes[1], [40, 10, 60, 30], atol=1e-9)
    assert said.boxes[0][0] in (10, 11, 12)
    np.testing.assert_allclose(said.probabilities[:2, 0], [0.75, 0.25])


def test_it_beats_nothing_where_boxes_stand_still_and_finds_little_where_they_do_not() -> None:
    rows = boxed(60)
    task = task_of(rows)
    wandering = task.score(UsualBoxes().fit(task, rows, 0).predict(boxed(30, 1)), boxed(30, 1)).metrics["ap50"]
    for boxes in rows.columns["objects"]:
        boxes[:] = [Box("disc", 5.0, 5.0, 40.0, 40.0)]
    still = task_of(rows)
    assert still.score(UsualBoxes().fit(still, rows, 0).predict(rows), rows).metrics["map"] == pytest.approx(1.0)
    assert wandering < 0.5


@pytest.mark.parametrize("boxes", [0, 101])
def test_a_count_that_makes_no_sense_is_refused(boxes: int) -> None:
    with pytest.raises(BadInput, match="VALUE_RANGE"):
        UsualBoxes(boxes=boxes)
