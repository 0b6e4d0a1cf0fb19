"""The course: measure, floor, triage, race, confirm, weigh; at any moment it can be stopped and says what it knows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sartor.compressor import Compressor
from sartor.engine.progress import Progress
from sartor.errors import SartorError
from sartor.position.confirm import confirm, probes
from sartor.position.costs import Limits, measure_finished, measure_untrained
from sartor.position.entry import Entry
from sartor.position.floor import floor
from sartor.position.ground import Ground, feel, views
from sartor.position.race import race
from sartor.position.shrink import shrink

RACE_SHARE = 0.45
"""Of the time between the floor and the end: the race; the rest goes to running the finalists to their end."""
ENDING = 0.8
"""Of what is kept for the end: what must be left of it once the leader has been made smaller."""
FEEL_SHARE = 0.25
"""Of the time left when it begins: the most that one backbone's feature pass may take."""


@dataclass
class Log:
    """What happened on the way, for the report."""

    stages: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reference: dict[str, Any] | None = None


def course(
    ground: Ground, entries: list[Entry], limits: Limits, log: Log, smaller: Sequence[Compressor] = ()
) -> Iterator[Progress]:
    """Run every stage that there is time for. `entries` and `log` fill up on the way; `smaller` forms of the leader are
    entries too."""
    total = ground.budget.seconds
    ruler = max(2.0, min(10.0, 0.02 * total))
    yield from _timed(log, "measure", measure_untrained(ground, entries, limits, ruler))
    yield from _timed(log, "floor", floor(ground, entries))
    yield from _timed(log, "triage", _triage(ground, entries))
    reserve = _reserve(ground, entries, ruler, len(smaller))
    yield from _timed(log, "race", race(ground, entries, RACE_SHARE * (ground.budget.left - reserve)))
    yield from _timed(log, "confirm", confirm(ground, entries, reserve))
    if smaller:
        yield from _timed(log, "shrink", shrink(ground, entries, smaller, ENDING * reserve, log.notes))
    yield from _timed(log, "weigh", _weigh(ground, entries, limits, ruler, log))


def _triage(ground: Ground, entries: list[Entry]) -> Iterator[Progress]:
    """One cached feature pass per view; every candidate that shares it starts from the head it gives."""
    waiting = [e for e in entries if e.network and e.status == "waiting"]
    for view, recipe in views([e.candidate for e in waiting]).items():
        yield Progress("triage", 0, 1, ground.budget.left, f"frozen features of {view}")
        try:
            ground.bases[view] = feel(ground, recipe, FEEL_SHARE)
        except SartorError as error:
            for entry in waiting:
                if entry.candidate.recipe is not None and entry.candidate.recipe.view() == view:
                    entry.out("failed", error.message)
    yield from probes(ground, entries)


def _weigh(ground: Ground, entries: list[Entry], limits: Limits, seconds: float, log: Log) -> Iterator[Progress]:
    finished = sum(e.status == "finished" for e in entries)
    yield Progress("weigh", 0, finished, ground.budget.left, "latency, throughput, memory, size")
    reference, notes = measure_finished(ground, entries, limits, 1.5 * seconds)
    log.reference = None if reference is None else reference.to_json()
    log.notes += notes


def _reserve(ground: Ground, entries: list[Entry], ruler: float, forms: int) -> float:
    """Seconds kept for the end: smaller forms, the ruler, a process for each one's and each baseline's memory, the test
    part, the report."""
    baselines = sum(not e.network and e.status == "finished" for e in entries)
    each = (base.pace * float(base.validation.lengths.float().mean()) for base in ground.bases.values())
    forward = max(each, default=0.0) * len(ground.split.test)
    return 1.5 * ruler + 6.0 * (baselines + forms) + (1.5 + 2.0 * forms) * forward + 5.0 + 0.01 * ground.budget.seconds


def _timed(log: Log, name: str, stage: Iterator[Progress]) -> Iterator[Progress]:
    began = time.monotonic()
    try:
        yield from stage
    finally:
        log.stages.append({"name": name, "seconds": time.monotonic() - began})
