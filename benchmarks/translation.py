"""Translation from a fresh start, on the source and target columns of a packed file; its dev file chooses nothing.

Processor seconds stand beside those of the clock: they are what a run costs, however busy the machine was."""

from __future__ import annotations

import gzip
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from sets import shared

from sartor import part as parts
from sartor.classical.overlap import signature
from sartor.data.hints import Hints
from sartor.measuring import intervals
from sartor.opening import open_data
from sartor.verbs.finetune import finetune

SHOWN = ("value", "low", "high")


def measure(asked: dict[str, Any]) -> dict[str, Any]:
    """Candidate -> scores on the dev file, and the seconds that the fit took."""
    train, held, dev = _parts(asked)
    found: dict[str, Any] = {"signature": signature("13a"), "rows": [len(train), len(held), len(dev)]}
    for run, words in asked.get("runs", {}).items():
        with tempfile.TemporaryDirectory() as made:
            began, used = time.monotonic(), time.process_time()
            told = finetune(
                train, validation=held, test=dev, task=asked["task"], seed=asked["seed"], out=Path(made) / "run",
                backbone=words["backbone"], plan=words["plan"],
            ).result  # fmt: skip
            found[run] = _scores(told["test"]) | {"validation": _scores(told["intervals"]), "steps": told["steps"]}
            found[run] |= {"wall_seconds": time.monotonic() - began, "cpu_seconds": time.process_time() - used}
            found[run] |= {"train_seconds": told["costs"]["train_seconds"]["value"], "looks": told["losses"]}
            found[run] |= {"parameters": told["parameters"], "rows_per_s": told["costs"]["throughput_rows_per_s"]}
        print(run, found[run]["bleu"], flush=True)
    for name in asked.get("baselines", ()):
        found[name] = _baseline(name, asked, train, held, dev)
        print(name, found[name]["bleu"], flush=True)
    return found


def _baseline(name: str, asked: dict[str, Any], train: Any, held: Any, dev: Any) -> dict[str, Any]:
    opening = open_data(train, Hints(), asked["task"], held, dev, asked["seed"])
    began, made = time.monotonic(), parts.part("baselines", name)
    fitted = made.fit(opening.task, opening.split.train, asked["seed"])  # type: ignore[attr-defined]
    seconds, rows = time.monotonic() - began, opening.split.test
    return _scores(intervals(opening.task, fitted.predict(rows), rows)) | {"train_seconds": seconds}


def _parts(asked: dict[str, Any]) -> tuple[list[dict[str, str]], list[dict[str, str]], list[dict[str, str]]]:
    """Training rows, the last of them held out to stop by, and the dev file."""
    train, dev = (_read(asked, part) for part in (asked["train"], asked["dev"]))
    return train[: -asked["held"]], train[-asked["held"] :], dev


def _read(asked: dict[str, Any], name: str) -> list[dict[str, str]]:
    with gzip.open(shared(name), "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [{"source": row[asked["source"]], "target": row[asked["target"]]} for row in rows]


def _scores(found: dict[str, Any]) -> dict[str, Any]:
    return {metric: [round(float(one[key]), 4) for key in SHOWN] for metric, one in found.items()}
