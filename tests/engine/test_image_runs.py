"""Runs on images: norms over the batch, augmentation and their statistics, stopped and taken up again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from image_samples import pictured
from sartor.engine import checkpoint
from sartor.engine.train import Run, accumulate, averaged, look, prepare, restore_best
from sartor.part import part
from sartor.recipe import Plan, Recipe
from text_samples import task_of
from tiny_runs import begun, same_bits, steps, weights

ROWS, HELD = pictured(24), pictured(12, 1)


def recipe(**plan: Any) -> Recipe:
    given = {"per_device_train_batch_size": 8, "max_steps": 6, "precision": "fp32", "learning_rate": 1e-2} | plan
    parts = {"backbone": part("backbones", "convnet:size=tiny,image_size=16,augment=crop+flip+randaugment")}
    parts |= {"method": part("methods", "full"), "objective": part("objectives", "supervised")}
    return Recipe(task=task_of(ROWS), plan=Plan(**given), **parts).settled()  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def whole() -> Run:
    """Six updates that nothing stops."""
    run, encoded = begun(recipe(), ROWS)
    list(steps(run, encoded))
    return run


def test_stopped_and_taken_up_again_it_ends_with_the_same_bits(whole: Run, tmp_path: Path) -> None:
    first, encoded = begun(recipe(), ROWS)
    for step in steps(first, encoded):
        if step.number == 4:
            break
    checkpoint.save(first, tmp_path)
    again, encoded = begun(recipe(), ROWS)
    assert checkpoint.load(again, tmp_path)
    list(steps(again, encoded))
    assert same_bits(weights(again), weights(whole))


def test_training_is_augmented(whole: Run) -> None:
    run, encoded = begun(recipe(), ROWS)
    run.net.body.augment = lambda rows, seed: rows  # type: ignore[method-assign]
    list(steps(run, encoded))
    assert not same_bits(weights(run), weights(whole))


def test_looks_are_not(whole: Run) -> None:
    task, body = whole.recipe.task, whole.net.body
    held = task.encode(HELD, body)
    pixels = held.dense["pixels"].clone()
    one, other = look(whole, held, HELD), look(whole, held, HELD)
    assert torch.equal(held.dense["pixels"], pixels)
    assert one.scores.metrics == other.scores.metrics


def test_the_best_weights_come_with_their_statistics() -> None:
    run, encoded = begun(recipe(max_steps=2), ROWS)
    list(steps(run, encoded))
    held = run.recipe.task.encode(HELD, run.net.body)
    look(run, held, HELD)
    before = weights(run)
    statistics = [n for n in before if n.endswith("running_mean")]
    assert statistics and any(before[n].any() for n in statistics)
    with torch.no_grad():
        for name, buffer in run.net.named_buffers():
            if name.endswith("running_mean"):
                buffer += 1
    restore_best(run)
    assert same_bits(weights(run), before)


def test_averaged_weights_have_averaged_statistics() -> None:
    run, encoded = begun(recipe(max_steps=3), ROWS)
    seen = []
    for _ in steps(run, encoded):
        accumulate(run)
        seen.append(weights(run))
    name = next(n for n in seen[0] if n.endswith("running_mean"))
    with averaged(run):
        now = run.net.state_dict()[name].clone()
    assert min(s[name].min() for s in seen) <= now.min() and now.max() <= max(s[name].max() for s in seen)
    assert not torch.equal(now, seen[-1][name])
    assert torch.equal(run.net.state_dict()[name], seen[-1][name])


def test_a_network_drawn_anew_begins_with_a_head_drawn_anew() -> None:
    made = recipe()
    assert made.plan.head_start == "random"
    run = prepare(made, made.task.encode(ROWS, made.backbone.build(made.task.layout)))
    assert run.start == {}
