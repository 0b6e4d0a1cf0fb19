"""How a race is planned and halved, on made-up entries: no network runs here."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from sartor.batch import Batch
from sartor.data.split import split
from sartor.engine.train import Look, Run
from sartor.position import race
from sartor.position.clock import Budget
from sartor.position.entrants import enter
from sartor.position.entry import Entry
from sartor.position.ground import Base, Ground
from sartor.predictions import Predictions, Scores
from text_samples import labelled, task_of

ROWS = labelled(300)
TASK = task_of(ROWS)


def ground(pace: float = 1e-6) -> Ground:
    made = Ground(split(ROWS), TASK, Budget(600.0).started(), seed=0)
    count = len(made.split.validation)
    held = Batch(torch.arange(count), torch.arange(count + 1) * 10)
    train: Any = None
    made.bases["minilm"] = Base(train, held, pace, torch.empty(0), torch.empty(0), train, 0.0)
    return made


def entries() -> list[Entry]:
    return [Entry(c) for c in enter(TASK, ROWS.schema, ["full", "lora"], {"max_steps": "1000"})]


@pytest.mark.parametrize("count", range(1, 40))
def test_the_field_is_halved_to_the_finalists(count: int) -> None:
    fields = race._fields(count)
    assert fields[0] == count
    assert all(later == max(race.FINALISTS, -(-sooner // 2)) for sooner, later in pairwise(fields))
    assert max(race.FINALISTS, -(-fields[-1] // 2)) == race.FINALISTS or count == 1


def test_first_guesses_of_every_family_come_before_second_ones() -> None:
    names = [e.family for e in race._in_turn(entries())]
    assert names == ["full", "lora"] * 4


def test_a_long_budget_races_all_and_the_rungs_double() -> None:
    heat = race.plan(ground(), entries(), {"full": 0.2, "lora": 0.2}, 200.0)
    assert len(heat.entrants) == 8
    assert heat.rungs == [heat.rungs[0], 2 * heat.rungs[0]]
    cost = 0.2 * heat.rungs[0] * (8 + 4)
    assert 0.9 * race.PLANNED * 200 < cost <= race.PLANNED * 200


def test_a_short_budget_races_the_first_guesses() -> None:
    heat = race.plan(ground(), entries(), {"full": 0.2, "lora": 0.2}, 12.0)
    assert [e.family for e in heat.entrants] == ["full", "lora"] * (len(heat.entrants) // 2) + ["full"] * (
        len(heat.entrants) % 2
    )
    assert 2 <= len(heat.entrants) < 8
    assert heat.rungs[0] >= race.LEAST_STEPS or len(heat.entrants) == race.FINALISTS


def test_a_race_never_takes_more_than_half_of_the_planned_updates() -> None:
    assert race.plan(ground(), entries(), {"full": 1e-4, "lora": 1e-4}, 1e4).rungs[-1] <= 500


def raced(made: Ground, losses: dict[str, float]) -> list[Entry]:
    """Entries that have looked at the race's rows: a row's truth has the probability exp(-loss), jittered."""
    rows = made.glance()
    draw = np.random.default_rng(0)
    place = {label: i for i, label in enumerate(TASK.labels)}  # type: ignore[attr-defined]
    truth = np.array([place[str(t)] for t in rows.targets() or ()])
    found = []
    for entry in entries():
        if entry.name not in losses:
            continue
        right = np.exp(-losses[entry.name] * draw.uniform(0.9, 1.1, size=len(rows)))
        p = np.repeat(((1 - right) / (len(place) - 1))[:, None], len(place), 1)
        p[np.arange(len(rows)), truth] = right
        said = Predictions(rows.numbers, np.array(["x"] * len(rows), dtype=object), tuple(place), p)
        scores = Scores({"accuracy": 0.5}, {"log_loss": -np.log(right)})
        nothing: Any = None
        entry.run = Run(nothing, nothing, None, last=Look(10, 1.0, scores, said))
        entry.status = "racing"
        found.append(entry)
    return found


def test_the_first_rung_keeps_the_better_half_and_every_family() -> None:
    made = ground()
    names = [e.name for e in entries()]
    losses = {name: 0.2 + 0.1 * i for i, name in enumerate(names)}
    kept = race._halve(made, raced(made, losses), 1, 10)
    full, lora = names[:4], names[4:]
    assert {e.name for e in kept} == {*full, lora[0]}


def test_later_rungs_drop_a_family_that_is_behind_and_say_why() -> None:
    made = ground()
    events: list[dict[str, Any]] = []
    made = replace(made, record=events.append)
    names = [e.name for e in entries()]
    losses = {names[0]: 0.2, names[1]: 0.21, names[4]: 0.9}
    found = raced(made, losses)
    kept = race._halve(made, found, 2, 20)
    assert [e.name for e in kept] == names[:2]
    dropped = next(e for e in found if e.name == names[4])
    assert dropped.status == "eliminated"
    assert dropped.reason is not None
    assert dropped.reason.startswith("after 20 updates its held-out loss was 0.")
    assert "95 % interval +0." in dropped.reason
    assert events[0]["dropped"] == [{"name": names[4], "reason": dropped.reason}]


def test_of_two_finalists_the_one_that_is_decidedly_behind_leaves() -> None:
    made = ground()
    names = [e.name for e in entries()]
    kept = race._halve(made, raced(made, {names[0]: 0.05, names[4]: 2.5}), 2, 20)
    assert [e.name for e in kept] == [names[0]]
