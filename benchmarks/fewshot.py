"""Few labelled rows of each class: what each method makes of them, over random draws; the same draws for all.

`python benchmarks/run.py fewshot`. Stopped on the way, the same command goes on: what is done lies in `runs/`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import ours
from accelerate.state import AcceleratorState
from scipy import stats
from sets import Material, load

from sartor import part as parts
from sartor.backbones.minilm import MiniLM
from sartor.batch import Batch
from sartor.engine.features import outputs
from sartor.engine.train import advance, headed, prepare
from sartor.objective import Objective
from sartor.recipe import Recipe, plan_from

KEPT = Path(__file__).parent.parent / "runs" / "fewshot.jsonl"
ALL = 10**6


def measure(asked: dict[str, Any]) -> dict[str, Any]:
    """Every set, draw and method; the summary of each set, and the difference of each method to the first tuned one."""
    cells = list(_cells(asked))
    found = {name: [c for c in cells if c["data"] == name] for name in asked["data"]}
    return {"cells": cells, "sets": {name: _summary(some, asked["methods"]) for name, some in found.items()}}


def _cells(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    known = [json.loads(line) for line in KEPT.read_text("utf-8").splitlines()] if KEPT.is_file() else []
    for name in asked["data"]:
        pool = load(name, ALL)
        late = pool.take(np.arange(len(pool) // 2, len(pool)))
        for split in range(asked["splits"]):
            words = {"data": name, "split": split, "shots": asked["shots"], "held": asked["held"]}
            missing = [m for m in asked["methods"] if not _told(known, words | {"method": m})]
            train, held = draw(late, asked["shots"], asked["held"], split) if missing else (late, late)
            encoded = (ours.encoded(train), ours.encoded(held)) if missing else None
            for method in asked["methods"]:
                told = _told(known, words | {"method": method})
                if told is None:
                    assert encoded is not None
                    told = words | {"method": method} | measured(train, held, encoded, asked["methods"][method], method)
                    _keep(told)
                yield told


def draw(pool: Material, shots: int, held: int, split: int) -> tuple[Material, Material]:
    """`shots` rows of each class, and at most `held` others."""
    order = np.random.default_rng(split).permutation(len(pool))
    labels = np.array(pool.labels)[order]
    few = np.concatenate([order[labels == c][:shots] for c in np.unique(labels)])
    rest = order[~np.isin(order, few)][:held]
    return pool.take(np.sort(few)), pool.take(np.sort(rest))


def measured(
    train: Material, held: Material, encoded: tuple[Batch, Batch], plan: dict[str, Any], method: str
) -> dict[str, Any]:
    """Accuracy in percent and log-loss on the held rows after all updates, with the head that the recipe ends with."""
    AcceleratorState._reset_state(reset_partial_state=True)
    examples, others = encoded
    moving = ours.method_of(method)
    objective = cast(Objective, parts.part("objectives", moving.objective))
    recipe = Recipe(
        task=train.task, backbone=MiniLM(), method=moving, objective=objective, plan=plan_from(plan)
    ).settled()
    began = time.monotonic()
    run = prepare(recipe, examples)
    for _ in advance(run, examples, run.steps):
        pass
    with headed(run):
        seconds = time.monotonic() - began
        said = outputs(run.net, others)
    scores = train.task.score(train.task.answer(said, held.rows), held.rows).metrics
    told = {"accuracy": 100 * scores["accuracy"], "log_loss": scores["log_loss"]}
    told |= {"steps": run.done, "learning_rate": recipe.plan.learning_rate, "seconds": round(seconds, 1)}
    print(f"{train.name} {method}: {told}", file=sys.stderr, flush=True)
    return told


def _told(known: list[dict[str, Any]], words: dict[str, Any]) -> dict[str, Any] | None:
    return next((cell for cell in known if words.items() <= cell.items()), None)


def _keep(cell: dict[str, Any]) -> None:
    KEPT.parent.mkdir(exist_ok=True)
    with KEPT.open("a", encoding="utf-8") as file:
        file.write(json.dumps(cell) + "\n")


def _summary(cells: list[dict[str, Any]], methods: dict[str, Any]) -> dict[str, Any]:
    """Mean and deviation over the draws of each method; contrastive minus each other one, with a 95 % interval (t)."""
    by = {m: np.array([c["accuracy"] for c in cells if c["method"] == m]) for m in methods}
    found: dict[str, Any] = {}
    for method, values in by.items():
        losses = [c["log_loss"] for c in cells if c["method"] == method]
        found[method] = {"mean": float(values.mean()), "sd": float(values.std(ddof=1)), "log_loss": np.mean(losses)}
        gaps = by["contrastive"] - values
        if method != "contrastive":
            error = float(gaps.std(ddof=1)) / len(gaps) ** 0.5
            width = float(stats.t.ppf(0.975, len(gaps) - 1)) * error
            found[method] |= {"contrastive_is_better_by": [gaps.mean() - width, gaps.mean(), gaps.mean() + width]}
    return found


def table(result: dict[str, Any]) -> str:
    lines = []
    for name, methods in result["sets"].items():
        lines.append(f"{name}: accuracy (percent), mean and deviation over draws; contrastive minus it")
        for method, seen in methods.items():
            gap = seen.get("contrastive_is_better_by")
            said = "" if gap is None else f"  {gap[1]:+6.2f} [{gap[0]:+.2f}, {gap[2]:+.2f}]"
            lines.append(f"  {method:20}{seen['mean']:6.2f} +- {seen['sd']:4.2f}{said}")
    return "\n".join(lines)
