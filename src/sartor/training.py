"""One recipe from its data to its bundle: trained, measured, saved; interrupted and resumed without loss."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sartor.batch import Batch
from sartor.bundle import network_answer, save_network
from sartor.engine import checkpoint
from sartor.engine.devices import join, sharded
from sartor.engine.environment import environment
from sartor.engine.measure import measure
from sartor.engine.progress import Progress
from sartor.engine.train import Look, Run, gathered, prepare, train
from sartor.errors import BadInput, GateFailed, Interrupted
from sartor.measuring import intervals
from sartor.opening import Opening
from sartor.recipe import Recipe
from sartor.run_folder import RunFolder

Card = Callable[[Mapping[str, Any]], str]
CHECKPOINT = "checkpoints/last"


@dataclass(frozen=True)
class Course:
    """A recipe put together with its data: everything that can be refused has been."""

    opening: Opening
    run: Run
    examples: Batch
    held: Batch
    solved_seconds: float


def ready(opening: Opening, recipe: Recipe) -> Course:
    """Encode both parts, assemble the network, solve its head. Raises `BadInput` for what does not work."""
    recipe = recipe.settled()
    body = recipe.backbone.build(recipe.task.layout)
    examples = recipe.task.encode(opening.split.train, body)
    held = recipe.task.encode(opening.split.validation, body)
    began = time.monotonic()
    run = prepare(recipe, examples)
    join().wait()  # every process has looked at the folder before one writes into it
    return Course(opening, run, examples, held, time.monotonic() - began)


def train_recipe(
    course: Course, folder: RunFolder, command: str, card: Card, progress: Callable[[Progress], None]
) -> dict[str, Any]:
    """Train, measure, save. An interruption leaves a checkpoint that the same call goes on from.

    Of several processes the first alone writes, measures and saves; all return what it found."""
    began = time.monotonic()
    opening, run, crew = course.opening, course.run, join()
    crew.wait()  # what an overwritten run left is gone
    _same_data(folder, opening)
    folder.write_json("config.json", {"recipe": run.recipe.to_json(), "command": command})
    folder.write_json("environment.json", environment())
    folder.write_json("data.json", {**opening.facts(), "rows": opening.numbers()})
    _train(course, folder, progress)
    run.net = gathered(run)
    return crew.by_first(lambda: _finished(course, folder, command, card, progress, began))


def _finished(
    course: Course,
    folder: RunFolder,
    command: str,
    card: Card,
    progress: Callable[[Progress], None],
    began: float,
) -> dict[str, Any]:
    """The trained network, measured, saved as a bundle and reported."""
    opening, run = course.opening, course.run
    run.recipe.method.merge(run.net)
    progress(Progress("measure", message="quality, latency, throughput"))
    result = _measured(opening, run, course.solved_seconds + run.seconds, began)
    result |= {"command": command, "folder": str(folder.path), "environment": environment()}
    schema = opening.split.train.schema
    made = save_network(folder.path / "bundle", run.net, run.recipe, schema, result, card(result))
    result |= {"bundle": str(made)}
    folder.write_json("report.json", result)
    shutil.rmtree(folder.path / "checkpoints", ignore_errors=True)
    return result


def _same_data(folder: RunFolder, opening: Opening) -> None:
    """Raises `BadInput` where the run in this folder, which is to go on, was on other rows."""
    before = folder.read_json("data.json")
    if (
        before is not None
        and (folder.path / CHECKPOINT).is_dir()
        and before["fingerprint"] != opening.split.fingerprint
    ):
        fix = "give the same data as before, or another --out"
        raise BadInput("RESUME_DATA", "the run in this folder was on other rows", fix=fix, where=str(folder.path))


def _train(course: Course, folder: RunFolder, progress: Callable[[Progress], None]) -> None:
    """The run to its end, from the last checkpoint where there is one."""
    run, place = course.run, folder.path / CHECKPOINT
    if run.state is not None and place.is_dir():
        checkpoint.load(run, place)
    steps = run.recipe.plan.steps(len(course.examples), join().world)
    try:
        for event in train(run, course.examples, course.held, course.opening.split.validation):
            if isinstance(event, Look):
                folder.record({"event": "look", "step": event.step, **event.scores.metrics})
                if run.state is not None and event.step:
                    checkpoint.save(run, place)
                continue
            folder.record({"event": "step", **asdict(event)})
            left = run.seconds / max(1, run.done) * (steps - event.number)
            progress(Progress("train", event.number, steps, left, f"loss {event.loss:.3f}"))
    except Interrupted:
        # a sharded network can be saved only by all its processes, and they were not stopped at the same step
        if run.state is not None and run.done and run.state.whole and not sharded(run.net):
            checkpoint.save(run, place)
        raise
    if run.diverged:
        fix = "give a lower rate, such as --set plan.learning_rate=1e-5"
        raise GateFailed("DIVERGED", f"the loss was no number at step {run.done}", fix=fix)


def _measured(opening: Opening, run: Run, seconds: float, began: float) -> dict[str, Any]:
    """Scores on the validation and the test part, and what an answer costs."""
    answer = network_answer(run.net, run.recipe.task)
    timings, reference = measure({"": answer}, opening.split.validation, seconds=5.0)
    costs = timings[""].to_json() | {"train_seconds": {"value": seconds, "low": seconds, "high": seconds}}
    parts = {"intervals": opening.split.validation, "test": opening.split.test}
    scored = {name: intervals(run.recipe.task, answer(rows), rows) for name, rows in parts.items()}
    return {
        "name": run.recipe.label(),
        "task": run.recipe.task.name,
        "recipe": run.recipe.to_json(),
        "labels": list(getattr(run.recipe.task, "labels", ())),
        "metrics": {name: found["value"] for name, found in scored["intervals"].items()},
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
