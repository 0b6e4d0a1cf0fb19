"""What users take next: baselines and networks on the same parts, all items ranked.

Settings and weights are chosen by the training and the validation part; the test part, each user's last item, is scored
once. `tie_seeds`: how far the order of interactions at one moment decides what a baseline scores.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from sets import shared

from sartor.baseline import Baseline
from sartor.data.hints import Hints
from sartor.measuring import intervals
from sartor.opening import Opening, open_data
from sartor.part import part
from sartor.verbs.finetune import finetune

SHOWN = ("value", "low", "high")


def measure(asked: dict[str, Any]) -> dict[str, Any]:
    """Set -> run -> scores on its validation and its test part with 95 % intervals over users, and seconds."""
    return {name: _of_set(name, str(shared(file)), asked) for name, file in asked["sets"].items()}


def table(found: dict[str, Any]) -> str:
    lines = ["| set | model | part | NDCG@10 | HR@10 | MRR | seconds |", "|---|---|---|---|---|---|---|"]
    for name, runs in found.items():
        for run, told in runs.items():
            for held in ("validation", "test"):
                if held in told:
                    scores = " | ".join(f"{value[0]:.3f}" for value in list(told[held].values())[:3])
                    lines.append(f"| {name} | {run} | {held} | {scores} | {told['seconds']:.0f} |")
    return "\n".join(lines)


def _of_set(name: str, file: str, asked: dict[str, Any]) -> dict[str, Any]:
    opening = open_data(file, Hints(), None, None, None, asked["seed"])
    found: dict[str, Any] = {}
    for baseline in asked["baselines"]:
        found[baseline] = _baseline(baseline, opening)
        print(baseline, found[baseline], flush=True)
    for baseline in asked["tied"]:
        scores = [_tied(baseline, file, seed) for seed in asked["tie_seeds"]]
        found[f"{baseline}, ties drawn anew"] = {"ndcg_at_10": scores}
    for run, words in asked["runs"].items():
        told = _run(file, name, run, words, asked["seed"])
        found[run] = {"validation": _scores(told["intervals"]), "test": _scores(told["test"])}
        found[run] |= {"seconds": told["costs"]["train_seconds"]["value"], "effort": told["effort"]}
        found[run] |= {"steps": told["steps"], "looks": told["losses"], "parameters": told["parameters"]}
        print(run, found[run], flush=True)
    return found


def _run(file: str, name: str, run: str, words: dict[str, Any], seed: int) -> dict[str, Any]:
    """What a run reports; one that lies finished in the folder `SARTOR_RUNS` (as SET-RUN) is not made again."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(os.environ.get("SARTOR_RUNS", made)) / f"{name}-{run}"
        kept = folder / "report.json"
        if not kept.exists():
            return dict(finetune(file, seed=seed, out=folder, resume=folder.exists(), **words).result)
        found: dict[str, Any] = json.loads(kept.read_text("utf-8"))
        return found


def _baseline(name: str, opening: Opening) -> dict[str, Any]:
    began = time.monotonic()
    baseline = part("baselines", name)
    assert isinstance(baseline, Baseline)
    fitted = baseline.fit(opening.task, opening.split.train, 0)
    seconds, parts = time.monotonic() - began, {"validation": opening.split.validation, "test": opening.split.test}
    scores = {held: _scores(intervals(opening.task, fitted.predict(rows), rows)) for held, rows in parts.items()}
    return scores | {"chosen": fitted.state().values, "seconds": seconds}


def _tied(name: str, file: str, seed: int) -> float:
    """NDCG on the validation part, interactions at one moment in another order."""
    opening = open_data(file, Hints(), f"next_item:tie_seed={seed}", None, None, 0)
    baseline = part("baselines", name)
    assert isinstance(baseline, Baseline)
    held = opening.split.validation
    said = baseline.fit(opening.task, opening.split.train, 0).predict(held)
    return round(opening.task.score(said, held).metrics["ndcg_at_10"], 4)


def _scores(found: dict[str, Any]) -> dict[str, Any]:
    return {metric: [round(float(one[key]), 4) for key in SHOWN] for metric, one in found.items()}
