"""Contrastive tuning: the head is solved when it is looked at, and looking changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sartor.engine.features import features, outputs
from sartor.engine.train import headed, look, restore_best, solve, train
from sartor.part import part
from text_samples import labelled, tagged
from tiny_runs import begun, examples, recipe, same_bits, steps, weights

ROWS, HELD = labelled(30), labelled(20, 1)


def test_it_descends_its_own_objective_and_its_head_is_solved(tiny_encoder: Path) -> None:
    made = recipe(tiny_encoder, ROWS, "contrastive", max_steps=1)
    assert made.objective.name == "cosine_pairs"
    assert made.plan.head_end == "solved"
    assert made.settled() == made


def test_it_takes_few_updates_of_few_rows_and_keeps_the_last(tiny_encoder: Path) -> None:
    made = recipe(tiny_encoder, ROWS, "contrastive")
    assert made.plan.steps(16) == 60
    assert replace(made.plan, max_steps=7).steps(16) == 7
    assert recipe(tiny_encoder, ROWS, "contrastive", min_steps=20).plan.steps(16) == 20
    assert made.plan.steps(8000) == 3000  # three epochs of batches of 8
    run, encoded = begun(recipe(tiny_encoder, ROWS, "contrastive", max_steps=6, eval_steps=2), ROWS)
    list(train(run, encoded, examples(made, HELD), HELD))
    assert run.best is not None
    assert (run.best[0], [step for step, _ in run.losses]) == (6, [0, 2, 4, 6])


def test_updates_leave_the_head_alone(tiny_encoder: Path) -> None:
    run, encoded = begun(recipe(tiny_encoder, ROWS, "contrastive", max_steps=4), ROWS)
    before = weights(run)
    list(steps(run, encoded))
    after = weights(run)
    assert torch.equal(before["head.weight"], after["head.weight"])
    assert not torch.equal(
        before["body.model.encoder.layer.0.output.dense.weight"],
        after["body.model.encoder.layer.0.output.dense.weight"],
    )


@pytest.mark.parametrize("method", ["contrastive", "lora:r=2"])
def test_what_is_kept_has_the_optimal_head_on_its_own_features(method: str, tiny_encoder: Path) -> None:
    """Any method may have its head solved at the end, and any may descend this objective."""
    made = recipe(tiny_encoder, ROWS, method, max_steps=6, eval_steps=2, learning_rate=1e-3)
    made = replace(made, objective=part("objectives", "cosine_pairs")).settled()  # type: ignore[arg-type]
    run, encoded = begun(made, ROWS)
    list(train(run, encoded, examples(made, HELD), HELD))
    assert run.best is not None
    best = solve(made, encoded, features(run.net.body, encoded), run.net.body)
    for name, value in run.net.head.state_dict().items():
        torch.testing.assert_close(value, best.head[name], rtol=1e-3, atol=1e-4)
    found = made.task.answer(outputs(run.net, examples(made, HELD)), HELD)
    said = float(made.task.score(found, HELD).losses.mean())
    assert said == pytest.approx(run.best[1], rel=1e-4)


def test_a_look_disturbs_nothing(tiny_encoder: Path) -> None:
    made = recipe(tiny_encoder, ROWS, "contrastive", max_steps=6, dropout=0.2)
    alone, encoded = begun(made, ROWS)
    list(steps(alone, encoded))
    run, _ = begun(made, ROWS)
    held = examples(made, HELD)
    for _ in steps(run, encoded):
        look(run, held, HELD)
    assert same_bits(weights(run), weights(alone))
    restore_best(run)
    assert not torch.equal(weights(run)["head.weight"], weights(alone)["head.weight"])


def test_rows_with_several_labels_are_learned_too(tiny_encoder: Path) -> None:
    rows = tagged(40)
    made = recipe(tiny_encoder, rows, "contrastive", max_steps=30, learning_rate=1e-3)
    run, encoded = begun(made, rows)
    losses = [s.loss for s in steps(run, encoded)]
    assert sum(losses[-5:]) < sum(losses[:5])
    with headed(run):
        loss = made.task.loss(outputs(run.net, encoded), encoded).mean()
    assert float(loss) < 0.9 * 0.693
