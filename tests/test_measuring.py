"""Answers written for spreadsheets and programs."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sartor.measuring import harmless, intervals, write_predictions
from sartor.predictions import Predictions
from text_samples import labelled, task_of

LABELS: list[dict[str, Any]] = [
    {"prediction": "=1+1", "probabilities": {"=1+1": 0.75, 'größe, "x"': 0.25}},
    {"prediction": 'größe, "x"', "probabilities": {"=1+1": 0.25, 'größe, "x"': 0.75}},
]


def cells(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_a_spreadsheet_runs_none_of_it(tmp_path: Path) -> None:
    write_predictions(tmp_path / "x.csv", LABELS)
    assert cells(tmp_path / "x.csv") == [
        ["prediction", "probability =1+1", 'probability größe, "x"'],
        ["'=1+1", "0.75", "0.25"],
        ['größe, "x"', "0.25", "0.75"],
    ]


@pytest.mark.parametrize("evil", ["=x", "+x", "-x", "@x", "\tx", "\rx"])
def test_harmless(evil: str) -> None:
    assert harmless(evil) == f"'{evil}"
    assert harmless(f"a{evil}") == f"a{evil}"
    assert harmless("") == ""


def test_numbers_stay_numbers(tmp_path: Path) -> None:
    write_predictions(tmp_path / "x.csv", [{"prediction": -1.5}, {"prediction": 2.0}])
    assert cells(tmp_path / "x.csv") == [["prediction"], ["-1.5"], ["2.0"]]


def test_several_labels(tmp_path: Path) -> None:
    answers = [{"prediction": ["a", "b"], "probabilities": {"a": 0.9, "b": 0.8}}]
    answers += [{"prediction": [], "probabilities": {"a": 0.1, "b": 0.2}}]
    write_predictions(tmp_path / "x.csv", answers)
    assert [row[0] for row in cells(tmp_path / "x.csv")] == ["prediction", "a|b", ""]
    write_predictions(tmp_path / "x.jsonl", answers)
    assert [json.loads(line) for line in (tmp_path / "x.jsonl").read_text("utf-8").splitlines()] == answers


def test_a_write_that_fails_leaves_the_older_file(tmp_path: Path) -> None:
    write_predictions(tmp_path / "x.jsonl", [{"prediction": 1.0}])
    before = (tmp_path / "x.jsonl").read_bytes()
    with pytest.raises(TypeError):
        write_predictions(tmp_path / "x.jsonl", [{"prediction": object()}])
    assert (tmp_path / "x.jsonl").read_bytes() == before
    assert [f.name for f in tmp_path.iterdir()] == ["x.jsonl"]


def test_every_metric_has_an_interval_around_it() -> None:
    rows = labelled(60)
    task = task_of(rows)
    p = np.random.default_rng(0).dirichlet(np.ones(3), 60)
    said = Predictions(rows.numbers, np.array(task.labels, dtype=object)[p.argmax(1)], task.labels, p)
    found = intervals(task, said, rows)
    assert list(found) == list(task.score(said, rows).metrics)
    for name, metric in found.items():
        assert metric["low"] < metric["high"]
        if name != "calibration_error":  # resampled rows look worse calibrated than they are: the estimate is biased
            assert metric["low"] < metric["value"] < metric["high"]
        assert (metric["n"], metric["level"]) == (60, 0.95)
        assert metric["method"]
    assert json.dumps(found, allow_nan=False)
