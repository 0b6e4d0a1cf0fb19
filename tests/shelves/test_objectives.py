"""What every objective must do: run over each file on the shelf."""

from __future__ import annotations

import copy
import inspect
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sartor.batch import Batch
from sartor.bundle import save_network
from sartor.data.rows import Rows
from sartor.engine.train import Run
from sartor.errors import BadInput
from sartor.objective import Objective
from sartor.part import names, part, part_class, part_from_json
from text_samples import labelled, measured, several, tagged
from tiny_runs import begun, recipe, steps, weights

ROWWISE = [name for name in names("objectives") if part_class("objectives", name).suited is None]  # type: ignore[attr-defined]
"""Those that learn from episodes have a suite of their own."""
KINDS = {"category": labelled, "labels": tagged, "number": measured, "several": several}


@pytest.fixture(params=ROWWISE)
def objective(request: pytest.FixtureRequest) -> Objective:
    found = part("objectives", request.param)
    assert isinstance(found, Objective)
    return found


def taught(objective: Objective, run: Run, rows: Rows, encoded: Batch, folder: Path) -> Batch:
    """The rows with what the objective learns from besides their targets; a teacher is the network as it stands."""
    if "teacher" in objective.settings():
        save_network(folder / "teacher", copy.deepcopy(run.net), run.recipe, rows.schema, {}, "")
        objective = objective.with_settings(teacher=str(folder / "teacher"))
    return objective.taught(run.recipe.task, rows, encoded)


@pytest.mark.parametrize("kind", KINDS)
def test_one_finite_loss_per_example_with_a_gradient(
    objective: Objective, kind: str, tiny_encoder: Path, tmp_path: Path
) -> None:
    """Or a refusal, where the task predicts nothing that the objective learns from."""
    rows = KINDS[kind](10)
    made = replace(recipe(tiny_encoder, rows, max_steps=1), objective=objective)
    if objective.predicts and kind not in objective.predicts:
        with pytest.raises(BadInput, match="OBJECTIVE_TASK"):
            made.settled()
        return
    run, encoded = begun(made, rows)
    losses = objective(run.net, made.task, taught(objective, run, rows, encoded, tmp_path))
    assert losses.shape == (10,)
    assert losses.isfinite().all()
    losses.sum().backward()
    assert sum(float(w.grad.abs().sum()) for w in run.net.trainable().values() if w.grad is not None) > 0


def test_the_order_of_a_batch_changes_no_examples_loss(
    objective: Objective, tiny_encoder: Path, tmp_path: Path
) -> None:
    rows = labelled(10)
    made = replace(recipe(tiny_encoder, rows, max_steps=1), objective=objective)
    run, encoded = begun(made, rows)
    encoded = taught(objective, run, rows, encoded, tmp_path)
    order = torch.tensor([3, 9, 0, 7, 1, 2, 8, 5, 4, 6])
    with torch.no_grad():
        losses = objective(run.net, made.task, encoded)
        turned = objective(run.net, made.task, encoded.take(order))
    torch.testing.assert_close(turned, losses[order], rtol=1e-4, atol=1e-5)


def test_an_examples_loss_depends_on_its_neighbours_only_where_batches_are_made_for_it(
    objective: Objective, tiny_encoder: Path, tmp_path: Path
) -> None:
    rows = labelled(10)
    made = replace(recipe(tiny_encoder, rows, max_steps=1), objective=objective)
    run, encoded = begun(made, rows)
    encoded = taught(objective, run, rows, encoded, tmp_path)
    groups = objective.groups(made.task, encoded)
    if groups is not None:
        assert groups.shape == (10,)
        assert groups.dtype == torch.int64
        return
    with torch.no_grad():
        together = objective(run.net, made.task, encoded)
        alone = [objective(run.net, made.task, encoded.take(torch.tensor([i]))) for i in range(10)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sample", [labelled, several])
def test_an_update_is_taken_and_its_parts_are_all_of_it(
    objective: Objective, sample: Any, tiny_encoder: Path, tmp_path: Path
) -> None:
    rows = sample(24)
    made = replace(recipe(tiny_encoder, rows, max_steps=3, learning_rate=1e-3), objective=objective)
    if objective.predicts and not objective.predicts & made.task.reading.predicts:
        return  # refused: see above
    run, encoded = begun(made, rows)
    encoded = taught(objective, run, rows, encoded, tmp_path)
    parts = objective.parts(made.task, encoded)
    assert sorted(number for part in parts for number in part.rows.tolist()) == sorted(encoded.rows.tolist())
    before = weights(run)
    assert all(step.loss == step.loss and not step.unapplied for step in steps(run, encoded))
    inside = [name for name in run.net.trainable() if name.startswith("body.")]
    assert all(not torch.equal(before[name], weights(run)[name]) for name in inside)
    assert json.dumps(objective.facts(run.net, made.task), allow_nan=False)


def test_its_settings_survive(objective: Objective) -> None:
    assert part("objectives", objective.spelled()) == objective
    assert part_from_json("objectives", json.loads(json.dumps(objective.to_json()))) == objective


@pytest.mark.parametrize("name", names("objectives"))
def test_its_file_says_what_it_is(name: str) -> None:
    made = part_class("objectives", name)
    assert inspect.getdoc(sys.modules[made.__module__])
    assert inspect.getdoc(made)
