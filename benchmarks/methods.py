"""The sweep that gives each method its default: every method, rate, seed, size and data set, one whole run a cell.

`python benchmarks/run.py methods` trains the cells that are not there yet, each in a worker process with one thread,
and adds them to `runs/methods.jsonl` as they end; stopped at any moment (Ctrl-C), it writes what there is, and the
same command goes on. `python benchmarks/run.py --page methods` writes what there is without training anything.

A cell is known by its words (set, size, seed, method, rate, steps). Where the code behind a word changes, take its
lines out of both files. A run is what `sartor finetune` does with the plan's defaults: head start, five looks at the
validation rows, early stopping, the weights of the best look. The held-out rows never choose anything.
"""

from __future__ import annotations

import functools
import itertools
import math
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import ours
import torch
from method_cells import Cell, collected, finished, note, packed, planned
from sets import Material, load

from sartor.backbones.minilm import MiniLM
from sartor.batch import Batch
from sartor.engine.features import features, outputs
from sartor.engine.precision import resolve
from sartor.engine.train import Look, Run, Start, prepare, solve, train
from sartor.errors import BadInput
from sartor.objectives.supervised import Supervised
from sartor.position.calibration import cross_fitted_log_loss
from sartor.recipe import Plan, Recipe

CHOICES = ("loss", "calibrated")
"""What the best weights are chosen by, and when a run is stopped: the held-out loss as it is, as `finetune` does; or
after a temperature fitted crosswise, as `position` does. One run shows both."""
SAMPLE = 16
"""Rows on which a method is tried for leaving the features as they were at its start."""


@dataclass(frozen=True)
class Encoded:
    """Rows and their tensors."""

    rows: Material
    examples: Batch


@dataclass
class Choice:
    """The best look so far: its loss, what the network then answered, and how many looks have come since."""

    least: float = math.inf
    waited: int = 0
    found: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Divided:
    """A data set: what is trained on is drawn from `pool`, the other two parts are the same for every cell."""

    pool: Material
    validation: Encoded
    held: Encoded


def measure(asked: dict[str, Any]) -> dict[str, Any]:
    """Train what is missing; returns all cells, in the order of the experiment."""
    done = finished(asked)
    missing = [cell for cell in planned(asked) if cell not in done]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever stops this wants what there is
    print(f"{len(done)} cells are there, {len(missing)} are missing", file=sys.stderr, flush=True)
    try:
        for cell, found in _trained(missing, asked):
            done[cell] = found
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr, flush=True)
    return collected(asked, done)


def table(found: dict[str, Any]) -> str:
    return f"{len(found['cells'])} cells; `python benchmarks/run.py --page methods` writes their tables"


# Training them


def _trained(cells: list[Cell], asked: dict[str, Any]) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Cells as they end, each noted before it is told of; a cell that fails is said and left missing."""
    os.environ["OMP_NUM_THREADS"] = "1"  # before the workers import torch
    began = time.monotonic()
    work = [(cell, asked) for cell in cells]
    with multiprocessing.get_context("spawn").Pool(asked["workers"], _one_thread) as pool:
        for count, (cell, found) in enumerate(pool.imap_unordered(_attempt, work), 1):
            left = (time.monotonic() - began) / count * (len(cells) - count)
            _tell(f"{count}/{len(cells)}, {left / 60:.0f} min left", cell, found)
            if "failed" in found:
                continue
            note(cell, found, asked)
            yield cell, found


def _tell(progress: str, cell: Cell, found: dict[str, Any]) -> None:
    what = found.get("failed") or found.get("refused")
    if what is None:
        said = [f"{100 * answer['accuracy']:.1f} at step {step}" for step, answer in found["answers"].items()]
        what = f"{', '.join(said)} of {found['planned_steps']}, {found['seconds']:.0f} s"
    words = [cell.data, str(cell.size), f"seed {cell.seed}", cell.method, f"{cell.rate}", f"{cell.steps or ''}"]
    print(f"[{progress}] {' '.join(words)}: {what}", file=sys.stderr, flush=True)


def _one_thread() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that hands the work out
    torch.set_num_threads(1)


def _attempt(work: tuple[Cell, dict[str, Any]]) -> tuple[Cell, dict[str, Any]]:
    cell, asked = work
    try:
        return cell, measured(cell, asked)
    except BadInput as error:
        return cell, {"refused": str(error)}
    except Exception as error:  # one method's fault must not end the night of the others; the cell stays missing
        return cell, {"failed": f"FAILED, {type(error).__name__}: {error}"}


def measured(cell: Cell, asked: dict[str, Any]) -> dict[str, Any]:
    """The whole run of a cell, and which held-out rows the weights of each choice answer right."""
    began = time.perf_counter()
    parts = divided(cell.data, asked["held"], asked["validation"])
    recipe = recipe_of(parts.pool, cell)
    run, examples = _begun(recipe, cell, asked["full"] if cell.size == "full" else int(cell.size), asked)
    looks: list[list[float]] = []
    choices = {name: Choice() for name in CHOICES}
    patience = Plan().early_stopping_patience or sys.maxsize
    for event in train(run, examples, parts.validation.examples, parts.validation.rows.rows):
        if isinstance(event, Look):
            looks.append(_seen(event, parts.validation))
            _choose(choices, looks[-1], run, parts.held, patience)
            if all(choice.waited >= patience for choice in choices.values()):
                break
    return {
        "rows": len(examples),
        "looks": looks,
        "chosen": {name: choice.found["step"] for name, choice in choices.items()},
        "answers": {str(choice.found["step"]): choice.found for choice in choices.values()},
        **_moved(run, examples),
        "seconds": round(time.perf_counter() - began, 1),
    }


def _seen(look: Look, validation: Encoded) -> list[float]:
    """Step, held-out loss, the same after a temperature fitted crosswise, accuracy: of the validation rows."""
    p = look.predictions.probabilities
    assert p is not None
    calibrated = float(cross_fitted_log_loss(p, np.array(validation.rows.labels)).mean())
    return [
        look.step,
        round(look.scores.metrics["log_loss"], 5),
        round(calibrated, 5),
        round(look.scores.metrics["accuracy"], 5),
    ]


def _choose(choices: dict[str, Choice], seen: list[float], run: Run, held: Encoded, patience: int) -> None:
    """Whoever has not lost patience takes this look where it is the best so far; the held-out rows are answered then.

    A run that has kept no weights yet (AdaLoRA before its budget is met) has none to choose."""
    if not run.kept:
        return
    answered: dict[str, Any] | None = None
    for choice, loss in zip(choices.values(), seen[1:3], strict=True):
        if choice.waited >= patience:
            continue
        if loss < choice.least:
            answered = answered or _answered(run, held)
            choice.least, choice.waited, choice.found = loss, 0, answered
        else:
            choice.waited += 1


def _answered(run: Run, held: Encoded) -> dict[str, Any]:
    """The held-out rows as the network answers them now."""
    task = run.recipe.task
    said = task.answer(outputs(run.net, held.examples, resolve(run.recipe.plan.precision)), held.rows.rows)
    scores = task.score(said, held.rows.rows)
    found = {name: round(scores.metrics[name], 5) for name in ("accuracy", "log_loss")}
    return {"step": run.done, **found, "right": packed(scores.items["accuracy"] > 0)}


def _moved(run: Run, examples: Batch) -> dict[str, Any]:
    """Where the run ended, what it was to take, and what moved."""
    return {
        "last_step": run.done,
        "planned_steps": run.recipe.plan.steps(len(examples)),
        "trained": sum(weight.numel() for weight in run.net.trainable().values()),
        "weights": sum(weight.numel() for weight in run.net.parameters()),
        **({"diverged": True} if run.diverged else {}),
    }


def recipe_of(material: Material, cell: Cell) -> Recipe:
    """The plan's defaults, and the cell's rate, seed and steps; when to stop is decided here, see `CHOICES`."""
    plan = Plan(learning_rate=cell.rate, seed=cell.seed, max_steps=cell.steps, early_stopping_patience=None)
    method = ours.method_of(cell.method)
    return Recipe(task=material.task, backbone=MiniLM(), method=method, objective=Supervised(), plan=plan)


def _begun(recipe: Recipe, cell: Cell, rows: int, asked: dict[str, Any]) -> tuple[Run, Batch]:
    """The run and its examples. The head start is shared by the methods that begin as the frozen body."""
    examples, frozen, start = _start(cell.data, rows, cell.seed, asked["held"], asked["validation"])
    run = prepare(recipe, examples, start)
    few = torch.arange(min(SAMPLE, len(examples)))
    seen = features(run.net.body, examples.take(few), resolve(recipe.plan.precision))
    if not torch.allclose(seen, frozen[few], rtol=0.05, atol=0.01):
        run = prepare(recipe, examples)
    return run, examples


@functools.lru_cache(maxsize=2)
def _start(data: str, rows: int, seed: int, held: int, validation: int) -> tuple[Batch, torch.Tensor, Start]:
    """The drawn training rows, encoded; their frozen features (N, D); and the head solved on them."""
    pool = divided(data, held, validation).pool
    drawn = drawn_rows(pool, rows, seed)
    recipe = recipe_of(pool, Cell(data, rows, seed, "probe", None)).settled()
    body = recipe.backbone.build(recipe.task.layout)
    examples = recipe.task.encode(drawn.rows, body)
    frozen = features(body, examples, resolve(recipe.plan.precision))
    return examples, frozen, solve(recipe, examples, frozen, body)


@functools.lru_cache(maxsize=4)
def divided(data: str, held: int, validation: int) -> Divided:
    """The first rows of the set's training file in a fixed random order score, the next choose, the rest train."""
    everything = load(data, sys.maxsize)
    ends = (0, held, held + validation, len(everything))
    scored, chosen, pool = (everything.part(a, b - a) for a, b in itertools.pairwise(ends))
    body = MiniLM().build(everything.task.layout)
    encoded = [Encoded(m, m.task.encode(m.rows, body)) for m in (scored, chosen)]
    return Divided(pool, validation=encoded[1], held=encoded[0])


def drawn_rows(pool: Material, rows: int, seed: int) -> Material:
    """So many rows of the pool, or all it has, in an order that the seed fixes."""
    return pool.take(np.random.default_rng(seed).permutation(len(pool))[:rows])
