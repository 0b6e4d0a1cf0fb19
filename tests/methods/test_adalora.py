"""AdaLoRA: the budget and its schedule, what is kept and when a run may end, and what it remembers."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from sartor.engine import train
from sartor.engine.train import Look, Run, accumulate, advance, averaged, look, restore_best
from sartor.errors import BadInput
from sartor.methods.adalora import AdaLoRA, budget, schedule, wrapped
from text_samples import labelled
from tiny_runs import begun, examples, recipe, same_bits, steps, weights

ROWS, HELD = labelled(40), labelled(24, 1)
METHOD = "adalora:init_r=4,target_r=2"
LAYERS = 12


def run_of(encoder: Path, method: str = METHOD, **plan: Any) -> tuple[Run, Any]:
    return begun(recipe(encoder, ROWS, method, **({"max_steps": 20, "learning_rate": 5e-3} | plan)), ROWS)


def ranks(run: Run) -> dict[str, int]:
    found: dict[str, int] = run.recipe.method.facts(run.net)["ranks"]
    return found


@pytest.mark.parametrize(
    ("steps", "given", "expected"),
    [
        (300, {}, (30, 120, 1)),
        (3000, {}, (300, 1200, 6)),
        (1, {}, (0, 0, 1)),
        (300, {"tinit": 5, "tfinal": 0, "deltaT": 7}, (5, 0, 7)),
    ],
)
def test_the_schedule_fits_the_run(steps: int, given: dict[str, int], expected: tuple[int, int, int]) -> None:
    method = AdaLoRA(**given)
    assert schedule(method, steps) == expected
    assert method.final_from(steps) == steps - expected[1]


def test_the_budget_falls_as_a_cube() -> None:
    method = AdaLoRA(init_r=12, target_r=8, tinit=10, tfinal=30)
    found = [budget(method, 5, step, 100) for step in range(101)]
    assert found[:11] == [60] * 11
    assert found[60:] == [40] * 41
    for step in range(11, 60):
        assert found[step] == int(20 * (1 - (step - 10) / 60) ** 3 + 40)
    assert found[40] == 42


def test_the_final_budget_is_met_exactly(tiny_encoder: Path) -> None:
    run, encoded = run_of(tiny_encoder)
    list(steps(run, encoded))
    assert sum(ranks(run).values()) == 2 * LAYERS
    assert len(set(ranks(run).values())) > 1
    told = run.recipe.method.facts(run.net)
    assert (told["rank_budget"], told["rank_sum"]) == (24, 24)


def test_equal_scores_leave_the_budget_exact(tiny_encoder: Path) -> None:
    """Before any update every score is 0; PEFT's threshold would drop them all."""
    run, _ = run_of(tiny_encoder)
    run.recipe.method.conform(run.net, 20, 20)
    assert sum(int(layer.inside.sum()) for layer in wrapped(run.net).values()) == 2 * LAYERS


def test_what_was_dropped_stays_out_and_is_not_in_the_merged_layer(tiny_encoder: Path) -> None:
    run, encoded = run_of(tiny_encoder)
    going = steps(run, encoded)
    out = {}
    for step in going:
        if step.number == 12:
            out = {name: ~layer.inside for name, layer in wrapped(run.net).items()}
        if step.number >= 12:
            for name, layer in wrapped(run.net).items():
                assert float(layer.lora_E["default"].detach()[out[name]].abs().sum()) == 0.0
    deltas = {name: layer.get_delta_weight("default").detach() for name, layer in wrapped(run.net).items()}
    for name, rank in ranks(run).items():
        assert int(torch.linalg.matrix_rank(deltas[name], rtol=1e-4)) == rank
    run.recipe.method.merge(run.net)
    plain = run.recipe.backbone.build(run.recipe.task.layout)
    for name, delta in deltas.items():
        moved = run.net.body.get_submodule(name).weight - plain.get_submodule(name).weight
        torch.testing.assert_close(moved.detach(), delta, rtol=0, atol=1e-6)


def test_no_look_before_the_budget_is_kept_and_none_ends_the_run(tiny_encoder: Path) -> None:
    """A rate at which every later look is worse: patience would end it at step 3."""
    plan = {"learning_rate": 0.3, "eval_steps": 1, "early_stopping_patience": 2}
    run, encoded = run_of(tiny_encoder, **plan)
    held = examples(run.recipe, HELD)
    for event in train.train(run, encoded, held, HELD):
        if isinstance(event, Look) and event.step < 12:
            assert run.best is None
    assert run.done >= 12
    assert run.best is not None and run.best[0] >= 12
    assert min(run.losses, key=lambda seen: seen[1])[0] < 12
    assert sum(ranks(run).values()) == 2 * LAYERS


def test_a_run_that_missed_its_last_allocation_makes_up_for_it(tiny_encoder: Path) -> None:
    """The update that ends the schedule was not applied: the look after it allocates."""
    run, encoded = run_of(tiny_encoder)
    list(advance(run, encoded, 11))
    assert run.state is not None
    run.state.step = 12
    assert not any(bool(layer.allocated) for layer in wrapped(run.net).values())
    look(run, examples(run.recipe, HELD), HELD)
    assert sum(ranks(run).values()) == 2 * LAYERS
    assert run.best is not None


def test_averaged_weights_that_are_looked_at_are_in_their_final_form(tiny_encoder: Path) -> None:
    """Averages reach back to when triplets were inside that are out now."""
    run, encoded = run_of(tiny_encoder)
    for _ in advance(run, encoded, 14):
        accumulate(run)
    now = {name: w.detach().clone() for name, w in run.net.trainable().items()}
    with averaged(run):
        assert sum(ranks(run).values()) > 2 * LAYERS
        look(run, examples(run.recipe, HELD), HELD)
        assert sum(ranks(run).values()) == 2 * LAYERS
    assert same_bits(now, {name: w.detach() for name, w in run.net.trainable().items()})
    restore_best(run)
    assert sum(ranks(run).values()) == 2 * LAYERS


@pytest.mark.parametrize("end", [12, 10, 9])
def test_an_end_that_comes_nearer_still_meets_the_budget(end: int, tiny_encoder: Path) -> None:
    """What a course does to a finalist when time runs short; at the last, where it stands is the end."""
    run, encoded = run_of(tiny_encoder, "adalora:init_r=4,target_r=2,tinit=2,tfinal=6")
    list(advance(run, encoded, 9))
    run.recipe = dataclasses.replace(run.recipe, plan=dataclasses.replace(run.recipe.plan, max_steps=end))
    list(advance(run, encoded, end))
    look(run, examples(run.recipe, HELD), HELD)
    assert run.best is not None
    assert sum(ranks(run).values()) == 2 * LAYERS


def test_the_penalty_is_the_mean_distance_from_orthogonality(tiny_encoder: Path) -> None:
    run, encoded = run_of(tiny_encoder)
    list(advance(run, encoded, 3))
    distances = []
    for layer in wrapped(run.net).values():
        a, b = layer.lora_A["default"].detach().double(), layer.lora_B["default"].detach().double()
        distances += [torch.linalg.norm(a @ a.T - torch.eye(4)), torch.linalg.norm(b.T @ b - torch.eye(4))]
    found = run.recipe.method.penalty(run.net)
    assert float(torch.as_tensor(found).detach()) == pytest.approx(0.5 * float(torch.stack(distances).mean()), rel=1e-5)


def test_the_penalty_is_in_no_held_out_loss(tiny_encoder: Path) -> None:
    """However heavy: the look's loss is the task's own."""
    run, encoded = run_of(tiny_encoder, f"{METHOD},orth_reg_weight=1000")
    first = next(iter(advance(run, encoded, 1)))
    assert first.loss > 100
    seen = look(run, examples(run.recipe, HELD), HELD)
    assert train.loss_of(seen) == pytest.approx(seen.scores.losses.mean())
    assert seen.scores.metrics["log_loss"] < 10 * math.log(3)
    assert train.loss_of(seen) < 10 * math.log(3)


def test_a_checkpoint_holds_what_is_remembered(tiny_encoder: Path, tmp_path: Path) -> None:
    from sartor.engine import checkpoint

    run, encoded = run_of(tiny_encoder)
    list(advance(run, encoded, 9))
    checkpoint.save(run, tmp_path)
    again, _ = run_of(tiny_encoder)
    assert checkpoint.load(again, tmp_path)
    before, after = (r.recipe.method.remembered(r.net) for r in (run, again))
    assert same_bits(before, after)
    assert len(before) == LAYERS * 8
    list(advance(run, encoded, 20)), list(advance(again, encoded, 20))
    assert same_bits(weights(run), weights(again))
    assert ranks(run) == ranks(again)


@pytest.mark.parametrize(
    ("words", "steps", "said"),
    [
        (
            "tinit=15,tfinal=10",
            20,
            "error[METHOD_STEPS]: adalora comes to its final form after 26 updates, and the run has 20. Fix: give at "
            "least 26 updates with --set plan.max_steps=26, or shorten the method's schedule.",
        ),
        (
            "init_r=33,target_r=8",
            20,
            "error[RANK_WIDTH]: adalora.init_r is 33 and the layer 'model.encoder.layer.0.attention.self.query' is 32 "
            "wide. Fix: give at most 32.",
        ),
        (
            "init_r=8,target_r=8",
            20,
            "error[ADALORA_RANKS]: adalora.init_r is 8 and its target_r 8: no rank is left to take away. "
            "Fix: give init_r of at least 9, or use lora.",
        ),
        ("target_r=0", 20, "error[VALUE_RANGE]: adalora.target_r is 0. Fix: give at least 1."),
        ("beta1=1", 20, "error[VALUE_RANGE]: adalora.beta1 is 1. Fix: give at least 0 and below 1."),
        (
            "orth_reg_weight=-1",
            20,
            "error[VALUE_RANGE]: adalora.orth_reg_weight is -1. Fix: give at least 0.",
        ),
    ],
)
def test_what_cannot_be_is_refused(words: str, steps: int, said: str, tiny_encoder: Path) -> None:
    with pytest.raises(BadInput) as raised:
        run_of(tiny_encoder, f"adalora:{words}", max_steps=steps)
    assert str(raised.value) == said
