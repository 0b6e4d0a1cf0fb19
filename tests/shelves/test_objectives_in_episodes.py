"""What every objective that learns from episodes must do: run over each such file on the shelf."""

from __future__ import annotations

import inspect
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from sartor.batch import Batch
from sartor.data.rows import Rows
from sartor.engine.episodes import batches, opened, parted
from sartor.engine.features import outputs
from sartor.engine.train import Run, prepare
from sartor.errors import BadInput
from sartor.objective import Objective
from sartor.part import names, part, part_class, part_from_json
from sartor.recipe import Recipe
from sartor.task import Task
from text_samples import families, personal, sensors, task_of
from tiny_runs import begun, recipe, same_bits, steps, weights

EPISODIC = [name for name in names("objectives") if part_class("objectives", name).suited is not None]  # type: ignore[attr-defined]
SAMPLES = {
    "few_shot": {"families": families, "personal": personal, "sensors": sensors},
}
"""The task an objective is made for -> rows that it learns from."""


@dataclass(frozen=True)
class Case:
    """An objective, a run that has not begun, and an update for it: rows, or episodes."""

    objective: Objective
    sample: str
    recipe: Recipe
    run: Run
    examples: Batch
    batch: Batch


def cases() -> list[tuple[str, str]]:
    """(objective, sample) for every sample of its task that the objective does not refuse."""
    found = []
    for name in EPISODIC:
        made = part("objectives", name)
        assert isinstance(made, Objective)
        assert made.suited is not None
        for sample, rows in SAMPLES[made.suited].items():
            try:
                made.suits(_task(made, rows(120)))
            except BadInput:
                continue
            found.append((name, sample))
    return found


def _task(objective: Objective, rows: Rows) -> Task:
    task = task_of(rows) if objective.suited is None else part("tasks", objective.suited).learn(rows)  # type: ignore[attr-defined]
    assert isinstance(task, Task)
    return task


@pytest.fixture(params=EPISODIC)
def objective(request: pytest.FixtureRequest) -> Objective:
    found = part("objectives", request.param)
    assert isinstance(found, Objective)
    return found


@pytest.fixture(params=cases(), ids="-".join)
def case(request: pytest.FixtureRequest, tiny_encoder: Path) -> Case:
    name, sample = request.param
    found = part("objectives", name)
    assert isinstance(found, Objective)
    rows = SAMPLES[found.suited][sample](120)
    made = recipe(tiny_encoder, rows, objective=name, task=_task(found, rows), max_steps=1)
    run, encoded = begun(made, rows)
    shape = found.shape(made.task)
    batch = encoded if shape is None else next(batches(encoded, shape, 4 * shape.rows, 0, 0))
    return Case(found, sample, made, run, encoded, batch)


def test_it_learns_from_some_sample(objective: Objective) -> None:
    assert any(name == objective.name for name, _ in cases())


def test_one_finite_loss_per_entry_with_a_gradient(case: Case) -> None:
    losses = case.objective(case.run.net, case.recipe.task, case.batch)
    assert losses.shape == (len(case.batch),)
    assert losses.isfinite().all()
    losses.sum().backward()
    gradients = [w.grad for w in case.run.net.trainable().values() if w.grad is not None]
    assert sum(float(g.abs().sum()) for g in gradients) > 0


def test_an_entrys_loss_does_not_depend_on_its_neighbours(case: Case) -> None:
    made = case.recipe
    together = case.objective(case.run.net, made.task, case.batch).detach()
    alone = [
        case.objective(case.run.net, made.task, case.batch.take(torch.tensor([i]))).detach()
        for i in range(len(case.batch))
    ]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_what_it_learns_from_examples_are_weights_of_the_network(case: Case) -> None:
    """And the network keeps its own."""
    made, run = case.recipe, case.run
    before = weights(run)
    one = case.batch if case.objective.suited is None else opened(case.batch.take(torch.tensor([0])))
    learned = case.objective.adapted(run.net, made.task, one)
    again = outputs(run.net, one, learned=learned)
    assert torch.equal(outputs(run.net, one, learned=case.objective.adapted(run.net, made.task, one)), again)
    assert set(learned) <= set(run.net.trainable())
    assert bool(learned) == (case.objective.suited is not None)
    assert same_bits(before, weights(run))


def test_a_few_updates_lower_the_loss_of_what_is_asked(case: Case) -> None:
    """After learning from the examples, where there are any; rows of six places are too few for 30 updates."""
    if case.sample == "sensors":
        return
    plan = replace(case.recipe.plan, max_steps=30, learning_rate=3e-3, per_device_train_batch_size=128)
    run = prepare(replace(case.recipe, plan=plan), case.examples)
    before = _asked(case, run)
    assert len(list(steps(run, case.examples))) == 30
    assert _asked(case, run) < before - 0.01


def _asked(case: Case, run: Run) -> float:
    task, shape = case.recipe.task, case.objective.shape(case.recipe.task)
    if shape is None:
        return float(task.loss(outputs(run.net, case.batch), case.batch).mean())
    losses = []
    for i in range(len(case.batch)):
        examples, questions = parted(opened(case.batch.take(torch.tensor([i]))), shape)
        learned = case.objective.adapted(run.net, task, examples)
        losses.append(task.loss(outputs(run.net, questions, learned=learned), questions).mean())
    return float(torch.stack(losses).mean())


def test_its_settings_survive(objective: Objective) -> None:
    assert part("objectives", objective.spelled()) == objective
    assert part_from_json("objectives", json.loads(json.dumps(objective.to_json()))) == objective


@pytest.mark.parametrize("name", names("objectives"))
def test_its_file_says_what_it_is(name: str) -> None:
    made = part_class("objectives", name)
    assert inspect.getdoc(sys.modules[made.__module__])
    assert inspect.getdoc(made)
