"""Memory of a fresh process, size of a folder."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from sartor.data.rows import Column, Rows, Schema
from sartor.engine.memory import peak_memory, peak_memory_mb, size_mb
from sartor.errors import BadEnvironment

FIX = "Fix: free memory and try again; `python -m sartor.weigh BUNDLE ROWS.jsonl 1` shows all that the process says."


def child(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def holding(mb: int) -> list[str]:
    """A process that holds `mb` MB, lets them go and reports."""
    report = "print('noise'); print(json.dumps({'peak_bytes': high_water_mark()}))"
    return child(
        f"import json; from sartor.weigh import high_water_mark; held = b'x' * {mb * 10**6}; del held; {report}"
    )


def test_memory_that_was_held_and_let_go_is_counted() -> None:
    more = peak_memory(holding(200)).value - peak_memory(holding(0)).value
    assert more == pytest.approx(200, rel=0.15)


def test_memory_of_the_parent_is_not_counted() -> None:
    ballast = np.ones(50_000_000)  # 400 MB
    assert peak_memory(holding(0)).value < 200
    assert len(ballast)


@pytest.mark.parametrize("repeats", [1, 2])
def test_equal_processes_tie(repeats: int) -> None:
    one, other = (peak_memory(holding(50), repeats=repeats) for _ in range(2))
    assert one.overlaps(other)
    assert not one.overlaps(peak_memory(holding(80), repeats=repeats))
    assert one.repeats == repeats
    assert one.low < one.value < one.high


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise ValueError('no such weights')", "it ended with exit code 1: ValueError: no such weights"),
        ("import sys; sys.exit(7)", "it ended with exit code 7"),
        ("import os; os.kill(os.getpid(), 9)", "it was killed by signal 9 (out of memory?)"),
        ("import os; os.kill(os.getpid(), 15)", "it was killed by signal 15"),
        ("print('hello')", "it wrote no report"),
        ("print('[1]')", "it wrote no report"),
        ("", "it wrote no report"),
    ],
)
def test_process_that_fails_says_why(code: str, why: str) -> None:
    with pytest.raises(BadEnvironment) as raised:
        peak_memory(child(code))
    assert str(raised.value) == f"error[MEASURE_MEMORY]: the process that measures memory failed: {why}. {FIX}"


def test_process_that_hangs_is_stopped() -> None:
    with pytest.raises(BadEnvironment) as raised:
        peak_memory(child("import time; time.sleep(600)"), timeout=0.5)
    why = "it did not finish within 0.5 seconds"
    assert str(raised.value) == f"error[MEASURE_MEMORY]: the process that measures memory failed: {why}. {FIX}"


def test_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadEnvironment, match="it did not start"):
        peak_memory([str(tmp_path / "nothing")])


def test_folder_that_is_no_bundle_fails_with_the_sentence_of_the_bundle(tmp_path: Path) -> None:
    schema = Schema((Column("text", "text", "given"),), None, ("text",))
    rows = Rows(schema, {"text": ["a", "b"]}, np.arange(2), np.arange(2) + 1, "rows.csv")
    with pytest.raises(BadEnvironment, match=r"exit code 1: .*error\[BUNDLE_NONE\]"):
        peak_memory_mb(tmp_path, rows)


def test_size_is_every_byte_of_every_file(tmp_path: Path) -> None:
    (tmp_path / "sartor").mkdir()
    (tmp_path / "model.safetensors").write_bytes(b"x" * 1_500_000)
    (tmp_path / "sartor" / "card.json").write_bytes(b"x" * 500_000)
    assert size_mb(tmp_path).value == 2.0
