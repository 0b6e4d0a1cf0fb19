"""Carry out one order: the course, the verdict, the bundle, everything on disk; also when it is cut short."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sartor.bundle import Bundle, save_baseline, save_network, with_card
from sartor.compressor import Compressor
from sartor.engine.environment import environment
from sartor.engine.progress import Progress
from sartor.errors import BadInput, Interrupted
from sartor.opening import Opening
from sartor.position import results
from sartor.position.clock import Budget
from sartor.position.costs import Limits
from sartor.position.course import Log, course
from sartor.position.entry import Candidate, Entry
from sartor.position.ground import Ground
from sartor.position.verdict import Verdict, decide
from sartor.predictions import Predictions
from sartor.run_folder import RunFolder
from sartor.saving import stored

Card = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True)
class Order:
    """What was asked for. `card` renders a bundle's README from facts; `spent`: seconds used before this began;
    `smaller`: the forms in which the leader enters once more."""

    opening: Opening
    candidates: list[Candidate]
    limits: Limits
    seconds: float
    metric: str | None
    seed: int
    command: str
    card: Card
    spent: float = 0.0
    smaller: tuple[Compressor, ...] = ()


def carry_out(order: Order, folder: RunFolder, progress: Callable[[Progress], None]) -> dict[str, Any]:
    """Run the course and return the result. An interruption ends the course early; what is finished is judged."""
    events: list[dict[str, Any]] = []
    ground = _ground(order, folder, events)
    entries = [Entry(candidate) for candidate in order.candidates]
    log = Log()
    before = _begin(order, folder, ground, entries, log, events)
    stopped: Interrupted | None = None
    try:
        for step in course(ground, entries, order.limits, log, order.smaller):
            _keep_finished(folder, ground, entries)
            progress(step)
    except Interrupted as error:
        stopped = error
        folder.record({"event": "interrupted", "message": error.message})
    _keep_finished(folder, ground, entries)
    result = conclude(order, folder, ground, entries, log, events, complete=stopped is None and before)
    if stopped is not None and result["pick"] is None:
        raise stopped
    return result


def conclude(
    order: Order,
    folder: RunFolder,
    ground: Ground,
    entries: list[Entry],
    log: Log,
    events: list[dict[str, Any]],
    *,
    complete: bool,
) -> dict[str, Any]:
    """The verdict, the pick's test score, its bundle, and `report.json`."""
    for entry in entries:
        if entry.status in ("racing", "waiting"):
            entry.status, entry.reason = "out of time", "the course ended before it was finished"
    verdict = decide(ground, entries, order.metric)
    result = _result(order, folder, ground, entries, log, events, verdict, complete)
    if verdict is None and complete:
        raise _nothing(entries)
    if verdict is not None:
        result["pick"]["bundle"] = str(_hand_over(order, folder, ground, verdict, result))
    result["seconds"] = ground.budget.used
    folder.write_json("report.json", result)
    _save_state(folder, ground, entries, events, complete)
    if complete:
        shutil.rmtree(folder.path / "candidates", ignore_errors=True)
    return result


def _ground(order: Order, folder: RunFolder, events: list[dict[str, Any]]) -> Ground:
    def record(event: dict[str, Any]) -> None:
        events.append(event)
        folder.record(event)

    budget = Budget(order.seconds, order.spent).started()
    return Ground(order.opening.split, order.opening.task, budget, order.seed, record=record)


def _begin(
    order: Order, folder: RunFolder, ground: Ground, entries: list[Entry], log: Log, events: list[dict[str, Any]]
) -> bool:
    """Write down what was asked, or take up what an earlier try of the same order left."""
    asked = {
        "candidates": [e.candidate.to_json() | {"name": e.name} for e in entries],
        "limits": order.limits.to_json(),
        "metric": order.metric,
        "seed": order.seed,
    }
    data = {**order.opening.facts(), "rows": order.opening.numbers()}
    state = folder.read_json("state.json")
    if state is not None:
        _same_order(folder, asked, data)
        _take_up(folder, ground, entries, state)
        events += state["events"]
        log.notes.append("this run was interrupted and resumed")
    folder.write_json("config.json", {**asked, "budget_seconds": order.seconds, "command": order.command})
    folder.write_json("environment.json", environment())
    folder.write_json("data.json", data)
    return True


def _same_order(folder: RunFolder, asked: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Raises `BadInput` where the folder holds a run of something else."""
    before, used = folder.read_json("config.json") or {}, folder.read_json("data.json") or {}
    import json

    plain = json.loads(json.dumps(asked, default=str))
    for name, value in plain.items():
        if before.get(name) != value:
            fix = "give the same words as before, or another --out"
            raise BadInput("RESUME_OTHER", f"the run in this folder had other {name}", fix=fix, where=str(folder.path))
    if used.get("fingerprint") != data["fingerprint"]:
        fix = "give the same data as before, or another --out"
        raise BadInput("RESUME_DATA", "the run in this folder was on other rows", fix=fix, where=str(folder.path))


def _take_up(folder: RunFolder, ground: Ground, entries: list[Entry], state: Mapping[str, Any]) -> None:
    """Entries as an earlier try left them; finished ones answer through the bundles it kept."""
    ground.budget = dataclasses.replace(ground.budget, spent=ground.budget.spent + state["seconds"])
    for entry in entries:
        known = state["entries"].get(entry.name)
        if known is None:
            continue
        entry.looks = known["looks"]
        if known["status"] in ("eliminated", "failed", "over limit"):
            entry.status, entry.reason = known["status"], known["reason"]
        kept = folder.place("candidates", entry.name)
        if known["status"] == "finished" and kept.is_dir():
            predictions = Predictions.load(folder.place("predictions", entry.name, ".parquet"))
            entry.finish(predictions, ground.task.score(predictions, ground.split.validation))
            entry.answer, entry.train_seconds = Bundle.load(kept).answer, known["train_seconds"]
            entry.repeats, entry.kept = known["repeats"], kept


def _keep_finished(folder: RunFolder, ground: Ground, entries: list[Entry]) -> None:
    """Every candidate that has finished since: its predictions, and itself as a bundle, so that nothing is lost."""
    for entry in entries:
        said = folder.place("predictions", entry.name, ".parquet")
        if entry.status != "finished" or entry.predictions is None or (entry.kept is not None and said.exists()):
            continue
        entry.predictions.save(said)
        entry.kept = entry.kept or save_entry(folder.place("candidates", entry.name), ground, entry)
        _save_state(folder, ground, entries, None, False)


def save_entry(path: Path, ground: Ground, entry: Entry) -> Path:
    """A finished candidate as a bundle, its card still empty."""
    schema = ground.split.train.schema
    if entry.run is not None:
        return save_network(path, entry.run.net, entry.run.recipe, schema, {"parameters": entry.run.parameters}, "")
    assert entry.candidate.baseline is not None and entry.fitted is not None
    return save_baseline(path, ground.task, entry.candidate.baseline, entry.fitted, schema, {}, "")


def _save_state(
    folder: RunFolder, ground: Ground, entries: list[Entry], events: list[dict[str, Any]] | None, complete: bool
) -> None:
    known = {
        e.name: {
            "status": e.status,
            "reason": e.reason,
            "train_seconds": e.train_seconds,
            "looks": e.looks,
            "repeats": e.repeats,
        }
        for e in entries
    }
    earlier = folder.read_json("state.json") or {"events": []}
    state = {"complete": complete, "seconds": ground.budget.used, "entries": known}
    folder.write_json("state.json", {**state, "events": earlier["events"] if events is None else events})


def _result(
    order: Order,
    folder: RunFolder,
    ground: Ground,
    entries: list[Entry],
    log: Log,
    events: list[dict[str, Any]],
    verdict: Verdict | None,
    complete: bool,
) -> dict[str, Any]:
    shown = {
        "pick": None if verdict is None else _pick(ground, verdict, entries),
        "candidates": [results.candidate(ground, e, verdict) for e in entries],
        "frontier": [] if verdict is None else list(verdict.frontier.names),
        "tied": [] if verdict is None else list(verdict.ties.tied),
        "headline": order.metric if verdict is None else verdict.metric,
        "race": {"rungs": results.rungs(events)},
        "data": results.data_facts(ground),
        "warnings": [w.message for w in order.opening.warnings] + log.notes,
        "limits": {k: v for k, v in order.limits.to_json().items() if v is not None},
        "budget_seconds": order.seconds,
        "seconds": ground.budget.used,
        "complete": complete,
        "stages": log.stages,
        "environment": environment(),
        "measured": results.measured(log, ground),
        "command": order.command,
        "task": ground.task.name,
        "seed": order.seed,
        "folder": str(folder.path),
    }
    if verdict is not None and verdict.corrected is not None:
        shown["selection"] = verdict.corrected.to_json()
    return shown


def _pick(ground: Ground, verdict: Verdict, entries: list[Entry]) -> dict[str, Any]:
    pick = verdict.pick
    assert pick.scores is not None
    facts = {
        "name": pick.name,
        "family": pick.family,
        "bundle": None,
        "why": verdict.why,
        "metrics": pick.scores.metrics,
    }
    facts["costs"] = None if pick.costs is None else pick.costs.to_json()
    return facts | results.test_scores(ground, verdict, entries)


def _hand_over(order: Order, folder: RunFolder, ground: Ground, verdict: Verdict, result: Mapping[str, Any]) -> Path:
    """The pick as the run's bundle, with the card that its measurements fill."""
    pick = verdict.pick
    assert pick.kept is not None
    card = Bundle.load(pick.kept).card | {
        "name": pick.name,
        "recipe": pick.candidate.to_json(),
        "labels": list(getattr(ground.task, "labels", ())),
        "pipeline_tag": ground.task.telling.pipeline,
        "notes": list(ground.task.telling.notes(ground.task)),
        "task": ground.task.name,
        "metrics": result["pick"]["metrics"],
        "test": result["pick"]["test"],
        "costs": result["pick"]["costs"],
        "data": {k: v for k, v in result["data"].items() if k != "classes"},
        "environment": result["environment"],
        "command": order.command,
        "why": verdict.why,
        "network": pick.network,
        "method": pick.facts,
    }
    if pick.candidate.recipe is not None:
        card |= {"stored": stored(pick.kept), "base_model": pick.candidate.recipe.backbone.origin()}
    return with_card(pick.kept, folder.path / "bundle", card, order.card(card))


def _nothing(entries: list[Entry]) -> BadInput:
    reasons = "; ".join(f"{e.name}: {e.reason}" for e in entries if e.reason)[:300]
    fix = "give more time or wider limits"
    return BadInput("POSITION_NOTHING", f"no candidate was finished within the limits ({reasons})", fix=fix)
