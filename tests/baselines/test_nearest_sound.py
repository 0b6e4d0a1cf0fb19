from __future__ import annotations

import json

import numpy as np
import pytest

from sartor.baseline import State
from sartor.baselines.nearest_sound import NearestSound
from sartor.errors import BadInput
from sartor.part import part, part_from_json
from sartor.tasks.speech_recognition import SpeechRecognition
from sound_samples import rows_of, spoken, word
from text_samples import served

TEXTS = ("abc", "cab", "b a", "cc")
DRAW = np.random.default_rng(0)
KNOWN = rows_of([word(t, DRAW) for t in TEXTS * 3], list(TEXTS * 3), "text")
ASKED = rows_of([word(t, DRAW) for t in TEXTS], list(TEXTS), "text")
TASK = SpeechRecognition().learn(KNOWN)


def test_it_says_what_was_said_in_the_most_similar_sound() -> None:
    said = NearestSound().fit(TASK, KNOWN).predict(served(ASKED))
    assert list(said.values) == list(TEXTS)
    assert TASK.score(said, ASKED).metrics == {"wer": 0.0, "cer": 0.0}
    assert said.rows.tolist() == ASKED.numbers.tolist()


def test_of_many_sounds_some_are_drawn_by_the_seed() -> None:
    rows = spoken(40)
    few = [NearestSound(most_templates=10).fit(TASK, rows, seed) for seed in (0, 0, 1)]
    assert few[0].texts == few[1].texts != few[2].texts
    assert len(few[0].texts) == 10
    assert list(few[0].predict(ASKED).values) == list(few[1].predict(ASKED).values)


def test_it_is_restored_without_a_pickle() -> None:
    baseline = NearestSound(bins=20)
    fitted = baseline.fit(TASK, KNOWN)
    state = fitted.state()
    again = State(json.loads(json.dumps(state.values)), state.arrays)
    made = part_from_json("baselines", json.loads(json.dumps(baseline.to_json())))
    assert list(made.restore(TASK, again).predict(ASKED).values) == list(fitted.predict(ASKED).values)  # type: ignore[attr-defined]


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(BadInput) as raised:
        part("baselines", "nearest_sound:bins=0")
    assert str(raised.value) == ("error[VALUE_RANGE]: nearest_sound.bins is 0. Fix: give at least 1 and at most 128.")
