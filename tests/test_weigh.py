"""The process that weighs a bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import sartor.bundle
from sartor import weigh


class Loaded:
    """A bundle that remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[dict[str, Any]]] = []

    def load(self, path: Path) -> Loaded:
        assert path == Path("some/bundle")
        return self

    def predict(self, rows: list[dict[str, Any]]) -> None:
        self.asked.append(rows)


def test_rows_are_answered_in_batches_and_the_report_is_the_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = Loaded()
    monkeypatch.setattr(sartor.bundle, "Bundle", bundle)
    file = tmp_path / "rows.jsonl"
    rows = [{"text": "one line\u2028of text"}, {"text": "two"}, {"text": None}]
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    weigh.main(["some/bundle", str(file), "2"])
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert bundle.asked == [rows[:2], rows[2:]]
    assert report["rows"] == 3
    assert 1e6 < report["peak_bytes"] < 1e12


def test_the_mark_does_not_fall() -> None:
    before = weigh.high_water_mark()
    held = b"x" * 100_000_000
    during = weigh.high_water_mark()
    del held
    slack = 4_000_000  # the kernel counts pages apart on every processor, and adds them up now and then
    assert before - slack <= during <= weigh.high_water_mark() + slack
    assert during > 100_000_000


def test_systems_without_proc_are_asked_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weigh.sys, "platform", "linux")
    counted_in_kilobytes = weigh._most_resident()
    monkeypatch.setattr(weigh.sys, "platform", "darwin")
    assert counted_in_kilobytes == pytest.approx(1024 * weigh._most_resident(), rel=0.01)
