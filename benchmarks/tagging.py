"""Spans in tokens: a linear tagger, and networks tuned on the same rows, scored on a part that no choice has seen."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from sets import shared

from sartor.baselines.linear_tagger import LinearTagger
from sartor.data.hints import Hints
from sartor.measuring import intervals
from sartor.opening import open_data
from sartor.verbs.finetune import finetune

SHOWN = ("value", "low", "high")


def measure(asked: dict[str, Any]) -> dict[str, Any]:
    """Set -> run -> scores on its dev file, and the seconds that the fit took."""
    return {name: _of_set(name, asked) for name in asked["sets"]}


def _of_set(name: str, asked: dict[str, Any]) -> dict[str, Any]:
    train, held = (str(shared(f"{name}/{part}.jsonl.gz")) for part in ("train", "dev"))
    found = {"linear_tagger": _linear(train, held, asked["seed"])}
    for run, words in asked["runs"].items():
        with tempfile.TemporaryDirectory() as made:
            began = time.monotonic()
            told = finetune(
                train, test=held, seed=asked["seed"], out=Path(made) / "run", plan=asked["plan"], **words
            ).result
            found[run] = _scores(told["test"]) | {"steps": told["steps"], "wall_seconds": time.monotonic() - began}
            found[run] |= {"train_seconds": told["costs"]["train_seconds"]["value"], "looks": told["losses"]}
        print(name, run, found[run]["f1"], flush=True)
    return found


def _linear(train: str, held: str, seed: int) -> dict[str, Any]:
    opening = open_data(train, Hints(), None, None, held, seed)
    began = time.monotonic()
    fitted = LinearTagger().fit(opening.task, opening.split.train, seed)
    seconds, rows = time.monotonic() - began, opening.split.test
    scores = _scores(intervals(opening.task, fitted.predict(rows), rows))
    return scores | {"train_seconds": seconds, "parts": opening.split.sizes()}


def _scores(found: dict[str, Any]) -> dict[str, Any]:
    return {metric: [round(float(one[key]), 4) for key in SHOWN] for metric, one in found.items()}
