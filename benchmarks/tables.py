"""Tables: the network for columns beside logistic regression, forests and boosted trees, by repeated cross-validation.

In every fold all candidates learn from the same rows: nine tenths of what is not held out for the fold; the last tenth
stops the network. The fold itself is scored once. Differences to the best classical candidate have the interval of
Nadeau and Bengio for resampled scores.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
from sets import shared

from sartor.backbone import Backbone
from sartor.baseline import Baseline
from sartor.data.hints import Hints
from sartor.data.rows import Rows
from sartor.data.split import Split
from sartor.method import Method
from sartor.objective import Objective
from sartor.opening import Opening, read_for
from sartor.part import part
from sartor.position.folds import Fold, corrected, dealt, repeated
from sartor.predictions import Predictions
from sartor.recipe import Recipe, plan_from
from sartor.task import Task

Answer = Callable[[Rows], Predictions]
NETWORK = "columns"


def measure(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Every set that the experiment names."""
    return {name: _set(told, asked) for name, told in asked["sets"].items()}


def _set(told: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    target = told["target"]
    hints = Hints(target=target, ignore=tuple(told.get("ignore", ())), kinds={target: "category"})
    rows, task = read_for(str(shared(told["data"])), hints, "classification")
    task = task.learn(rows)
    scores: dict[str, list[dict[str, float]]] = {}
    used: dict[str, float] = {}
    share = 0.0
    for number, fold in enumerate(repeated(rows, told.get("folds", 5), told["repeats"], seed=0)):
        if number >= told.get("most", 10_000):
            break
        share = len(fold.held) / len(fold.train)
        for name, fit in _candidates(asked, number).items():
            began = time.process_time()
            answer = fit(task, _parts(fold, number))
            used[name] = used.get(name, 0.0) + time.process_time() - began
            scores.setdefault(name, []).append(task.score(answer(fold.held), fold.held).metrics)
    return _found(task, scores, used, share, len(rows))


def _parts(fold: Fold, seed: int) -> Split:
    """The fold's training rows, a tenth of them kept out for the network to stop by."""
    where = dealt(fold.train, 10, seed)
    train, kept = fold.train.take(where > 0), fold.train.take(where == 0)
    return Split(train, kept, fold.held, "a fold", "")


def _candidates(asked: Mapping[str, Any], seed: int) -> dict[str, Callable[[Task, Split], Answer]]:
    made: dict[str, Callable[[Task, Split], Answer]] = {
        spelled: lambda task, split, spelled=spelled: _baseline(spelled, task, split, seed)  # type: ignore[misc]
        for spelled in asked["baselines"]
    }
    made[NETWORK] = lambda task, split: _network(asked, task, split, seed)
    return made


def _baseline(spelled: str, task: Task, split: Split, seed: int) -> Answer:
    return cast(Baseline, part("baselines", spelled)).fit(task, split.train, seed).predict


def _network(asked: Mapping[str, Any], task: Task, split: Split, seed: int) -> Answer:
    """The network with method full, its weights those of the look with the least loss on the kept tenth."""
    from sartor.bundle import network_answer
    from sartor.engine.train import train
    from sartor.training import ready

    recipe = Recipe(
        task=task,
        backbone=cast(Backbone, part("backbones", asked.get("backbone", NETWORK))).learn(split.train),
        method=cast(Method, part("methods", "full")),
        objective=cast(Objective, part("objectives", "supervised")),
        plan=plan_from({**asked["plan"], "seed": seed}),
    )
    course = ready(Opening(split, task, ()), recipe)
    for _ in train(course.run, course.examples, course.held, split.validation):
        pass
    return network_answer(course.run.net, task)


METRICS = ("auc", "average_precision", "ks", "gini", "brier", "log_loss")


def _found(
    task: Task, scores: Mapping[str, list[dict[str, float]]], used: Mapping[str, float], share: float, count: int
) -> dict[str, Any]:
    headline = task.metrics()[0]
    means = {name: float(np.mean([s[headline] for s in each])) for name, each in scores.items()}
    best = max((name for name in means if name != NETWORK), key=lambda name: means[name])
    found = []
    for name, each in scores.items():
        one: dict[str, Any] = {"name": name, "folds": len(each), "cpu_seconds_a_fold": round(used[name] / len(each), 2)}
        for metric in METRICS:
            values = np.array([s[metric] for s in each])
            one[metric] = {"mean": round(float(values.mean()), 4), "sd": round(float(values.std(ddof=1)), 4)}
        gap = np.array([s[headline] - b[headline] for s, b in zip(each, scores[best], strict=True)])
        interval = corrected(gap, share)
        one["against_best"] = {k: round(getattr(interval, k), 4) for k in ("value", "low", "high")}
        found.append(one)
    return {"rows": count, "headline": headline, "best_classical": best, "candidates": found}


def table(found: Mapping[str, Any]) -> str:
    """The sets for people: the network within 0.01 of the best classical candidate, or not; tied, or not."""
    lines = []
    for name, told in found.items():
        lines.append(f"{name}: {told['rows']} rows, {told['headline']}; best classical: {told['best_classical']}")
        for one in told["candidates"]:
            score, gap = one[told["headline"]], one["against_best"]
            said = f"{gap['value']:+.4f} [{gap['low']:+.4f}, {gap['high']:+.4f}]"
            tied = "" if one["name"] == told["best_classical"] else ", tied" if gap["low"] <= 0 <= gap["high"] else ""
            lines.append(f"  {one['name']}: {score['mean']:.4f} +- {score['sd']:.4f}, against the best {said}{tied}")
    return "\n".join(lines)
