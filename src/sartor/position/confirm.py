"""Confirm: the finalists run to their end, then again with other seeds while there is time and doubt."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

from sartor.bundle import network_answer
from sartor.engine.features import outputs
from sartor.engine.progress import Progress
from sartor.engine.train import Run, accumulate, advance, loss_of, restore_best
from sartor.position.entrants import with_seed, with_steps
from sartor.position.entry import Entry
from sartor.position.ground import Ground
from sartor.position.race import AVERAGED, glance, start_run
from sartor.position.statistics import paired
from sartor.position.verdict import compare
from sartor.predictions import LOWER_IS_BETTER, Predictions, Scores
from sartor.recipe import Plan

LOOKS = 4
"""Looks at the race's held-out rows between a finalist's last rung and its end."""
MOST_REPEATS = 3
WORTH = 0.3
"""Share of its planned updates that must still fit for a second finalist to be run to its end."""


def probes(ground: Ground, entries: list[Entry]) -> Iterator[Progress]:
    """Candidates without gradient steps are at their end as soon as their head is solved."""
    for entry in entries:
        recipe = entry.candidate.recipe
        if entry.status != "waiting" or recipe is None or recipe.settled().plan.steps(len(ground.split.train)) > 0:
            continue
        yield Progress("probe", 0, 1, ground.budget.left, entry.name)
        start_run(ground, entry)
        base = ground.base(recipe)
        finish(ground, entry, base.start.seconds + base.seconds)
        if len(base.solved) < len(ground.split.train):
            entry.reason = (
                f"fitted on {len(base.solved)} of {len(ground.split.train)} rows, as many as the budget allows"
            )


def confirm(ground: Ground, entries: list[Entry], reserve: float) -> Iterator[Progress]:
    """Finish the survivors of the race, the leader first; leave `reserve` seconds of the budget."""
    alive = sorted((e for e in entries if e.status == "racing"), key=_last_loss)
    for place, entry in enumerate(alive):
        later = len(alive) - place - 1
        seconds = (ground.budget.left - reserve) / (1 + 0.6 * later)
        if place and _affordable(ground, entry, seconds) < WORTH * _planned(ground, entry):
            entry.out("out of time", "it reached the final, and the budget ended before it could be run to its end")
            continue
        yield from _to_the_end(ground, entry, seconds)
    yield from _repeat(ground, [e for e in alive if e.status == "finished"], entries, reserve)


def finish(ground: Ground, entry: Entry, seconds: float) -> None:
    """Score the candidate on the whole validation part, with its best weights and as it will be served."""
    assert entry.run is not None and entry.candidate.recipe is not None
    run = entry.run
    entry.train_seconds = seconds
    predictions, scores = _validated(ground, run)
    entry.facts = run.recipe.method.facts(run.net)
    run.recipe.method.merge(run.net)
    entry.answer = network_answer(run.net, ground.task)
    run.kept, run.state = {}, None
    entry.finish(predictions, scores)
    ground.record(
        {"event": "finished", "name": entry.name, "seconds": seconds, "steps": run.losses[-1][0] if run.losses else 0}
    )


def _to_the_end(ground: Ground, entry: Entry, seconds: float) -> Iterator[Progress]:
    """Run to the plan's end, or to the last update that `seconds` allow, cooling down to it."""
    assert entry.run is not None
    run = entry.run
    steps = max(run.done, min(_planned(ground, entry), run.done + _affordable(ground, entry, seconds)))
    run.recipe = with_steps(run.recipe, steps)
    yield from _looked_at(ground, entry, run, ground.budget.left - seconds)
    restore_best(run)
    finish(ground, entry, ground.base(run.recipe).start.seconds + run.seconds)


def _looked_at(ground: Ground, entry: Entry, run: Run, end: float) -> Iterator[Progress]:
    """Updates to the plan's end with looks on the way: at the averaged weights and, at the end, at the last ones too.

    Where the machine became slower the end comes nearer, so that `end` seconds of the budget are left. There is no
    early stopping: what a run gains it gains while cooling down, and its best weights are kept in any case."""
    every = max(1, math.ceil(((run.recipe.plan.max_steps or 0) - run.done) / LOOKS))
    examples = ground.base(run.recipe).train
    while run.done < (run.recipe.plan.max_steps or 0):
        steps = run.recipe.plan.max_steps or 0
        for step in advance(run, examples, min(run.done + every, steps)):
            if run.diverged:
                return
            if step.number % AVERAGED == 0:
                accumulate(run)
            yield Progress("confirm", step.number, steps, ground.budget.left, entry.name)
        glance(ground, entry)
        possible = run.done + _affordable(ground, entry, ground.budget.left - end)
        if possible < steps:
            run.recipe = with_steps(run.recipe, max(run.done, possible))
    run.average = {}
    glance(ground, entry)


def _repeat(ground: Ground, finalists: list[Entry], entries: list[Entry], reserve: float) -> Iterator[Progress]:
    """The finalists again with other seeds, in turn, until they are told apart from the rest, or time is up."""
    for number in range(1, MOST_REPEATS):
        for entry in finalists:
            if entry.train_seconds * 1.15 > ground.budget.left - reserve or not _doubtful(ground, entry, entries):
                continue
            again = Entry(with_seed(entry.candidate, ground.seed + number))
            start_run(ground, again)
            assert again.run is not None and entry.run is not None
            again.run.recipe = dataclasses.replace(again.run.recipe, plan=_same_end(again.run, entry.run))
            for progress in _looked_at(ground, again, again.run, reserve):
                yield dataclasses.replace(
                    progress, stage="repeat", message=f"{entry.name}, seed {ground.seed + number}"
                )
            restore_best(again.run)
            _, scores = _validated(ground, again.run)
            entry.repeats.append(scores.metrics[scores.headline])
            ground.record(
                {"event": "repeat", "name": entry.name, "seed": ground.seed + number, "score": entry.repeats[-1]}
            )


def _doubtful(ground: Ground, entry: Entry, entries: list[Entry]) -> bool:
    """Whether some other finished candidate is neither shown better nor shown worse."""
    assert entry.scores is not None
    name = entry.scores.headline if entry.scores.headline in entry.scores.items else entry.scores.evidence
    others = [e for e in entries if e.status == "finished" and e is not entry]
    if name not in entry.scores.items:  # a metric of all rows together, such as BLEU
        return any(
            compare(ground.task, entry, o, ground.split.validation, name, ground.seed).verdict == "undecided"
            for o in others
        )
    lower = name in LOWER_IS_BETTER
    verdicts = [paired(entry.items(name), o.items(name), lower_is_better=lower, draws=500).verdict for o in others]
    return any(v == "undecided" for v in verdicts)


def _same_end(again: Run, first: Run) -> Plan:
    return dataclasses.replace(again.recipe.plan, max_steps=first.recipe.plan.max_steps)


def _validated(ground: Ground, run: Run) -> tuple[Predictions, Scores]:
    base = ground.base(run.recipe)
    said = outputs(run.net, base.validation, say=ground.task.say)
    rows = ground.split.validation
    predictions = ground.task.complete(ground.task.answer(said, rows), run.net, rows)
    return predictions, ground.task.score(predictions, rows)


def _affordable(ground: Ground, entry: Entry, seconds: float) -> int:
    """Updates that fit into `seconds` besides the looks and the final scoring."""
    assert entry.run is not None
    base = ground.base(entry.run.recipe)
    tokens = int(base.validation.lengths[ground.glance_places()].sum()) * LOOKS + int(base.validation.lengths.sum())
    pace = entry.run.seconds / max(1, entry.run.done)
    return max(0, int((seconds - base.pace * tokens) / pace))


def _planned(ground: Ground, entry: Entry) -> int:
    assert entry.candidate.recipe is not None
    return entry.candidate.recipe.settled().plan.steps(len(ground.split.train))


def _last_loss(entry: Entry) -> float:

    return loss_of(entry.run.last) if entry.run is not None and entry.run.last is not None else math.inf
