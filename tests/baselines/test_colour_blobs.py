"""Blobs of colour: found where colours say what a thing is."""

from __future__ import annotations

import numpy as np
import pytest

from image_samples import boxed
from sartor.baselines.colour_blobs import ColourBlobs
from sartor.classical.blobs import overlaps
from sartor.errors import BadInput
from text_samples import task_of


def test_shapes_in_colours_of_their_own_are_found() -> None:
    rows, held = boxed(60), boxed(30, 1)
    task = task_of(rows)
    scores = task.score(ColourBlobs(side=64).fit(task, rows, 0).predict(held), held).metrics
    assert scores["ap50"] > 0.8


def test_where_the_classes_are_shuffled_they_are_not() -> None:
    rows, held = boxed(60), boxed(30, 1)
    draw = np.random.default_rng(0)
    for boxes in rows.columns["objects"]:
        boxes[:] = [box._replace(label=("bar", "disc", "frame")[int(draw.integers(3))]) for box in boxes]
    task = task_of(rows)
    scores = task.score(ColourBlobs(side=64).fit(task, rows, 0).predict(held), held).metrics
    assert scores["ap50"] < 0.5


def test_overlaps_are_intersection_over_union() -> None:
    one, other = (
        np.array([[0.0, 0.0, 2.0, 2.0]]),
        np.array([[1.0, 0.0, 3.0, 2.0], [0.0, 0.0, 2.0, 2.0], [5.0, 5, 6, 6]]),
    )
    np.testing.assert_allclose(overlaps(one, other), [[1 / 3, 1.0, 0.0]])


@pytest.mark.parametrize("settings", [{"side": 8}, {"most_rows": 0}])
def test_settings_that_make_no_sense_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(BadInput, match="VALUE_RANGE"):
        ColourBlobs(**settings)
