"""A run from its head start to its best weights: looks, patience, best weights, and going on after a stop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sartor.engine import checkpoint, train
from sartor.engine.features import features, outputs
from sartor.engine.train import Look, Run, advance, look, loss_of, prepare, restore_best, tired
from sartor.errors import BadInput
from sartor.position.calibration import cross_fitted_log_loss
from sartor.predictions import Predictions, Scores
from text_samples import labelled, measured
from tiny_runs import begun, examples, recipe, same_bits, steps, weights

ROWS, HELD = labelled(37), labelled(20, 1)
METHODS = {
    "full": ("full", {}),
    "full, dropout": ("full", {"dropout": 0.3}),
    "lora, dropout": ("lora:r=4,lora_dropout=0.2", {"dropout": None}),
    "adalora": ("adalora:init_r=4,target_r=2,lora_dropout=0.1", {"dropout": 0.1, "learning_rate": 5e-3}),
    "full, unfreezing": ("full:unfreeze_ratio=0.8,layer_decay=0.5", {"dropout": 0.2}),
    "contrastive": ("contrastive", {"dropout": 0.2}),
    "accumulation": ("lora:r=4", {"dropout": 0.1, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 4}),
}


def driven(run: Run, encoded: Any, held: Any, stop: Callable[[Any], bool] = lambda _: False) -> list[Any]:
    events = []
    for event in train.train(run, encoded, held, HELD):
        events.append(event)
        if stop(event):
            break
    return events


def looks(events: list[Any]) -> list[int]:
    return [e.step for e in events if isinstance(e, Look)]


@pytest.mark.parametrize("kind", METHODS)
def test_a_run_saved_at_any_step_and_resumed_ends_with_the_same_bits(
    kind: str, tiny_encoder: Path, tmp_path: Path
) -> None:
    method, plan = METHODS[kind]
    made = recipe(tiny_encoder, ROWS, method, max_steps=7, eval_steps=3, **plan)
    held = examples(made, HELD)
    whole, encoded = begun(made, ROWS)
    driven(whole, encoded, held)
    for stop in range(1, 8):
        run, _ = begun(made, ROWS)
        driven(run, encoded, held, lambda e, stop=stop: getattr(e, "number", 0) == stop)
        checkpoint.save(run, tmp_path / "last")
        again, _ = begun(made, ROWS)
        checkpoint.load(again, tmp_path / "last")
        driven(again, encoded, held)
        assert same_bits(weights(again), weights(whole)), stop
        assert again.losses == whole.losses


def test_a_run_resumed_twice_ends_with_the_same_bits(tiny_encoder: Path, tmp_path: Path) -> None:
    made = recipe(tiny_encoder, ROWS, "full", max_steps=6, eval_steps=2, dropout=0.2)
    held = examples(made, HELD)
    run, encoded = begun(made, ROWS)
    driven(run, encoded, held)
    for stop in (2, 5, 99):
        part, _ = begun(made, ROWS)
        if stop > 2:
            checkpoint.load(part, tmp_path / "last")
        driven(part, encoded, held, lambda e, stop=stop: getattr(e, "number", 0) == stop)
        checkpoint.save(part, tmp_path / "last")
    assert same_bits(weights(part), weights(run))


def test_a_look_that_was_interrupted_is_taken_after_the_resumption(tiny_encoder: Path, tmp_path: Path) -> None:
    made = recipe(tiny_encoder, ROWS, max_steps=6, eval_steps=3)
    held = examples(made, HELD)
    run, encoded = begun(made, ROWS)
    driven(run, encoded, held, lambda e: getattr(e, "number", 0) == 3)  # stopped between step 3 and its look
    checkpoint.save(run, tmp_path / "last")
    again, _ = begun(made, ROWS)
    checkpoint.load(again, tmp_path / "last")
    assert looks(driven(again, encoded, held)) == [3, 6]
    assert [step for step, _ in again.losses] == [0, 3, 6]


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ({"max_steps": 10}, [0, 2, 4, 6, 8, 10]),
        ({"max_steps": 7}, [0, 2, 4, 6, 7]),
        ({"max_steps": 7, "eval_steps": 3}, [0, 3, 6, 7]),
        ({"max_steps": 3}, [0, 1, 2, 3]),
        ({"max_steps": 2, "eval_steps": 50}, [0, 2]),
        ({"max_steps": 0}, [0]),
    ],
)
def test_looks_come_at_fixed_steps(tiny_encoder: Path, plan: Any, expected: list[int]) -> None:
    made = recipe(tiny_encoder, ROWS, early_stopping_patience=None, learning_rate=1e-3, **plan)
    run, encoded = begun(made, ROWS)
    assert looks(driven(run, encoded, examples(made, HELD))) == expected


def test_a_look_answers_every_held_row_as_the_network_stands(tiny_encoder: Path) -> None:
    made = recipe(tiny_encoder, ROWS, max_steps=2)
    run, encoded = begun(made, ROWS)
    held = examples(made, HELD)
    list(steps(run, encoded))
    seen = look(run, held, HELD)
    assert seen.step == 2
    assert seen.predictions.rows.tolist() == HELD.numbers.tolist()
    expected = torch.softmax(outputs(run.net, held).double(), -1).numpy()
    np.testing.assert_array_equal(seen.predictions.probabilities, expected)
    truth = np.array([made.task.labels.index(label) for label in HELD.targets()])
    assert run.losses == [(2, pytest.approx(cross_fitted_log_loss(expected, truth).mean()))]


def test_the_best_weights_are_kept_and_restored(tiny_encoder: Path) -> None:
    """Much too high a rate: the first look is the best one."""
    made = recipe(tiny_encoder, ROWS, learning_rate=0.5, max_steps=6, eval_steps=2)
    run, encoded = begun(made, ROWS)
    start = weights(run)
    driven(run, encoded, examples(made, HELD))
    assert min(run.losses, key=lambda seen: seen[1])[0] == 0
    assert same_bits(weights(run), start)


def test_the_last_weights_stay_where_they_are_the_best(tiny_encoder: Path) -> None:
    made = recipe(tiny_encoder, ROWS, learning_rate=2e-3, max_steps=20, eval_steps=20)
    run, encoded = begun(made, ROWS)
    driven(run, encoded, examples(made, HELD), lambda e: getattr(e, "step", 0) == 20)
    last = weights(run)
    assert run.losses[1][1] < run.losses[0][1]
    restore_best(run)
    assert same_bits(weights(run), last)


@pytest.mark.parametrize(
    ("losses", "patience", "expected"),
    [
        ([3.0, 2.0, 1.0], 1, False),
        ([1.0, 2.0], 1, True),
        ([1.0, 1.0], 1, True),
        ([2.0, 1.0, 1.5, 1.2], 2, True),
        ([2.0, 1.0, 1.5, 1.2], 3, False),
        ([1.0, math.inf, math.inf, math.inf], 3, True),
        ([1.0, 2.0, 3.0, 4.0], None, False),
    ],
)
def test_patience(tiny_encoder: Path, losses: list[float], patience: int | None, expected: bool) -> None:
    run, _ = begun(recipe(tiny_encoder, ROWS, max_steps=0, early_stopping_patience=patience), ROWS)
    run.losses, run.best = list(enumerate(losses)), (losses.index(min(losses)), min(losses))
    assert tired(run) is expected


def test_a_tired_run_ends_early(tiny_encoder: Path) -> None:
    made = recipe(tiny_encoder, ROWS, learning_rate=0.5, max_steps=40, eval_steps=1, early_stopping_patience=2)
    run, encoded = begun(made, ROWS)
    driven(run, encoded, examples(made, HELD))
    assert run.done < 40
    values = [loss for _, loss in run.losses]
    assert len(values) - 1 - values.index(min(values)) == 2


@pytest.mark.parametrize(("policy", "ends"), [("stop", 1), ("skip", 10), ("halve", 10)])
def test_a_diverged_run_says_so_and_stops(tiny_encoder: Path, policy: str, ends: int) -> None:
    made = recipe(tiny_encoder, ROWS, max_steps=19, eval_steps=19, nonfinite=policy)
    run, encoded = begun(made, ROWS)
    with torch.no_grad():
        run.net.head.bias.fill_(math.nan)
    events = driven(run, encoded, examples(made, HELD))
    assert run.diverged
    assert run.done == ends
    assert math.isnan(events[-1].loss)


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ({"accuracy": [1.0, 0.0], "log_loss": [0.2, 0.6]}, 0.4),
        ({"accuracy": [1.0, 0.0]}, -0.5),
        ({"mae": [3.0, 5.0]}, 4.0),
        ({"log_loss": [math.nan, 0.1]}, math.inf),
    ],
)
def test_the_held_out_loss_is_the_evidence_with_less_as_better(items: dict[str, Any], expected: float) -> None:
    arrays = {name: np.array(values) for name, values in items.items()}
    scores = Scores({name: float(v.mean()) for name, v in arrays.items()}, arrays)
    seen = Look(0, 0.0, scores, Predictions(np.arange(2), np.zeros(2)))
    assert loss_of(seen) == pytest.approx(expected)


def test_advance_stops_where_it_is_told(tiny_encoder: Path) -> None:
    run, encoded = begun(recipe(tiny_encoder, ROWS, max_steps=9), ROWS)
    assert [s.number for s in advance(run, encoded, 4)] == [1, 2, 3, 4]
    assert list(advance(run, encoded, 4)) == []
    assert [s.number for s in advance(run, encoded, 99)] == [5, 6, 7, 8, 9]


def test_the_solved_start_is_the_optimal_head_and_can_be_shared(tiny_encoder: Path) -> None:
    made = recipe(tiny_encoder, ROWS, head_start="solved", max_steps=1)
    encoded = examples(made, ROWS)
    one = prepare(made, encoded)
    frozen = features(one.net.body, encoded)
    shared = train.solve(made, encoded, frozen, one.net.body)
    other = prepare(made, encoded, shared)
    assert same_bits(weights(one), weights(other))
    assert set(one.start) == {"penalty", "held_out_loss"}
    assert one.start == other.start == shared.chosen
    assert float(made.task.loss(outputs(one.net, encoded), encoded).mean()) < math.log(3)


def test_a_probe_takes_no_step_and_is_the_solved_head(tiny_encoder: Path) -> None:
    made = recipe(tiny_encoder, ROWS, "probe", head_start="random", max_steps=50)
    run, encoded = begun(made, ROWS)
    assert (made.plan.max_steps, made.plan.head_start, run.state) == (0, "solved", None)
    before = weights(run)
    assert looks(driven(run, encoded, examples(made, HELD))) == [0]
    assert same_bits(weights(run), before)


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_the_dropout_of_the_plan_reaches_every_dropout(tiny_encoder: Path, share: float) -> None:
    run, _ = begun(recipe(tiny_encoder, ROWS, dropout=share, max_steps=0), ROWS)
    assert {m.p for m in run.net.modules() if isinstance(m, torch.nn.Dropout)} == {share}
    untouched, _ = begun(recipe(tiny_encoder, ROWS, dropout=None, max_steps=0), ROWS)
    assert {m.p for m in untouched.net.modules() if isinstance(m, torch.nn.Dropout)} == {0.1}


def test_regression_descends_from_the_mean(tiny_encoder: Path) -> None:
    rows = measured(40)
    made = recipe(tiny_encoder, rows, max_steps=60, learning_rate=1e-2)
    run, encoded = begun(made, rows)
    losses = [s.loss for s in steps(run, encoded)]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


def test_a_checkpoint_of_another_recipe_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    made = recipe(tiny_encoder, ROWS, max_steps=3)
    run, encoded = begun(made, ROWS)
    list(steps(run, encoded))
    checkpoint.save(run, tmp_path / "last")
    other, _ = begun(replace(made, plan=replace(made.plan, seed=1)), ROWS)
    with pytest.raises(BadInput) as raised:
        checkpoint.load(other, tmp_path / "last")
    assert str(raised.value) == (
        f"error[CKPT_MISMATCH]: {tmp_path / 'last' / '000001-step-3'}: the checkpoint is of another recipe. "
        "Fix: give the same words as before, or start again with --overwrite."
    )


def test_the_average_is_the_published_polynomial_decay(tiny_encoder: Path) -> None:
    """Shamir and Zhang 2013: w_t = (1 - (h + 1) / (t + h)) w_{t-1} + (h + 1) / (t + h) x_t, computed in numpy."""
    run, encoded = begun(recipe(tiny_encoder, ROWS, max_steps=5), ROWS)
    expected = np.zeros(0)
    for t, _ in enumerate(steps(run, encoded), 1):
        train.accumulate(run)
        x = run.net.head.weight.detach().double().numpy()
        share = (train.RECENT + 1) / (t + train.RECENT)
        expected = x if t == 1 else (1 - share) * expected + share * x
    np.testing.assert_allclose(run.average["head.weight"].numpy(), expected, rtol=1e-4, atol=1e-6)
    now = weights(run)
    with train.averaged(run):
        assert torch.equal(run.net.head.weight, run.average["head.weight"])
    assert same_bits(weights(run), now)
