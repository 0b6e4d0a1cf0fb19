"""The race: paused loops on the same batches, judged on the same held-out rows by log-loss, halved rung by rung.

Successive halving (Jamieson and Talwalkar 2016, arXiv 1502.07943) with three changes. Candidates are judged by paired
per-row log-loss, the signal with the least noise (a temperature is fitted crosswise first, so that calibration alone
decides nothing). They are judged with averaged weights, so that a high rate does not lose to noise that cooling down
would take out. And every family keeps its best member through the first rung, because some methods start slowly.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sartor.engine.account import account
from sartor.engine.progress import Progress
from sartor.engine.train import Look, accumulate, advance, averaged, look, note, prepare
from sartor.errors import SartorError
from sartor.position.entry import Entry
from sartor.position.evidence import evidence
from sartor.position.ground import Ground
from sartor.position.statistics import paired
from sartor.predictions import Floats
from sartor.recipe import Recipe

FINALISTS = 2
TIMED = 4
"""Updates that tell a family's pace; the first of them, which warms up, does not count."""
PLANNED = 0.85
"""Of the race's time: what rungs are planned for. The first updates are timed a little too fast, and who comes last in
a rung must not pay for it."""
LEAST_STEPS = 10
"""Updates in the first rung below which a race says nothing; fewer candidates enter instead."""
AVERAGED = 4
"""Updates between two weights that enter the average which is judged: a high rate must not lose to its own noise."""
DECIDED = 20.0
"""An e-value of 20 for each candidate rejects at 5 % over them all (Ramdas et al. 2023, arXiv 2210.01948).

The rungs look at the same rows, which the guarantee does not cover: no error rate is claimed for the race."""
WIDEST = 3.0
"""Log-loss differences are clipped to this many nats before they are bet on."""


@dataclass(frozen=True)
class Heat:
    """How a race is run: who enters, the updates at which each rung ends, the first rung's share of the time."""

    entrants: list[Entry]
    rungs: list[int]
    opening: float = 1.0


def race(ground: Ground, entries: list[Entry], seconds: float) -> Iterator[Progress]:
    """Race what waits; the survivors stay "racing". Takes about `seconds`."""
    runners = [e for e in entries if e.network and e.status == "waiting" and _steps(ground, e) > 0]
    if not runners:
        return
    end = ground.budget.left - seconds
    paces: dict[str, float] = {}
    starts: dict[str, float] = {}
    yield from _calibrate(ground, runners, paces, starts)
    starting = sum(starts[e.family] for e in runners if e.run is None)  # a network is put together for each of them
    heat = plan(ground, runners, paces, ground.budget.left - end - starting)
    for late in (e for e in runners if e not in heat.entrants):
        late.out("out of time", "the budget is too short to race it; give more time or name fewer candidates")
    alive, opening = heat.entrants, starting + (ground.budget.left - end - starting) * heat.opening
    for number, planned in enumerate(heat.rungs, 1):
        until = planned if number == 1 else _possible(ground, alive, planned, ground.budget.left - end)
        closing = ground.budget.left - (opening if number == 1 else math.inf)
        yield from _run_rung(ground, alive, number, until, len(heat.rungs), closing)
        alive = [e for e in alive if e.status == "racing"]
        alive = _halve(ground, alive, number, until) if alive else []
        if len(alive) <= FINALISTS:
            return


def plan(ground: Ground, runners: list[Entry], paces: dict[str, float], seconds: float) -> Heat:
    """Rungs at a, 2a, 4a, ... updates that together take about `seconds`; the last guesses leave first."""
    entrants = _in_turn(runners)
    while True:
        fields = _fields(len(entrants))
        one_look = ground.base(_recipe(entrants[0])).pace * _glance_tokens(ground, entrants[0])
        looks = one_look * sum(fields)
        pace = statistics.mean(paces[e.family] for e in entrants)
        shares = [1] + [2 ** (k - 1) for k in range(1, len(fields))]
        each = (PLANNED * seconds - looks) / (pace * sum(f * s for f, s in zip(fields, shares, strict=True)))
        if each >= LEAST_STEPS or len(entrants) <= FINALISTS:
            break
        entrants = entrants[:-1]
    most = min(_steps(ground, e) for e in entrants) // 2
    first = max(1, min(int(each), most // 2 ** (len(fields) - 1)))
    work = [f * s for f, s in zip(fields, shares, strict=True)]
    return Heat(entrants, [first * 2**k for k in range(len(fields))], work[0] / sum(work))


def _possible(ground: Ground, alive: list[Entry], planned: int, seconds: float) -> int:
    """The rung's end: as planned, or sooner where the machine has become slower; at least one update further."""
    runs = [e.run for e in alive if e.run is not None]
    done = max(run.done for run in runs)
    looks = len(runs) * ground.base(_recipe(alive[0])).pace * _glance_tokens(ground, alive[0])
    pace = sum(run.seconds / max(1, run.done) for run in runs)
    return max(done + 1, min(planned, done + int((seconds - looks) / pace)))


def start_run(ground: Ground, entry: Entry) -> None:
    """Assemble the candidate's network at its head start."""
    base = ground.base(_recipe(entry))
    entry.run = prepare(_recipe(entry), base.train, base.start, ground.prefixes)
    entry.engine = account(entry.run, base.train)
    entry.status = "racing"
    if entry.run.state is None:
        return
    solved = entry.run.recipe.plan.head_start == "solved"
    common = solved and entry.run.start is base.start.chosen
    if base.first is None or not common:
        first = glance(ground, entry)
        base.first = first if common else base.first
        return
    note(entry.run, base.first)
    entry.looks.append(as_point(base.first))


def glance(ground: Ground, entry: Entry) -> Look:
    """One look at the race's held-out rows, kept for the report."""
    assert entry.run is not None
    held = ground.glanced(_recipe(entry))
    with averaged(entry.run):
        seen = look(entry.run, held, ground.glance())
    entry.looks.append(as_point(seen))
    return seen


def as_point(seen: Look) -> dict[str, Any]:
    return {"step": seen.step, "seconds": seen.seconds, **seen.scores.metrics}


def _calibrate(
    ground: Ground, runners: list[Entry], paces: dict[str, float], starts: dict[str, float]
) -> Iterator[Progress]:
    """A few updates of every family's first guess tell how long one takes, and how long its start; they count as part
    of its run."""
    for entry in runners:
        if entry.family in paces:
            continue
        yield Progress("race", 0, None, ground.budget.left, f"timing {entry.name}")
        before = ground.budget.left
        start_run(ground, entry)
        starts[entry.family] = before - ground.budget.left
        assert entry.run is not None
        taken = [step.seconds for step in advance(entry.run, ground.base(_recipe(entry)).train, TIMED)]
        paces[entry.family] = statistics.median(taken[1:] or taken)


def _run_rung(
    ground: Ground, alive: list[Entry], number: int, until: int, rungs: int, late: float
) -> Iterator[Progress]:
    """Everybody to the rung's end; those whose turn comes when less than `late` seconds are left no longer start."""
    for i, entry in enumerate(alive):
        if ground.budget.left < late and i >= FINALISTS:
            entry.out("out of time", "the race's time was used up before its turn; give more time")
            continue
        yield Progress("race", i, len(alive), ground.budget.left, f"rung {number} of {rungs}: {entry.name}")
        try:
            if entry.run is None:
                start_run(ground, entry)
            assert entry.run is not None
            for step in advance(entry.run, ground.base(_recipe(entry)).train, until):
                if entry.run.diverged:
                    entry.out(
                        "failed", f"the loss became {step.loss} at step {step.number}: the learning rate is too high"
                    )
                    break
                if step.number % AVERAGED == 0:
                    accumulate(entry.run)
                yield Progress("race", i, len(alive), ground.budget.left, f"rung {number} of {rungs}: {entry.name}")
            if entry.status == "racing":
                glance(ground, entry)
        except SartorError as error:
            entry.out("failed", error.message)


def _halve(ground: Ground, alive: list[Entry], number: int, until: int) -> list[Entry]:
    """The better half and, in the first rung, every family's best; without those decidedly worse than the leader."""
    losses = {e.name: _last(e).scores.losses for e in alive}
    ranked = sorted(alive, key=lambda e: (float(losses[e.name].mean()), e.name))
    keep = max(FINALISTS, math.ceil(len(ranked) / 2))
    chosen = ranked[:keep]
    if number == 1:
        firsts = {e.family: e for e in reversed(ranked)}
        chosen += [e for e in firsts.values() if e not in chosen]
    dropped = []
    for entry in ranked:
        against = losses[entry.name] - losses[ranked[0].name]
        decided = entry is not ranked[0] and number > 1 and evidence(against, WIDEST) >= DECIDED * len(ranked)
        if entry in chosen and not decided:
            continue
        chosen = [e for e in chosen if e is not entry]
        dropped.append(_drop(entry, ranked[0], losses, until))
    ground.record(
        {"event": "rung", "rung": number, "steps": until, "alive": [e.name for e in chosen], "dropped": dropped}
    )
    return chosen


def _drop(entry: Entry, leader: Entry, losses: dict[str, Floats], until: int) -> dict[str, str]:
    found = paired(losses[entry.name], losses[leader.name], lower_is_better=True, metric="log_loss")
    reason = (
        f"after {until} updates its held-out loss was {losses[entry.name].mean():.3f}, "
        f"{leader.name}'s {losses[leader.name].mean():.3f} "
        f"(difference {found.difference:+.3f}, 95 % interval {found.low:+.3f} to {found.high:+.3f})"
    )
    if entry.run is not None:
        entry.train_seconds = entry.run.seconds
    entry.out("eliminated", reason)
    return {"name": entry.name, "reason": reason}


def _in_turn(runners: list[Entry]) -> list[Entry]:
    """First guesses of every family, then second guesses, ...; so that cutting the tail cuts the least promising."""
    lines: dict[str, list[Entry]] = {}
    for entry in runners:
        lines.setdefault(entry.family, []).append(entry)
    longest = max(len(line) for line in lines.values())
    return [line[i] for i in range(longest) for line in lines.values() if i < len(line)]


def _fields(count: int) -> list[int]:
    """How many run in each rung: halved until the finalists are left."""
    fields = [count]
    while fields[-1] > FINALISTS:
        fields.append(max(FINALISTS, math.ceil(fields[-1] / 2)))
    return fields[:-1] or [count]


def _glance_tokens(ground: Ground, entry: Entry) -> int:
    held = ground.base(_recipe(entry)).validation
    return int(held.lengths[ground.glance_places()].sum())


def _steps(ground: Ground, entry: Entry) -> int:
    recipe = _recipe(entry).settled()
    return recipe.plan.steps(len(ground.split.train))


def _last(entry: Entry) -> Look:
    assert entry.run is not None and entry.run.last is not None
    return entry.run.last


def _recipe(entry: Entry) -> Recipe:
    assert entry.candidate.recipe is not None
    return entry.candidate.recipe
