"""Several tasks trained together against each trained alone: `python benchmarks/run.py multitask`.

Both sides train on the same rows under the same plan, choose their weights by the same validation rows, and answer the
same test rows, none of which training or choosing has seen; all are cut from the training files. Sides alternate within
a seed. Of each task: accuracy together minus alone in points, paired by row and seed, with the 90 % interval of
`equivalence.difference`. The claim is one-sided: no more than `margin` below, or better; its lower bound is at 95 %.
Seconds are those of the whole run from opening the model to its best weights, answering the test rows left out; CPU
seconds beside them, because other work on the machine does not count there.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import numpy as np
import ours
from accelerate.state import AcceleratorState
from equivalence import Difference, difference
from sets import Material, load

from sartor import part as parts
from sartor.bundle import network_answer
from sartor.data.rows import Rows
from sartor.data.sets import join
from sartor.engine.train import Run, prepare, train
from sartor.network import Network
from sartor.objective import Objective
from sartor.task import Task
from sartor.tasks.multitask import Multitask


@dataclass(frozen=True)
class Parts:
    """One data set as both sides see it."""

    task: Task
    train: Rows
    validation: Rows
    test: Rows


@dataclass(frozen=True)
class Trained:
    """Whether each test row of each task is answered right, and what the run cost.

    best   the step whose weights were kept: a run that is best at its very end may have been cut short
    """

    right: dict[str, Any]
    seconds: float
    cpu_seconds: float
    steps: int
    best: int
    parameters: int
    trained_parameters: int
    facts: dict[str, Any]


def measure(asked: dict[str, Any]) -> dict[str, Any]:
    sets = {name: _parts(load(name, 10**9), asked) for name in asked["data"]}
    found: dict[str, list[Any]] = {"alone": [], **{way["name"]: [] for way in asked["ways"]}}
    for seed in range(asked["seeds"]):
        sides = [("alone", None), *((way["name"], way) for way in asked["ways"])]
        for name, way in sides if seed % 2 == 0 else reversed(sides):
            made = _alone(sets, asked, seed) if way is None else [_joint(sets, asked, way, seed)]
            found[name].append(made)
    return {
        **asked,
        "load_average": os.getloadavg(),
        "rows": {
            n: {"train": len(p.train), "validation": len(p.validation), "test": len(p.test)} for n, p in sets.items()
        },
        "alone": _summary(found["alone"]),
        "ways": {way["name"]: _against(found[way["name"]], found["alone"], asked["margin"]) for way in asked["ways"]},
    }


def _parts(pool: Material, asked: Mapping[str, Any]) -> Parts:
    first, second = asked["train"], asked["train"] + asked["validation"]
    spans = ((0, first), (first, second), (second, min(second + asked["test"], len(pool))))
    return Parts(pool.task, *(pool.rows.take(np.arange(*span)) for span in spans))


def _alone(sets: Mapping[str, Parts], asked: Mapping[str, Any], seed: int) -> list[Trained]:
    return [_trained({name: own}, own.task, own, asked, "supervised", seed) for name, own in sets.items()]


def _joint(sets: Mapping[str, Parts], asked: Mapping[str, Any], way: Mapping[str, Any], seed: int) -> Trained:
    task = Multitask(alpha=way.get("alpha", 1.0), names=tuple(sets), tasks=tuple(own.task for own in sets.values()))
    train, validation, test = (
        join({name: getattr(own, which) for name, own in sets.items()}) for which in ("train", "validation", "test")
    )
    more = {**asked, "plan": {**asked["plan"], **way.get("plan", {})}}
    return _trained(sets, task, Parts(task, train, validation, test), more, way["objective"], seed)


def _trained(
    sets: Mapping[str, Parts], task: Task, rows: Parts, asked: Mapping[str, Any], objective: str, seed: int
) -> Trained:
    AcceleratorState._reset_state(reset_partial_state=True)
    recipe = ours.recipe_of(task, asked["method"], seed=seed)
    plan = replace(recipe.plan, **asked["plan"])
    recipe = replace(recipe, plan=plan, objective=cast(Objective, parts.part("objectives", objective)))
    began, cpu = time.perf_counter(), time.process_time()
    body = recipe.backbone.build(task.layout)
    examples, held = (task.encode(some, body) for some in (rows.train, rows.validation))
    run = prepare(recipe, examples)
    for _ in train(run, examples, held, rows.validation):
        pass
    seconds, spent = time.perf_counter() - began, time.process_time() - cpu
    facts = recipe.objective.facts(run.net, task) if run.net.beside is not None else {}
    moved = sum(w.numel() for w in run.net.trainable().values())
    best = min(run.losses, key=lambda known: known[1])[0]
    right = dict(_right(run, sets))
    said = {name: round(100 * float(found.mean()), 2) for name, found in right.items()}
    print(f"  seed {seed}: {said}, best at {best} of {run.done}, {spent:.0f} CPU s", file=sys.stderr, flush=True)
    return Trained(right, seconds, spent, run.done, best, _served(run.net), moved, facts)


def _served(net: Network) -> int:
    """Parameters of what is served: the body, adapters merged, and the head."""
    kept = [(name, w) for part in (net.body, net.head) for name, w in part.named_parameters()]
    return sum(w.numel() for name, w in kept if "lora_" not in name)


def _right(run: Run, sets: Mapping[str, Parts]) -> Iterator[tuple[str, Any]]:
    """name -> (N,) whether each test row of a task is answered right."""
    answer, task = network_answer(run.net, run.recipe.task), run.recipe.task
    for name, own in sets.items():
        rows = join({name: own.test}) if task.members.tasks(task) else own.test
        said = answer(rows)
        values = task.members.shares(task, said, rows)[name].said.values if task.members.tasks(task) else said.values
        yield name, np.array([str(v) for v in values]) == np.array([str(v) for v in own.test.column("label")])


def _against(mine: list[list[Trained]], alone: list[list[Trained]], margin: float) -> dict[str, Any]:
    """One way of training together beside the tasks alone."""
    tasks = {}
    for name in mine[0][0].right:
        ours_, theirs = (np.array([_of(seed, name) for seed in side]) for side in (mine, alone))
        found: Difference = difference(ours_, theirs, margin)
        verdict = "shown" if found.low >= -margin else "seen" if found.points >= -margin else "no"
        tasks[name] = {**asdict(found), "within_or_better": verdict}
    told = _summary(mine)
    ratios = {
        key: told[key]["mean"] / _summary(alone)[key]["mean"]
        for key in ("seconds", "cpu_seconds", "steps", "parameters", "trained_parameters")
    }
    return {**told, "tasks": tasks, "share_of_alone": ratios, "facts": [seed[0].facts for seed in mine]}


def _of(seed: list[Trained], name: str) -> Any:
    return next(one.right[name] for one in seed if name in one.right)


def _summary(seeds: list[list[Trained]]) -> dict[str, Any]:
    """Accuracies by task, and the sums over the runs of a seed: mean, lowest, highest over the seeds."""
    accuracy = {
        name: [100 * float(right.mean()) for right in (_of(s, name) for s in seeds)] for name in _names(seeds[0])
    }
    told: dict[str, Any] = {"accuracy_percent": accuracy, "best_steps": [[one.best for one in seed] for seed in seeds]}
    for key in ("seconds", "cpu_seconds", "steps", "parameters", "trained_parameters"):
        sums = [sum(getattr(one, key) for one in seed) for seed in seeds]
        told[key] = {"mean": float(np.mean(sums)), "low": min(sums), "high": max(sums)}
    return told


def _names(seed: list[Trained]) -> list[str]:
    return [name for one in seed for name in one.right]


def table(result: dict[str, Any]) -> str:
    lines = [f"together minus alone, points of accuracy, {result['seeds']} seeds, {result['method']}"]
    for way, told in result["ways"].items():
        shares = told["share_of_alone"]
        cost = f"parameters {shares['parameters']:.1%}, CPU time {shares['cpu_seconds']:.1%} of the sum"
        lines.append(f"{way} ({cost})")
        for name, seen in told["tasks"].items():
            mean = float(np.mean(told["accuracy_percent"][name]))
            said = {"shown": "within or better", "seen": "within or better on average, not shown", "no": "worse"}
            bounds = f"{seen['points']:+.2f} [{seen['low']:+.2f}, {seen['high']:+.2f}]"
            lines.append(f"  {name:10}{mean:7.2f} %  {bounds}  {said[seen['within_or_better']]}")
    return "\n".join(lines)
