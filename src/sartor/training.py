"""One recipe from its data to its bundle: trained, measured, saved; interrupted and resumed without loss."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from sartor.bundle import network_answer, save_network
from sartor.engine import checkpoint
from sartor.engine.environment import environment
from sartor.engine.measure import measure
from sartor.engine.progress import Progress
from sartor.engine.train import Look, Run, prepare, train
from sartor.errors import GateFailed, Interrupted
from sartor.measuring import intervals
from sartor.opening import Opening
from sartor.recipe import Recipe
from sartor.run_folder import RunFolder

Card = Callable[[Mapping[str, Any]], str]
CHECKPOINT = "checkpoints/last"


def train_recipe(
    opening: Opening, recipe: Recipe, folder: RunFolder, command: str, card: Card, progress: Callable[[Progress], None]
) -> dict[str, Any]:
    """Train, measure, save. An interruption leaves a checkpoint that the same call goes on from."""
    began = time.monotonic()
    recipe = recipe.settled()
    folder.write_json("config.json", {"recipe": recipe.to_json(), "command": command})
    folder.write_json("environment.json", environment())
    folder.write_json("data.json", {**opening.facts(), "rows": opening.numbers()})
    progress(Progress("prepare", message="encoding, solving the head"))
    run, seconds = _trained(opening, recipe, folder, progress)
    recipe.method.merge(run.net)
    result = _measured(opening, run, seconds, began)
    result |= {"command": command, "folder": str(folder.path), "environment": environment()}
    made = save_network(folder.path / "bundle", run.net, recipe, opening.split.train.schema, result, card(result))
    result |= {"bundle": str(made)}
    folder.write_json("report.json", result)
    shutil.rmtree(folder.path / "checkpoints", ignore_errors=True)
    return result


def _trained(
    opening: Opening, recipe: Recipe, folder: RunFolder, progress: Callable[[Progress], None]
) -> tuple[Run, float]:
    body = recipe.backbone.build(recipe.task.layout)
    examples = recipe.task.encode(opening.split.train, body)
    held = recipe.task.encode(opening.split.validation, body)
    began = time.monotonic()
    run = prepare(recipe, examples)
    solved = time.monotonic() - began
    place = folder.path / CHECKPOINT
    if run.state is not None and place.is_dir():
        checkpoint.load(run, place)
    steps = recipe.plan.steps(len(examples))
    try:
        for event in train(run, examples, held, opening.split.validation):
            if isinstance(event, Look):
                folder.record({"event": "look", "step": event.step, **event.scores.metrics})
                if run.state is not None and event.step:
                    checkpoint.save(run, place)
                continue
            folder.record({"event": "step", **asdict(event)})
            pace = run.seconds / max(1, run.done)
            progress(Progress("train", event.number, steps, pace * (steps - event.number), f"loss {event.loss:.3f}"))
    except Interrupted:
        if run.state is not None and run.done:
            checkpoint.save(run, place)
        raise
    if run.diverged:
        raise GateFailed("DIVERGED", "the loss is not a number", fix="give a lower rate: --set plan.learning_rate=1e-5")
    return run, solved + run.seconds


def _measured(opening: Opening, run: Run, seconds: float, began: float) -> dict[str, Any]:
    """Scores on the validation and the test part, and what an answer costs."""
    answer = network_answer(run.net, run.recipe.task)
    timings, reference = measure({"": answer}, opening.split.validation, seconds=5.0)
    costs = timings[""].to_json() | {"train_seconds": {"value": seconds, "low": seconds, "high": seconds}}
    parts = {"metrics": opening.split.validation, "test": opening.split.test}
    scored = {name: intervals(run.recipe.task, answer(rows), rows) for name, rows in parts.items()}
    return {
        "name": run.recipe.label(),
        "task": run.recipe.task.name,
        "recipe": run.recipe.to_json(),
        "labels": list(getattr(run.recipe.task, "labels", ())),
        **scored,
        "rows": len(opening.split.validation),
        "steps": run.done,
        "losses": run.losses,
        "start": run.start,
        "costs": costs,
        "reference": reference.to_json(),
        "data": opening.facts(),
        "warnings": [w.message for w in opening.warnings],
        "seconds": time.monotonic() - began,
        "network": True,
        "merged": True,
    }
