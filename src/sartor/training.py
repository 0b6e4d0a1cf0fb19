"""One recipe from its data to its bundle: trained, measured, saved; interrupted and resumed without loss."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sartor.batch import Batch
from sartor.bundle import network_answer, no_merge, save_network, settled_form, with_card
from sartor.effort import Effort, effort_costs
from sartor.engine import checkpoint
from sartor.engine.account import account, in_words
from sartor.engine.devices import join, sharded
from sartor.engine.environment import environment
from sartor.engine.faults import Faults, undisturbed
from sartor.engine.fit import Step
from sartor.engine.measure import measure
from sartor.engine.memory import size_mb
from sartor.engine.progress import Progress
from sartor.engine.train import Look, Run, asking, gathered, prepare, train
from sartor.errors import BadEnvironment, BadInput, GateFailed, Interrupted
from sartor.measuring import by_task, intervals
from sartor.opening import Opening
from sartor.recipe import Recipe
from sartor.run_folder import RunFolder
from sartor.saving import Form, folds_away, lent_bytes, stored

Card = Callable[[Mapping[str, Any]], str]
CHECKPOINTS = "checkpoints"
SAVE_EVERY = 30.0
"""Seconds of training that a killed process may lose; more where saving takes long (see `checkpoint.Saver`)."""


@dataclass(frozen=True)
class Course:
    """A recipe put together with its data: everything that can be refused has been."""

    opening: Opening
    run: Run
    examples: Batch
    held: Batch
    solved_seconds: float
    form: Form | None = None


def ready(opening: Opening, recipe: Recipe, form: Form | None = None) -> Course:
    """Encode both parts, assemble the network, solve its head. Raises `BadInput` for what does not work."""
    recipe = recipe.settled()
    body = recipe.backbone.build(recipe.task.layout)
    if form == "merged" and not folds_away(body, recipe, recipe.plan.steps(len(opening.split.train), join().world)):
        raise no_merge(recipe)
    examples = recipe.task.encode(opening.split.train, body)
    examples = recipe.objective.taught(recipe.task, opening.split.train, examples)
    held = recipe.task.encode(opening.split.validation, body)
    began = time.monotonic()
    run = prepare(recipe, examples)
    join().wait()  # every process has looked at the folder before one writes into it
    return Course(opening, run, examples, held, time.monotonic() - began, form)


def train_recipe(
    course: Course, folder: RunFolder, command: str, card: Card, progress: Callable[[Progress], None]
) -> dict[str, Any]:
    """Train, measure, save. Whatever ends it leaves a checkpoint that the same call goes on from.

    Of several processes the first alone writes, measures and saves; all return what it found."""
    began = time.monotonic()
    opening, run, crew = course.opening, course.run, join()
    crew.wait()  # what an overwritten run left is gone
    _same_data(folder, opening)
    folder.write_json("config.json", {"recipe": run.recipe.to_json(), "command": command})
    folder.write_json("environment.json", environment())
    folder.write_json("data.json", {**opening.facts(), "rows": opening.numbers()})
    told: dict[str, Any] = {"command": command, "engine": account(run, course.examples)}
    effort = Effort.begin()
    _train(course, folder, told["engine"], progress, effort)
    told |= {"parameters": run.parameters, "effort": effort.told()}
    run.net = gathered(run)
    told |= {"method": run.recipe.method.facts(run.net) if crew.rank == 0 else {}}
    return crew.by_first(lambda: _finished(course, folder, told, card, progress, began))


def _finished(
    course: Course,
    folder: RunFolder,
    told: dict[str, Any],
    card: Card,
    progress: Callable[[Progress], None],
    began: float,
) -> dict[str, Any]:
    """The trained network, measured, saved as a bundle and reported; `told` is reported with it."""
    opening, run = course.opening, course.run
    form = settled_form(run.net, run.recipe, course.form)
    progress(Progress("measure", message="quality, latency, throughput"))
    result = _measured(opening, run, course.solved_seconds + run.seconds, began)
    result |= {**told, "folder": str(folder.path), "environment": environment()}
    made = save_network(folder.path / "bundle", run.net, run.recipe, opening.split.train.schema, {}, "", form)
    result["costs"] |= effort_costs(told["effort"]) | {"size_mb": asdict(size_mb(made, lent_bytes(made)))}
    result |= {"stored": stored(made), "base_model": run.recipe.backbone.origin()}
    with_card(made, made, result, card(result))
    result |= {"bundle": str(made)}
    folder.write_json("report.json", result)
    checkpoint.clear(folder.path / CHECKPOINTS)
    return result


def _same_data(folder: RunFolder, opening: Opening) -> None:
    """Raises `BadInput` where the run in this folder, which is to go on, was on other rows."""
    before = folder.read_json("data.json")
    if (
        before is not None
        and checkpoint.complete(folder.path / CHECKPOINTS)
        and before["fingerprint"] != opening.split.fingerprint
    ):
        fix = "give the same data as before, or another --out"
        raise BadInput("RESUME_DATA", "the run in this folder was on other rows", fix=fix, where=str(folder.path))


def _train(
    course: Course,
    folder: RunFolder,
    told: dict[str, Any],
    progress: Callable[[Progress], None],
    effort: Effort,
) -> None:
    """The run to its end, from the last checkpoint where there is one."""
    run = course.run
    saver = checkpoint.Saver(folder.path / CHECKPOINTS, SAVE_EVERY)
    _go_on(run, folder, saver.place)
    steps, noted = run.recipe.plan.steps(len(course.examples), join().world), run.done
    folder.record({"event": "engine", **told})
    progress(Progress("start", message=in_words(told)))
    try:
        for event in train(run, course.examples, course.held, course.opening.split.validation):
            if isinstance(event, Look):
                folder.record({"event": "look", "step": event.step, **event.scores.metrics, **_headlines(event)})
            else:
                with undisturbed():
                    folder.record(_as_event(event))
                    noted = event.number
                effort.took.append(event.seconds)
                left = sum(effort.took) / len(effort.took) * (steps - event.number)
                progress(Progress("train", event.number, steps, left, _said(event)))
            if run.done and not run.diverged and (isinstance(event, Look) or saver.due()):
                saver.save(run)
    except (Interrupted, KeyboardInterrupt, BadEnvironment) as error:
        _rescue(run, folder, saver, noted, error)
        raise
    if run.diverged:
        raise _diverged(run)


def _go_on(run: Run, folder: RunFolder, place: Path) -> None:
    """Put the run where its last checkpoint left it; what was recorded after that happens again and is dropped."""
    if run.state is not None:
        checkpoint.load(run, place)
    looks = {step for step, _ in run.losses}

    def comes_again(event: dict[str, Any]) -> bool:
        if event.get("event") == "look":
            return event["step"] not in looks
        return event.get("event") == "step" and bool(event["number"] > run.done)

    dropped = folder.drop_events(comes_again)
    if dropped is not None:
        folder.record({"event": "resumed", "step": run.done, "dropped": dropped})


def _rescue(run: Run, folder: RunFolder, saver: checkpoint.Saver, noted: int, error: BaseException) -> None:
    """Keep the run as it stands when it is stopped, unless an update is half applied or the disk is full."""
    if run.state is None or not run.done or not run.state.whole or sharded(run.net):
        return  # a sharded network can be saved only by all its processes, and they were not stopped at the same step
    if isinstance(error, BadEnvironment) and error.code == "DISK_FULL":
        return
    if run.state.last is not None and run.done > noted:  # applied, and stopped before anybody heard of it
        folder.record(_as_event(run.state.last))
    saver.save(run)


def _as_event(step: Step) -> dict[str, Any]:
    """A step as `events.jsonl` has it: what is no number in words, for JSON has none; its rows where not applied."""
    facts = {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(step).items()
        if name != "unapplied" or value
    }
    return {"event": "step", **facts}


def _headlines(seen: Look) -> dict[str, float]:
    """The headline of each task, where the recipe's is made of several."""
    return {f"{name}/{one.headline}": one.metrics[one.headline] for name, one in seen.scores.members.items()}


def _said(step: Step) -> str:
    return f"loss {step.loss:.3f}" + (", update not applied" if step.unapplied else "")


def _diverged(run: Run) -> GateFailed:
    assert run.state is not None
    faults, last = run.state.faults, run.state.last
    rows = f" (rows {', '.join(map(str, last.unapplied))})" if last is not None else ""
    often = f" in {faults.in_a_row} updates in a row, at last" if faults.in_a_row > 1 else ""
    message = f"the loss or its gradient was no number{often} at step {run.done}{rows}"
    fix = "look at these rows, or give a lower rate, such as --set plan.learning_rate=1e-5"
    return GateFailed("DIVERGED", message, fix=fix)


def _warnings(run: Run) -> list[str]:
    """What a person should know about how the training went."""
    faults = run.state.faults if run.state is not None else Faults()
    found = []
    if faults.unapplied:
        halved = f"; the rate was halved {faults.halvings} times" if faults.halvings else ""
        found.append(f"{faults.unapplied} updates were not applied: their loss or gradient was no number{halved}")
    if faults.at_once is not None:
        found.append(f"memory sufficed for {faults.at_once} rows at once; updates were gathered from so many")
    return found


def _measured(opening: Opening, run: Run, seconds: float, began: float) -> dict[str, Any]:
    """Scores on the validation and the test part, and what an answer costs."""
    task, held = run.recipe.task, opening.split.validation
    answer = network_answer(run.net, task, run.recipe.objective)
    timings, reference = measure({"": task.asking.served(task, answer, held)}, held, seconds=5.0)
    costs = timings[""].to_json() | {"train_seconds": {"value": seconds, "low": seconds, "high": seconds}}
    parts = {"intervals": held, "test": opening.split.test}
    said = {}
    for name, rows in parts.items():
        with asking(run.net, run.recipe, partial(task.encode, rows, run.net.body)):
            said[name] = task.asking.ask(task, answer, rows)
    scored = {name: intervals(task, said[name], rows) for name, rows in parts.items()}
    apart = {name: by_task(task, said[name], rows) for name, rows in parts.items()}
    return {
        "name": run.recipe.label(),
        "task": task.name,
        "recipe": run.recipe.to_json(),
        "labels": list(getattr(task, "labels", ())),
        "pipeline_tag": task.telling.pipeline,
        "notes": list(task.telling.notes(task)),
        "metrics": {name: found["value"] for name, found in scored["intervals"].items()},
        **scored,
        **_of_tasks(apart["intervals"], apart["test"]),
        **_of_objective(run),
        "rows": len(held),
        "steps": run.done,
        "losses": run.losses,
        "start": run.start,
        "costs": costs,
        "reference": reference.to_json(),
        "data": opening.facts(),
        "warnings": [w.message for w in opening.warnings] + _warnings(run),
        "seconds": time.monotonic() - began,
        "network": True,
    }


def _of_tasks(validation: Mapping[str, Any], test: Mapping[str, Any]) -> dict[str, Any]:
    """What was measured of each task, where the recipe's is made of several."""
    found = {
        name: {
            **told,
            "metrics": {metric: one["value"] for metric, one in told["intervals"].items()},
            "test": test.get(name, {}).get("intervals", {}),
        }
        for name, told in validation.items()
    }
    return {"tasks": found} if found else {}


def _of_objective(run: Run) -> dict[str, Any]:
    found = run.recipe.objective.facts(run.net, run.recipe.task) if run.net.beside is not None else {}
    return {"objective": found} if found else {}
