from __future__ import annotations

import numpy as np
import pytest

from image_samples import pictured, shaded
from sartor.baselines.pixels import Pixels, View
from sartor.errors import BadInput
from text_samples import task_of


@pytest.mark.parametrize("model", ["linear", "forest"])
def test_it_learns_what_pixels_show(model: str) -> None:
    train, test = shaded(80), shaded(40, 1)
    task = task_of(train)
    baseline = Pixels(model=model, side=8, trees=30)  # type: ignore[arg-type]
    assert task.score(baseline.fit(task, train).predict(test), test).metrics["r2"] > 0.9


def test_a_forest_knows_shapes_that_stand_anywhere_better_than_chance() -> None:
    train, test = pictured(150), pictured(60, 1)
    task = task_of(train)
    found = Pixels(model="forest", side=12, trees=50).fit(task, train).predict(test)
    assert task.score(found, test).metrics["accuracy"] > 0.5


def test_of_many_rows_some_are_drawn() -> None:
    rows = shaded(30)
    fitted = Pixels(side=4, most_rows=12).fit(task_of(rows), rows)
    assert fitted.state().values["rows"] == 12


def test_values_that_never_change_count_for_nothing() -> None:
    x = np.array([[1, 5, 0], [3, 5, 0]], dtype=np.float32)
    assert View.of(x).seen(x).tolist() == [[-1, 0, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"side": 0}, "error[VALUE_RANGE]: pixels.side is 0. Fix: give at least 1 and at most 1024."),
        ({"trees": 0}, "error[VALUE_RANGE]: pixels.trees is 0. Fix: give at least 1 and at most 1024."),
        ({"C": (0.0,)}, "error[VALUE_RANGE]: pixels.C is 0.0. Fix: give numbers above 0."),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput) as raised:
        Pixels(**settings)  # type: ignore[arg-type]
    assert str(raised.value) == said
