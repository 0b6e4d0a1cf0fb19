from __future__ import annotations

import numpy as np
import pytest

from sartor.baselines.log_mel import LogMel
from sartor.classical.loudness import sliced
from sartor.data.media import Held, Media
from sartor.errors import BadInput
from sartor.part import part
from sound_samples import encoded, pitched, sounded, tone
from text_samples import task_of

SAMPLES = tone("rise", np.random.default_rng(0))


def test_tones_are_told_apart_by_their_shape() -> None:
    train, test = sounded(90), sounded(60, 1)
    task = task_of(train)
    scores = task.score(LogMel().fit(task, train).predict(test), test)
    assert scores.metrics["accuracy"] > 0.9
    assert scores.metrics["log_loss"] < 0.5


def test_a_number_is_heard_in_the_pitch() -> None:
    train, test = pitched(90), pitched(40, 1)
    task = task_of(train)
    assert task.score(LogMel().fit(task, train).predict(test), test).metrics["r2"] > 0.9


def test_how_loud_a_sound_is_changes_nothing_but_its_floor() -> None:
    loud, soft = (Media("x", Held(encoded(SAMPLES * g, subtype="FLOAT"))) for g in (1.0, 0.25))
    one, other = sliced([loud, soft], 40, 10)
    np.testing.assert_allclose(one, other, atol=0.05)
    assert one.shape == (401,)


def test_a_sound_shorter_than_a_stretch_has_a_spectrum() -> None:
    assert np.isfinite(sliced([Media("x", Held(encoded(SAMPLES[:50])))], 40, 10)).all()


def test_of_many_rows_some_are_drawn() -> None:
    rows = sounded(60)
    fitted = LogMel(most_rows=30).fit(task_of(rows), rows)
    assert len(fitted.state().arrays["rows"]) == 30


@pytest.mark.parametrize(
    ("spelled", "said"),
    [
        ("log_mel:widths=0", "log_mel.widths is 0.0. Fix: give numbers above 0."),
        ("log_mel:slices=0", "log_mel.slices is 0. Fix: give at least 1 and at most 1000."),
    ],
)
def test_settings_out_of_range_are_refused(spelled: str, said: str) -> None:
    with pytest.raises(BadInput) as raised:
        part("baselines", spelled)
    assert str(raised.value) == f"error[VALUE_RANGE]: {said}"
