"""What every objective must do: run over each file on the shelf."""

from __future__ import annotations

import inspect
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sartor.objective import Objective
from sartor.part import names, part, part_class, part_from_json
from text_samples import labelled, measured, several, tagged
from tiny_runs import begun, recipe, steps, weights


@pytest.fixture(params=names("objectives"))
def objective(request: pytest.FixtureRequest) -> Objective:
    found = part("objectives", request.param)
    assert isinstance(found, Objective)
    return found


@pytest.mark.parametrize("sample", [labelled, tagged, measured, several])
def test_one_finite_loss_per_example_with_a_gradient(objective: Objective, sample: object, tiny_encoder: Path) -> None:
    rows = sample(10)  # type: ignore[operator]
    made = replace(recipe(tiny_encoder, rows, max_steps=1), objective=objective)
    run, encoded = begun(made, rows)
    losses = objective(run.net, made.task, encoded)
    assert losses.shape == (10,)
    assert losses.isfinite().all()
    losses.sum().backward()
    assert float(run.net.head.bias.grad.abs().sum()) > 0


def test_an_examples_loss_does_not_depend_on_its_neighbours(objective: Objective, tiny_encoder: Path) -> None:
    rows = labelled(10)
    made = replace(recipe(tiny_encoder, rows, max_steps=1), objective=objective)
    run, encoded = begun(made, rows)
    with torch.no_grad():
        together = objective(run.net, made.task, encoded)
        alone = [objective(run.net, made.task, encoded.take(torch.tensor([i]))) for i in range(10)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sample", [labelled, several])
def test_an_update_is_taken_and_its_parts_are_all_of_it(objective: Objective, sample: Any, tiny_encoder: Path) -> None:
    rows = sample(24)
    made = replace(recipe(tiny_encoder, rows, max_steps=3, learning_rate=1e-3), objective=objective)
    run, encoded = begun(made, rows)
    parts = objective.parts(made.task, encoded)
    assert sorted(number for part in parts for number in part.rows.tolist()) == sorted(encoded.rows.tolist())
    before = weights(run)
    assert all(step.loss == step.loss and not step.unapplied for step in steps(run, encoded))
    assert all(not torch.equal(before[name], weights(run)[name]) for name in run.net.trainable())
    assert json.dumps(objective.facts(run.net, made.task), allow_nan=False)


def test_its_settings_survive(objective: Objective) -> None:
    assert part("objectives", objective.spelled()) == objective
    assert part_from_json("objectives", json.loads(json.dumps(objective.to_json()))) == objective


@pytest.mark.parametrize("name", names("objectives"))
def test_its_file_says_what_it_is(name: str) -> None:
    made = part_class("objectives", name)
    assert inspect.getdoc(sys.modules[made.__module__])
    assert inspect.getdoc(made)
