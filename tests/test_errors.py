"""The sentence every error is."""

from __future__ import annotations

import pytest

from sartor.errors import (
    BadEnvironment,
    BadInput,
    GateFailed,
    Interrupted,
    SartorError,
    did_you_mean,
    missing_extra,
    nearest,
    one_line,
)


def test_an_error_is_one_sentence_with_a_place_and_a_fix() -> None:
    error = BadInput("DATA_X", "the cell is empty.", fix="fill it in.", where="train.csv:42")
    assert str(error) == error.sentence() == "error[DATA_X]: train.csv:42: the cell is empty. Fix: fill it in."
    assert error.to_json() == {
        "code": "DATA_X",
        "message": "the cell is empty",
        "fix": "fill it in",
        "where": "train.csv:42",
    }


def test_an_error_without_a_place() -> None:
    assert str(BadInput("X", "a", fix="b")) == "error[X]: a. Fix: b."


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SartorError("X", "a", fix="b"), 1),
        (BadInput("X", "a", fix="b"), 2),
        (BadEnvironment("X", "a", fix="b"), 3),
        (GateFailed("X", "a", fix="b"), 4),
        (Interrupted(2, kept="go on"), 130),
        (Interrupted(15, kept="go on"), 143),
    ],
)
def test_exit_codes(error: SartorError, code: int) -> None:
    assert error.exit_code == code
    assert isinstance(error, SartorError)


def test_an_interruption_says_what_was_kept() -> None:
    assert str(Interrupted(2, kept="run it again")) == "error[INTERRUPTED]: stopped by Ctrl-C. Fix: run it again."
    assert str(Interrupted(15, kept="x")) == "error[INTERRUPTED]: stopped by SIGTERM. Fix: x."


@pytest.mark.parametrize("evil", ["\x1b[31mred", "a\nerror[FORGED]: b", "\u202ereversed", "a\rb", "\x00", "\x9b1m"])
def test_no_control_or_direction_mark_reaches_the_terminal(evil: str) -> None:
    shown = str(BadInput("X", f"label {evil}", fix=evil, where=evil))
    assert shown.isprintable()
    assert "\n" not in shown


def test_one_line_keeps_every_word() -> None:
    assert one_line(" two\n\twords  日本 🙂 ") == "two words 日本 🙂"


def test_the_nearest_name() -> None:
    assert nearest("lroa", ["full", "lora"]) == "lora"
    assert nearest("xyz", ["full", "lora"]) is None
    assert did_you_mean("lroa", ["lora", "full"]) == "did you mean 'lora'? Known: full, lora"
    assert did_you_mean("xyz", ["lora", "full"]) == "known: full, lora"
    many = [f"name{i:03d}" for i in range(50)]
    assert did_you_mean("zzz", many) == "known: " + ", ".join(many[:30]) + " and 20 more"


def test_a_missing_extra_names_its_command() -> None:
    assert str(missing_extra("datasets", "datasets", "reading the hub")) == (
        "error[EXTRA_MISSING]: reading the hub needs the package 'datasets', which is not installed. "
        'Fix: pip install "sartor[datasets]".'
    )
