"""Image networks beside what pixels alone give: the same rows, parts and scores for all of them.

Parts are cut from the training file, or the given one is the test part; networks choose their best weights by the
validation part, and what has a threshold takes it from there. Where boxes are found, the scores are COCO's.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sets import shared

import sartor
from sartor.baseline import Baseline
from sartor.data.hints import Hints
from sartor.measuring import intervals
from sartor.opening import Opening, open_data
from sartor.part import part
from sartor.position.intervals import proportion
from sartor.predictions import Predictions


def measure(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Every baseline and every network on the parts of one data set."""
    data = str(shared(asked["data"]))
    test = _part(data, asked.get("test"))
    opening = open_data(data, Hints(), None, None, test, 0)
    found = [_baseline(opening, name) for name in asked["baselines"]]
    for seed in asked["seeds"]:
        found.append(_network(opening, data, test, asked, seed))
    return {"parts": opening.split.sizes(), "how": opening.split.how, "candidates": found}


def _part(data: str, named: str | None) -> str | None:
    """A test part: another file of the shared folder, or a part of the same file."""
    if named is None:
        return None
    return str(shared(named)) if "/" in named else f"{data}:{named}"


def _baseline(opening: Opening, name: str) -> dict[str, Any]:
    made = part("baselines", name)
    assert isinstance(made, Baseline)
    began, used = time.monotonic(), _cpu()
    fitted = made.fit(opening.task, opening.split.train, 0)
    took = {"wall_seconds": time.monotonic() - began, "cpu_seconds": _cpu() - used}
    return {"name": name, **_rounded(took), **_scored(opening, fitted.predict)}


def _network(opening: Opening, data: str, test: str | None, asked: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """`sartor finetune`, from data to bundle; the bundle answers. Its split is of seed 0 for every one of its seeds."""
    plan = {**asked["plan"], "seed": seed}
    with tempfile.TemporaryDirectory() as made:
        began, used = time.monotonic(), _cpu()
        done = sartor.finetune(data, backbone=asked["backbone"], plan=plan, test=test, out=Path(made) / "run")
        took = {"wall_seconds": time.monotonic() - began, "cpu_seconds": _cpu() - used}
        told = done.to_json()
        rest = {"steps": told["steps"], "train_seconds": told["costs"]["train_seconds"]["value"]}
        rest |= {"losses": [[step, round(loss, 4)] for step, loss in told["losses"]]}
        name = f"{asked['backbone']} + full"
        return {"name": name, "seed": seed, **_rounded(took | rest), **_scored(opening, done.bundle.answer)}


def _scored(opening: Opening, answer: Any) -> dict[str, Any]:
    """Scores on the test part with their intervals; of two labels also what thresholds give."""
    said = {name: answer(getattr(opening.split, name)) for name in ("validation", "test")}
    found: dict[str, Any] = {"test": _rounded(intervals(opening.task, said["test"], opening.split.test))}
    if len(said["test"].labels) == 2:
        found["thresholds"] = [_threshold(opening, said, aim) for aim in (0.9, 0.95)]
    return found


def _threshold(opening: Opening, said: Mapping[str, Predictions], specificity: float) -> dict[str, Any]:
    """Sensitivity and specificity on the test part at the threshold with this specificity on the validation part."""
    positive = said["test"].labels[1]
    truth = {n: np.array([str(t) == positive for t in getattr(opening.split, n).targets() or ()]) for n in said}
    p = {name: np.asarray(predictions.probabilities)[:, 1] for name, predictions in said.items()}
    cut = float(np.quantile(p["validation"][~truth["validation"]], specificity))
    out: dict[str, Any] = {"specificity_on_validation": specificity, "threshold": cut}
    sick, well = p["test"][truth["test"]] > cut, p["test"][~truth["test"]] <= cut
    for name, right in (("sensitivity", sick), ("specificity", well)):
        found = proportion(int(right.sum()), len(right))
        out[name] = {"value": float(right.mean()), "low": found.low, "high": found.high, "n": len(right)}
    return dict(_rounded(out))


def _cpu() -> float:
    """CPU seconds of this process and of those it has waited for."""
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in uses)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, Mapping):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value


METRICS = ("accuracy", "auc", "log_loss", "calibration_error", "map", "ap50", "ap75")


def table(found: Mapping[str, Any]) -> str:
    """The candidates for people."""
    return "\n".join(_line(one, METRICS) for one in found["candidates"])


def _line(one: Mapping[str, Any], metrics: Sequence[str]) -> str:
    there = [(m, one["test"][m]) for m in metrics if m in one["test"]]
    shown = [f"{m} {s['value']:.4f} [{s['low']:.4f}, {s['high']:.4f}]" for m, s in there]
    for at in one.get("thresholds", ()):
        shown.append(f"sensitivity {at['sensitivity']['value']:.3f} at specificity {at['specificity']['value']:.3f}")
    seed = f" (seed {one['seed']})" if "seed" in one else ""
    return f"{one['name']}{seed}: {'; '.join(shown)}; {one['cpu_seconds']:.0f} CPU s, {one['wall_seconds']:.0f} s"
