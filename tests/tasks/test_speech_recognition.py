from __future__ import annotations

import numpy as np
import pytest
import torch

from sartor.data.hints import Hints
from sartor.errors import BadInput
from sartor.part import part
from sartor.predictions import Predictions
from sartor.task import claimed
from sartor.tasks.speech_recognition import SpeechRecognition
from sound_samples import rows_of, spoken, word

DRAW = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("columns", "hints", "task"),
    [
        (["audio", "text"], Hints(), "speech_recognition"),
        (["Audio", "sentence", "speaker"], Hints(), "speech_recognition"),
        (["recording", "text"], Hints(kinds={"recording": "audio"}), "speech_recognition"),
        (["audio", "text", "label"], Hints(target="text"), "speech_recognition"),
        (["audio", "text", "label"], Hints(), None),
        (["audio", "text"], Hints(target="speaker"), None),
        (["image", "text"], Hints(), "matching"),
        (["audio", "label"], Hints(), None),
    ],
)
def test_columns_that_say_what_they_are_need_no_flag(columns: list[str], hints: Hints, task: str | None) -> None:
    assert claimed(columns, hints) == task


def told(texts: list[str], form: str = "plain") -> SpeechRecognition:
    rows = rows_of([word("a", DRAW)] * len(texts), texts, "text")
    return SpeechRecognition(form=form).learn(rows)  # type: ignore[arg-type]


def test_the_vocabulary_is_that_of_the_training_texts_as_they_are_heard() -> None:
    assert told(["Ab, c!", "b"]).labels == ("<pad>", "<unk>", "|", "a", "b", "c")
    assert told(["Ab, c!", "b"], "exact").labels == ("<pad>", "<unk>", "|", "!", ",", "A", "b", "c")


def test_texts_without_a_letter_are_refused() -> None:
    with pytest.raises(BadInput) as raised:
        told(["?", "!"])
    assert str(raised.value) == (
        "error[TEXT_NONE]: sample.csv: no row has a text that can be heard. "
        "Fix: pass another --target, or --task speech_recognition:form=exact."
    )


def test_case_and_punctuation_are_no_errors_unless_they_are_asked_for() -> None:
    rows = rows_of([word("a", DRAW)] * 2, ["Ab, c.", "b"], "text")
    said = Predictions(rows.numbers, np.array(["ab c", "b"], dtype=object))
    assert SpeechRecognition().learn(rows).score(said, rows).metrics["wer"] == 0.0
    assert SpeechRecognition(form="exact").learn(rows).score(said, rows).metrics["wer"] == pytest.approx(2 / 3)


def test_what_training_never_saw_is_an_error_and_is_never_said() -> None:
    task = told(["ab", "ba"])
    held = rows_of([word("a", DRAW)], ["az"], "text")
    body = part("backbones", "speech:size=micro").build("frames")  # type: ignore[attr-defined]
    batch = task.encode(held, body)
    assert batch.dense["transcript"].tolist() == [[3, 1]]
    outputs = torch.full((int(batch.counts[0]), 5), -9.0)
    outputs[:, 1] = 9.0  # unknown everywhere
    outputs[0, 3] = 5.0
    said = task.answer(task.say(lambda _: outputs, batch), held)  # type: ignore[arg-type]
    assert said.values[0] == "a"
    assert said.probabilities[:, 1].max() == 0.0
    assert task.score(said, held).metrics == {"wer": 1.0, "cer": 0.5}


def test_intervals_are_over_utterances() -> None:
    from sartor.measuring import intervals

    rows = spoken(60)
    texts = list(rows.column("label"))
    said = Predictions(rows.numbers, np.array([t if i % 3 else "" for i, t in enumerate(texts)], dtype=object))
    found = intervals(SpeechRecognition().learn(rows), said, rows)
    for metric in ("wer", "cer"):
        assert found[metric]["n"] == 60
        assert 0 <= found[metric]["low"] < found[metric]["value"] < found[metric]["high"] < 0.6


def test_a_beam_out_of_range_is_refused() -> None:
    with pytest.raises(BadInput, match=r"speech_recognition.beam is 0. Fix: give at least 1 and at most 1000"):
        part("tasks", "speech_recognition:beam=0")
