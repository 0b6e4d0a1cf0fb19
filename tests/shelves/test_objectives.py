"""What every objective must do: run over each file on the shelf."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path

import pytest
import torch

from sartor.objective import Objective
from sartor.part import names, part, part_class, part_from_json
from text_samples import labelled, measured, tagged
from tiny_runs import begun, recipe


@pytest.fixture(params=names("objectives"))
def objective(request: pytest.FixtureRequest) -> Objective:
    found = part("objectives", request.param)
    assert isinstance(found, Objective)
    return found


@pytest.mark.parametrize("sample", [labelled, tagged, measured])
def test_one_finite_loss_per_example_with_a_gradient(objective: Objective, sample: object, tiny_encoder: Path) -> None:
    rows = sample(10)  # type: ignore[operator]
    made = recipe(tiny_encoder, rows, max_steps=1)
    run, encoded = begun(made, rows)
    losses = objective(run.net, made.task, encoded)
    assert losses.shape == (10,)
    assert losses.isfinite().all()
    losses.sum().backward()
    assert float(run.net.head.bias.grad.abs().sum()) > 0


def test_an_examples_loss_does_not_depend_on_its_neighbours(objective: Objective, tiny_encoder: Path) -> None:
    rows = labelled(10)
    made = recipe(tiny_encoder, rows, max_steps=1)
    run, encoded = begun(made, rows)
    with torch.no_grad():
        together = objective(run.net, made.task, encoded)
        alone = [objective(run.net, made.task, encoded.take(torch.tensor([i]))) for i in range(10)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_its_settings_survive(objective: Objective) -> None:
    assert part("objectives", objective.spelled()) == objective
    assert part_from_json("objectives", json.loads(json.dumps(objective.to_json()))) == objective


@pytest.mark.parametrize("name", names("objectives"))
def test_its_file_says_what_it_is(name: str) -> None:
    made = part_class("objectives", name)
    assert inspect.getdoc(sys.modules[made.__module__])
    assert inspect.getdoc(made)
