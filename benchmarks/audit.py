"""Does the fast engine learn what a plain loop learns? `python benchmarks/run.py audit`.

The reference is written here in plain torch and transformers: 32 bits, batches padded to their longest row, AdamW from
torch. It shares with Sartor what defines the run (the order of the data, the learning rate of a step) and nothing of
what makes the engine fast.

curves    the same start, order and rates, dropout off: the loss at equal steps, averaged over windows, in nats. Two
          control curves show what rounding alone does: the reference again with the rows of every batch reversed.
quality   accuracy on held-out rows of the training file after the whole run, dropout as the plan says, pair by pair of
          row and seed; equivalence by two one-sided tests (TOST, Schuirmann 1987) at 5 %: the 90 % interval of the
          difference lies within the margin. The answers are those of the deployed path.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import asdict
from typing import Any

import numpy as np
import ours
from accelerate.state import AcceleratorState
from equivalence import Difference, difference, pooled
from plain import Plain, descend
from sets import Material, load

from sartor.batch import Batch
from sartor.bundle import network_answer
from sartor.engine.precision import resolve
from sartor.engine.train import Run, advance, prepare

NATS = 0.01
"""Largest difference of the windows' losses that passes for the same curve."""


def measure(asked: dict[str, Any]) -> dict[str, Any]:
    return {
        "load_average": os.getloadavg(),
        "precision": resolve("auto"),
        "curves": [curve(part) for part in asked.get("curves", [])],
        "quality": [quality(part) for part in asked.get("quality", [])],
    }


# Learning curves


def curve(asked: dict[str, Any]) -> dict[str, Any]:
    """Losses of Sartor, of the reference and of its control at equal steps; the largest difference over windows."""
    pool = load(asked["data"], asked["rows"])
    examples = ours.encoded(pool)
    run = _prepared(pool, examples, asked, seed=asked["seed"], dropout=0.0)
    recipe = run.recipe
    losses = {}
    for name, reverse in (("reference", False), ("control", True)):
        model = Plain(recipe, len(pool.task.describe()["id2label"]), 0.0)
        model.begin_as(run.net)
        losses[name] = list(descend(model, recipe, examples, reverse=reverse))
    losses["sartor"] = [step.loss for step in advance(run, examples, asked["max_steps"])]
    found = {
        "largest_difference": _largest(losses["sartor"], losses["reference"], asked["window"]),
        "rounding_alone": _largest(losses["control"], losses["reference"], asked["window"]),
        "first_step": abs(losses["sartor"][0] - losses["reference"][0]),
        "within": _largest(losses["sartor"], losses["reference"], asked["window"]) <= NATS,
    }
    print(f"{asked['data']} {asked['method']}: {found}", file=sys.stderr, flush=True)
    return {**asked, **found, "losses": {name: [round(v, 5) for v in values] for name, values in losses.items()}}


def _largest(a: list[float], b: list[float], window: int) -> float:
    """The largest difference between the means of the two over windows of steps."""
    whole = len(a) // window * window
    means = [np.reshape(values[:whole], (-1, window)).mean(1) for values in (a, b)]
    return float(np.abs(means[0] - means[1]).max())


# Final quality


def quality(asked: dict[str, Any]) -> dict[str, Any]:
    """Every set and seed on both sides; the difference per set and of all sets together, with its verdict."""
    found: dict[str, Difference] = {}
    accuracies: dict[str, Any] = {}
    for name in asked["data"]:
        pool = load(name, asked["rows"] + asked["held"])
        train, held = pool.part(0, asked["rows"]), pool.part(asked["rows"], len(pool) - asked["rows"])
        right = {"sartor": [], "reference": []}
        for seed in range(asked["seeds"]):
            for side, answers in _both(train, held, asked, seed).items():
                right[side].append(answers)
        found[name] = difference(np.array(right["sartor"]), np.array(right["reference"]), asked["margin"])
        accuracies[name] = {side: [100 * float(a.mean()) for a in answers] for side, answers in right.items()}
        print(f"{name} {asked['method']}: {found[name].sentence()}", file=sys.stderr, flush=True)
    together = pooled(list(found.values()), asked["margin"])
    return {
        **asked,
        "accuracy_percent": accuracies,
        "sets": {name: {**asdict(d), "says": d.sentence()} for name, d in found.items()},
        "together": {**asdict(together), "says": together.sentence()},
    }


def _both(train: Material, held: Material, asked: dict[str, Any], seed: int) -> dict[str, Any]:
    """Which held-out rows each side answers right after the same recipe; each has solved its own head first."""
    examples = ours.encoded(train)
    began = time.monotonic()
    run = _prepared(train, examples, asked, seed=seed, dropout=asked["dropout"])
    model = Plain(run.recipe, len(train.task.describe()["id2label"]), asked["dropout"])
    model.begin_as(run.net)
    if run.recipe.plan.head_start == "solved":
        train.task.solve(model.features_of(examples), examples, model.head, seed)
    for _ in advance(run, examples, run.recipe.plan.steps(len(examples))):
        pass
    taken = time.monotonic() - began
    for _ in descend(model, run.recipe, examples):
        pass
    known = np.array(held.labels)
    said = network_answer(run.net, run.recipe.task)(held.rows)
    mine = np.array([str(v) for v in said.values]) == np.array([str(v) for v in held.rows.column("label")])
    theirs = model.outputs_of(ours.encoded(held)).argmax(1).numpy() == known
    both = (mine.mean(), theirs.mean())
    print(f"  {train.name} seed {seed}: {both[0]:.4f} {both[1]:.4f}, {taken:.0f} s", file=sys.stderr, flush=True)
    return {"sartor": mine, "reference": theirs}


def _prepared(pool: Material, examples: Batch, asked: dict[str, Any], seed: int, dropout: float | None) -> Run:
    AcceleratorState._reset_state(reset_partial_state=True)
    plan = {name: asked[name] for name in ("max_steps", "num_train_epochs") if name in asked}
    return prepare(ours.recipe_of(pool.task, asked["method"], seed=seed, dropout=dropout, **plan), examples)


# The table


def table(result: dict[str, Any]) -> str:
    lines = ["learning curves, largest difference of the loss over windows (nats; rounding alone beside it)"]
    for found in result["curves"]:
        name = f"{found['data']} {found['method']}, {found['max_steps']} steps"
        verdict = f"within {NATS}" if found["within"] else f"NOT within {NATS}"
        lines.append(f"  {name:40}{found['largest_difference']:9.4f}{found['rounding_alone']:9.4f}  {verdict}")
    for found in result["quality"]:
        lines.append(f"final accuracy, Sartor - reference, {found['method']}, {found['seeds']} seeds (points)")
        for name, seen in {**found["sets"], "together": found["together"]}.items():
            lines.append(f"  {name:12}{seen['says']}")
    return "\n".join(lines)
