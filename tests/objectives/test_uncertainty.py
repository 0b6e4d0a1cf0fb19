"""Uncertainty weighting: its formula, its optimum, and that a run keeps what was learned."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sartor.engine import checkpoint
from sartor.engine.fit import rate
from sartor.engine.train import Look, prepare, train
from sartor.errors import BadInput
from sartor.objectives.uncertainty import Uncertainty
from sartor.part import part
from text_samples import labelled, several
from tiny_runs import begun, examples, recipe, same_bits, steps

ROWS, HELD = several(40), several(30, 1)
OBJECTIVE = Uncertainty()


def made(encoder: Path, objective: str = "uncertainty", **plan: Any) -> Any:
    return replace(recipe(encoder, ROWS, **plan), objective=part("objectives", objective)).settled()


def test_it_is_the_papers_formula(tiny_encoder: Path) -> None:
    run, encoded = begun(made(tiny_encoder, max_steps=1), ROWS)
    s = torch.tensor([0.5, -1.0, 2.0])
    with torch.no_grad():
        run.net.beside.values.copy_(s)
        losses = run.recipe.task.loss(run.net(encoded), encoded)
        found = OBJECTIVE(run.net, run.recipe.task, encoded)
    which = encoded.dense["task"]
    variance = s.exp()[which]
    torch.testing.assert_close(found, losses / variance + variance.sqrt().log())
    weights = OBJECTIVE.facts(run.net, run.recipe.task)["weights"]
    assert weights == {
        "topic": pytest.approx(math.exp(-0.5)),
        "cost": pytest.approx(math.e),
        "tags": pytest.approx(math.exp(-2)),
    }


def test_at_its_optimum_a_task_counts_one_over_twice_its_loss(tiny_encoder: Path) -> None:
    """The network held still: the s_k alone descend."""
    run, encoded = begun(made(tiny_encoder, max_steps=1), ROWS)
    run.net.requires_grad_(False)
    beside = run.net.beside.requires_grad_(True)
    losses = run.recipe.task.loss(run.net(encoded), encoded)
    descent = torch.optim.LBFGS(beside.parameters(), max_iter=100, tolerance_grad=1e-9)

    def closure() -> Any:
        descent.zero_grad()
        loss = OBJECTIVE(run.net, run.recipe.task, encoded).mean()
        loss.backward()
        return loss

    descent.step(closure)
    means = [float(losses[encoded.dense["task"] == k].mean()) for k in range(3)]
    assert OBJECTIVE.facts(run.net, run.recipe.task)["weights"] == {
        name: pytest.approx(1 / (2 * mean), rel=1e-3)
        for name, mean in zip(("topic", "cost", "tags"), means, strict=True)
    }


def test_what_it_learns_has_a_rate_of_its_own_and_no_decay(tiny_encoder: Path) -> None:
    run, encoded = begun(made(tiny_encoder, max_steps=20, learning_rate=1e-5), ROWS)
    list(steps(run, encoded))
    moved = run.net.beside.values.detach().abs()
    assert float(moved.max()) > 0.05  # twenty updates of up to 0.01, not of 1e-5
    group = run.state.optimizer.param_groups[-1]
    assert [id(p) for p in group["params"]] == [id(run.net.beside.values)]
    assert group["weight_decay"] == 0
    assert group["lr"] == pytest.approx(0.01 * rate(run.recipe.plan, 19, 20) / 1e-5)


@pytest.mark.parametrize("objective", ["uncertainty", "pcgrad:of=uncertainty"])
def test_stopped_and_resumed_it_ends_with_the_same_bits(tiny_encoder: Path, tmp_path: Path, objective: str) -> None:
    said = made(tiny_encoder, objective, max_steps=9, eval_steps=3, early_stopping_patience=None, learning_rate=1e-3)
    said = replace(said, task=replace(said.task, alpha=0.3))
    encoded, held = examples(said, ROWS), examples(said, HELD)
    whole = prepare(said, encoded)
    list(train(whole, encoded, held, HELD))
    stopped = prepare(said, encoded)
    for event in train(stopped, encoded, held, HELD):
        if isinstance(event, Look) and event.step == 3:
            checkpoint.save(stopped, tmp_path)
            break
    resumed = prepare(said, encoded)
    assert checkpoint.load(resumed, tmp_path)
    list(train(resumed, encoded, held, HELD))
    assert resumed.done == whole.done == 9
    assert same_bits(resumed.net.state_dict(), whole.net.state_dict())
    assert resumed.net.beside.values.abs().min() > 0


def test_a_task_by_itself_has_one_weight(tiny_encoder: Path) -> None:
    rows = labelled(20)
    run, _ = begun(replace(recipe(tiny_encoder, rows, max_steps=1), objective=OBJECTIVE), rows)
    assert OBJECTIVE.facts(run.net, run.recipe.task) == {"weights": {"classification": 1.0}}


def test_a_rate_out_of_range_is_refused() -> None:
    with pytest.raises(BadInput) as raised:
        part("objectives", "uncertainty:learning_rate=-1")
    assert str(raised.value) == ("error[VALUE_RANGE]: uncertainty.learning_rate is -1. Fix: give one between 0 and 10.")
