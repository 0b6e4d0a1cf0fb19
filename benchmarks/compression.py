"""Smaller forms of one tuned network: quality on held-out rows, paired with the whole; cost beside a plain pipeline.

Every form is opened from its folder, as it would be served, and timed in turn with all the others and with the whole
network in transformers' own `pipeline`, on the same rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from peers import classifying
from sets import shared

import sartor
from sartor import part as parts
from sartor.bundle import Bundle
from sartor.compressing import compress
from sartor.compressor import Compressor
from sartor.data.rows import Rows
from sartor.engine.measure import measure as timed
from sartor.engine.memory import size_mb
from sartor.position.verdict import compare_predictions, interval_of
from sartor.predictions import Predictions

PIPELINE = "the whole, transformers pipeline"
WHOLE = "whole"


def measure(asked: dict[str, Any]) -> dict[str, Any]:
    return {name: _of_set(name, asked) for name in asked["data"]}


def _of_set(name: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as made:
        at = Path(made)
        rows = _first(shared(f"{name}/train.jsonl.gz"), at / "rows.jsonl", asked["rows"])
        told = sartor.finetune(rows, target="label", method=asked["method"], plan=asked["plan"], out=at / "run")
        whole = told.bundle
        split = whole.task.reading.divide(whole.rows(str(rows)), 0, None, None)
        forms = {WHOLE: whole}
        for words in asked["forms"]:
            chain = [cast(Compressor, parts.part("compressors", one)) for one in words.split(" ")]
            forms[words] = compress(whole, chain, split.train, at / f"form{len(forms)}")
            print(name, words, flush=True)
        found = _qualities(forms, split.test)
        with classifying(whole.path) as pipe:
            costs = _costs(forms, pipe, split.test, asked["seconds"])
        return {form: found.get(form, {}) | costs.get(form, {}) for form in (*forms, PIPELINE)}


def _first(source: Path, into: Path, count: int) -> Path:
    """The first rows of a packed file, which lies in random order."""
    import gzip

    with gzip.open(source, "rt", encoding="utf-8") as file:
        into.write_text("".join(line for _, line in zip(range(count), file, strict=False)), "utf-8")
    return into


def _qualities(forms: Mapping[str, Bundle], held: Rows) -> dict[str, dict[str, Any]]:
    task = forms[WHOLE].task
    said = {form: bundle.answer(held) for form, bundle in forms.items()}
    scored = {form: (p, task.score(p, held)) for form, p in said.items()}
    found = {}
    for form, (p, scores) in scored.items():
        metric = scores.headline
        own = interval_of(task, p, scores, held, metric, 0)
        against = compare_predictions(task, (p, scores), scored[WHOLE], held, metric, seed=0)
        found[form] = {
            metric: [round(x, 4) for x in (scores.metrics[metric], own.low, own.high)],
            "points": [round(100 * x, 2) for x in (against.difference, against.low, against.high)],
            "size_mb": round(size_mb(forms[form].path).value, 1),
        }
    return found


def _costs(forms: Mapping[str, Bundle], pipe: Any, held: Rows, seconds: float) -> dict[str, dict[str, Any]]:
    def piped(rows: Rows) -> Predictions:
        with torch.no_grad():
            pipe([str(text) for text in rows.column("text")], batch_size=max(1, len(rows)), top_k=None)
        return Predictions(rows.numbers, np.zeros(len(rows)))

    subjects = {form: bundle.answer for form, bundle in forms.items()} | {PIPELINE: piped}
    timings, reference = timed(subjects, held, seconds=seconds * len(subjects))
    own = timings[PIPELINE]
    found: dict[str, dict[str, Any]] = {}
    for form, timing in timings.items():
        p50, speed = timing.latency_ms_p50, timing.throughput_rows_per_s
        found[form] = {
            "p50_ms": [round(x, 3) for x in (p50.value, p50.low, p50.high)],
            "p99_ms": round(timing.latency_ms_p99.value, 3),
            "rows_per_s": [round(x) for x in (speed.value, speed.low, speed.high)],
            "latency_ratio": round(own.latency_ms_p50.value / p50.value, 2),
            "throughput_ratio": round(speed.value / own.throughput_rows_per_s.value, 2),
        }
    found[PIPELINE]["drift"] = round(reference.drift, 2)
    return found


def table(found: dict[str, Any]) -> str:
    lines = []
    for name, forms in found.items():
        lines += ["", f"{name:42} points against the whole    size   p50 ms  x pipeline  rows/s  x pipeline"]
        for form, told in forms.items():
            points = told.get("points")
            gap = f"{points[0]:+.1f} [{points[1]:+.1f}, {points[2]:+.1f}]" if points else ""
            lines.append(
                f"{form[:42]:42} {gap:>24} {told.get('size_mb', ''):>7} {told['p50_ms'][0]:8.2f} "
                f"{told['latency_ratio']:11.1f} {told['rows_per_s'][0]:7d} {told['throughput_ratio']:11.1f}"
            )
    return "\n".join(lines)
