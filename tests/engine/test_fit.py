"""The one training loop: its arithmetic against plain torch, and that nothing disturbs a run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sartor.engine.fit import Step, begin, fit, rate
from sartor.engine.order import epoch_batches
from sartor.errors import BadInput
from sartor.method import Method
from sartor.methods.full import Full
from sartor.network import Network
from sartor.objective import Objective
from sartor.recipe import Plan
from text_samples import labelled, measured, tagged
from tiny_runs import begun, recipe, same_bits, steps, weights

ROWS = labelled(37)
KINDS = {
    "full": ("full", {}),
    "full, dropout": ("full", {"dropout": 0.3}),
    "lora, dropout": ("lora:r=4,lora_dropout=0.2", {"dropout": None}),
    "accumulation": ("lora:r=4", {"dropout": 0.1, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 4}),
}


@pytest.fixture(params=KINDS, ids=str)
def made(request: pytest.FixtureRequest, tiny_encoder: Path) -> Any:
    """Seven updates over rows whose epoch takes five: the end of an epoch lies inside."""
    method, plan = KINDS[request.param]
    return recipe(tiny_encoder, ROWS, method, **{"max_steps": 7, **plan})


def trained(made: Any) -> dict[str, Tensor]:
    run, encoded = begun(made, ROWS)
    before = weights(run)
    list(steps(run, encoded))
    assert not same_bits(before, weights(run))
    return weights(run)


def test_the_same_recipe_gives_the_same_bits_twice(made: Any) -> None:
    assert same_bits(trained(made), trained(made))


def test_another_seed_gives_other_weights(made: Any) -> None:
    assert not same_bits(trained(made), trained(replace(made, plan=replace(made.plan, seed=1))))


def test_a_paused_and_interleaved_run_ends_the_same(made: Any) -> None:
    """Two runs take turns, one generator is dropped after every step, and random numbers are drawn in between."""
    alone = trained(made)
    run, encoded = begun(made, ROWS)
    rival, other = begun(replace(made, plan=replace(made.plan, seed=5)), ROWS)
    theirs = steps(rival, other)
    for _ in range(made.plan.max_steps):
        next(steps(run, encoded))
        torch.rand(3)
        next(theirs)
    assert list(steps(run, encoded)) == []
    assert same_bits(weights(run), alone)


def test_training_leaves_the_random_state_as_it_was(made: Any) -> None:
    run, encoded = begun(made, ROWS)
    before = torch.get_rng_state()
    next(steps(run, encoded))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_step_says_what_it_did(made: Any) -> None:
    run, encoded = begun(made, ROWS)
    done = list(steps(run, encoded))
    assert [s.number for s in done] == list(range(1, 8))
    assert sum(s.rows for s in done[:5]) == len(ROWS)
    assert sum(s.tokens for s in done[:5]) == int(encoded.offsets[-1])
    assert [s.learning_rate for s in done] == [pytest.approx(rate(made.plan, i, 7)) for i in range(7)]
    assert all(math.isfinite(s.loss) and s.grad_norm > 0 and s.seconds > 0 for s in done)


@pytest.mark.parametrize("rows", [labelled(32), tagged(32), measured(32)], ids=["one", "several", "number"])
def test_accumulation_equals_the_big_batch(tiny_encoder: Path, rows: Any) -> None:
    plan = {"max_steps": 5, "learning_rate": 1e-3}
    small = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    big, encoded = begun(recipe(tiny_encoder, rows, **plan), rows)
    cut, _ = begun(recipe(tiny_encoder, rows, **plan, **small), rows)
    pairs = list(zip(steps(big, encoded), steps(cut, encoded), strict=True))
    for one, other in pairs:
        assert other.loss == pytest.approx(one.loss, rel=1e-5)
        assert other.grad_norm == pytest.approx(one.grad_norm, rel=1e-4)
    for name, value in weights(big).items():
        torch.testing.assert_close(weights(cut)[name], value, rtol=1e-3, atol=1e-4)


@dataclass(frozen=True, kw_only=True)
class Penalised(Method):
    """Full fine-tuning with a weight penalty; counts what the loop calls."""

    learning_rate = 1e-3
    seen: list[Any]

    def apply(self, net: Network, steps: int) -> None:
        Full().apply(net, steps)

    def penalty(self, net: Network) -> Tensor:
        return sum((w**2).sum() for w in net.head.parameters())  # type: ignore[return-value]

    def after_step(self, net: Network, step: int, steps: int) -> None:
        self.seen.append((step, steps, float(net.head.weight.grad.abs().sum()) > 0))


def test_a_penalty_counts_once_however_the_update_is_cut(tiny_encoder: Path) -> None:
    rows = labelled(32)
    losses = []
    for size, accumulated in ((8, 1), (2, 4)):
        cut = {"per_device_train_batch_size": size, "gradient_accumulation_steps": accumulated}
        made = replace(recipe(tiny_encoder, rows, max_steps=2, **cut), method=Penalised(seen=[])).settled()
        run, encoded = begun(made, rows)
        losses.append([s.loss for s in steps(run, encoded)])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_after_step_is_called_with_the_gradients_still_there(tiny_encoder: Path) -> None:
    seen: list[Any] = []
    run, encoded = begun(replace(recipe(tiny_encoder, ROWS, max_steps=3), method=Penalised(seen=seen)).settled(), ROWS)
    list(steps(run, encoded))
    assert seen == [(1, 3, True), (2, 3, True), (3, 3, True)]


def test_an_update_is_adamw_on_the_mean_loss(tiny_encoder: Path) -> None:
    """Against torch's own optimizer, driven by hand: groups, decay of matrices alone, clipping, warm-up."""
    made = recipe(tiny_encoder, ROWS, max_steps=3, learning_rate=1e-3, weight_decay=0.1, max_grad_norm=0.1)
    run, encoded = begun(made, ROWS)
    mine, _ = begun(made, ROWS)
    matrices = [p for p in mine.net.parameters() if p.ndim > 1]
    vectors = [p for p in mine.net.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.0)
    taken = list(steps(run, encoded))
    for i, places in enumerate(epoch_batches(encoded.rows, 8, 0, 0)[:3]):
        batch = encoded.take(places)
        loss = nn.functional.cross_entropy(mine.net(batch), batch.targets)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(mine.net.parameters(), 0.1)
        for group in optimizer.param_groups:
            group["lr"] = rate(made.plan, i, 3)
        optimizer.step()
        optimizer.zero_grad()
        assert taken[i].loss == pytest.approx(loss.item(), rel=1e-5)
        assert taken[i].grad_norm == pytest.approx(float(norm), rel=1e-4)
        assert float(norm) > 0.1
    for name, value in weights(mine).items():
        torch.testing.assert_close(weights(run)[name], value, rtol=1e-4, atol=1e-5)


def test_a_norm_of_zero_means_no_clipping(tiny_encoder: Path) -> None:
    plan = {"max_steps": 2, "learning_rate": 1e-3}
    free, encoded = begun(recipe(tiny_encoder, ROWS, max_grad_norm=0.0, **plan), ROWS)
    wide, _ = begun(recipe(tiny_encoder, ROWS, max_grad_norm=1e9, **plan), ROWS)
    list(steps(free, encoded)), list(steps(wide, encoded))
    assert same_bits(weights(free), weights(wide))


@dataclass(frozen=True, kw_only=True)
class Broken(Objective):
    """The supervised loss, but no number at the third call."""

    calls: list[int]
    kind: str

    def __call__(self, net: Network, task: Any, batch: Any) -> Tensor:
        self.calls.append(1)
        losses = task.loss(net(batch), batch)
        if len(self.calls) != 3:
            return losses
        return losses * math.inf if self.kind == "loss" else losses + (losses - losses.detach()) * 1e30 * 1e30


@pytest.mark.parametrize("kind", ["loss", "gradient"])
def test_an_update_that_is_no_number_is_not_applied(tiny_encoder: Path, kind: str) -> None:
    made = replace(recipe(tiny_encoder, ROWS, max_steps=4), objective=Broken(calls=[], kind=kind))
    run, encoded = begun(made, ROWS)
    going = steps(run, encoded)
    next(going), next(going)
    before = weights(run)
    bad = next(going)
    assert math.isfinite(bad.loss) == (kind == "gradient")
    assert not math.isfinite(bad.grad_norm)
    assert len(bad.unapplied) == bad.rows > 0
    assert same_bits(weights(run), before)
    assert math.isfinite(next(going).loss)
    assert all(value.isfinite().all() for value in weights(run).values())


def plan(**given: Any) -> Plan:
    return Plan(learning_rate=2.0, warmup_ratio=0.1, **given)


def schedule(made: Plan, steps: int = 100) -> list[float]:
    return [rate(made, step, steps) for step in range(steps)]


@pytest.mark.parametrize("kind", ["warmup_stable_decay", "linear", "cosine", "constant_with_warmup"])
def test_warm_up_is_a_line_to_the_peak(kind: Any) -> None:
    rates = schedule(plan(lr_scheduler_type=kind))
    assert rates[:10] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    assert max(rates) == pytest.approx(2.0)


def test_after_warm_up_each_schedule_follows_its_formula() -> None:
    after = range(10, 100)
    assert schedule(plan(lr_scheduler_type="linear"))[10:] == pytest.approx([2 * (100 - s) / 90 for s in after])
    cosine = [1 + math.cos(math.pi * (s - 10) / 90) for s in after]
    assert schedule(plan(lr_scheduler_type="cosine"))[10:] == pytest.approx(cosine)
    assert schedule(plan(lr_scheduler_type="constant_with_warmup"))[10:] == [2.0] * 90
    stable = schedule(plan(cooldown_ratio=0.3))
    assert stable[10:70] == [2.0] * 60
    assert stable[70:] == pytest.approx([2 * (1 - math.sqrt((s - 70) / 30)) for s in range(70, 100)])


@pytest.mark.parametrize("kind", ["linear", "cosine", "constant_with_warmup"])
def test_schedules_after_warm_up_agree_with_transformers(kind: Any) -> None:
    from transformers import get_scheduler

    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=2.0)
    theirs = get_scheduler(kind, optimizer, num_warmup_steps=10, num_training_steps=100)
    rates = []
    for _ in range(100):
        rates.append(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    assert schedule(plan(lr_scheduler_type=kind))[10:] == pytest.approx(rates[10:], abs=1e-9)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_runs_have_a_rate_above_zero_at_every_step(steps: int) -> None:
    assert all(r > 0 for r in schedule(Plan(learning_rate=1e-3, warmup_ratio=0.0), steps))


def test_nothing_to_train_is_one_sentence(tiny_encoder: Path) -> None:
    run, _ = begun(recipe(tiny_encoder, ROWS, max_steps=1), ROWS)
    for weight in run.net.parameters():
        weight.requires_grad_(False)
    with pytest.raises(BadInput) as raised:
        begin(run.net, Plan())
    assert str(raised.value) == (
        "error[NOTHING_TO_TRAIN]: no weight of the network may move. "
        "Fix: choose a method that trains some weights: full, lora or probe."
    )


def test_a_longer_plan_with_a_constant_rate_begins_with_the_same_steps(tiny_encoder: Path) -> None:
    def losses(count: int) -> list[float]:
        constant = {"lr_scheduler_type": "constant_with_warmup", "warmup_ratio": 0.0}
        run, encoded = begun(recipe(tiny_encoder, ROWS, max_steps=count, dropout=0.2, **constant), ROWS)
        return [s.loss for s in steps(run, encoded)]

    assert losses(9)[:4] == losses(4)


def test_bf16_trains_and_keeps_fp32_weights(tiny_encoder: Path) -> None:
    made = recipe(tiny_encoder, ROWS, max_steps=20, precision="bf16", learning_rate=1e-3)
    run, encoded = begun(made, ROWS)
    losses = [s.loss for s in steps(run, encoded)]
    assert losses[-1] < losses[0]
    assert {value.dtype for value in run.net.parameters()} == {torch.float32}


def test_fit_is_a_generator_that_does_nothing_until_asked(tiny_encoder: Path) -> None:
    run, encoded = begun(recipe(tiny_encoder, ROWS, max_steps=1), ROWS)
    before = weights(run)
    assert run.state is not None
    going: Iterator[Step] = fit(run.net, encoded, run.recipe, run.state)
    assert same_bits(weights(run), before)
    next(going)
    assert not same_bits(weights(run), before)
