"""Recipes and plans as values."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from sartor.errors import BadInput
from sartor.part import part
from sartor.recipe import Plan, Recipe, plan_from


def recipe(**plan: Any) -> Recipe:
    made: Any = {
        f"{shelf[:-1]}": part(shelf, name)
        for shelf, name in (
            ("tasks", "classification"),
            ("backbones", "minilm"),
            ("methods", "lora:r=8"),
            ("objectives", "supervised"),
        )
    }
    return Recipe(plan=Plan(**plan), **made)


def test_it_survives_json() -> None:
    made = recipe(seed=3, learning_rate=1e-4, early_stopping_patience=None)
    assert Recipe.from_json(json.loads(json.dumps(made.to_json(), allow_nan=False))) == made


def test_its_fingerprint_changes_with_everything_that_decides_the_run() -> None:
    made = recipe()
    others = [replace(made, plan=replace(made.plan, seed=1)), replace(made, method=part("methods", "lora:r=9"))]  # type: ignore[arg-type]
    assert made.fingerprint() == recipe().fingerprint()
    assert len({made.fingerprint(), *(o.fingerprint() for o in others)}) == 3


def test_its_label_is_short() -> None:
    assert recipe().label() == "minilm + lora:r=8"
    assert recipe(learning_rate=2e-4).label() == "minilm + lora:r=8 @0.0002"


def test_the_method_has_its_say() -> None:
    assert recipe().settled().plan.learning_rate == 5e-4
    assert recipe().settled().settled() == recipe().settled()


@pytest.mark.parametrize(
    ("plan", "rows", "steps"),
    [
        ({"num_train_epochs": 3, "min_steps": 0}, 64, 6),
        ({"num_train_epochs": 3, "min_steps": 0}, 65, 9),
        ({"num_train_epochs": 0.5, "min_steps": 0}, 128, 2),
        ({"num_train_epochs": 3, "min_steps": 0, "gradient_accumulation_steps": 2}, 65, 6),
        ({"num_train_epochs": 3}, 64, 300),
        ({"max_steps": 7}, 10_000, 7),
        ({"max_steps": 0}, 10_000, 0),
    ],
)
def test_steps(plan: Any, rows: int, steps: int) -> None:
    assert Plan(**plan).steps(rows) == steps


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seed": -1}, "error[VALUE_RANGE]: plan.seed is -1. Fix: give at least 0."),
        (
            {"per_device_train_batch_size": 0},
            "error[VALUE_RANGE]: plan.per_device_train_batch_size is 0. Fix: give at least 1.",
        ),
        ({"learning_rate": 0}, "error[VALUE_RANGE]: plan.learning_rate is 0.0. Fix: give one between 0 and 10."),
        ({"learning_rate": 11}, "error[VALUE_RANGE]: plan.learning_rate is 11.0. Fix: give one between 0 and 10."),
        ({"warmup_ratio": 1}, "error[VALUE_RANGE]: plan.warmup_ratio is 1.0. Fix: give at least 0 and below 1."),
        ({"dropout": -0.1}, "error[VALUE_RANGE]: plan.dropout is -0.1. Fix: give at least 0 and below 1."),
        ({"max_steps": -5}, "error[VALUE_RANGE]: plan.max_steps is -5. Fix: give at least 0."),
        ({"eval_steps": 0}, "error[VALUE_RANGE]: plan.eval_steps is 0. Fix: give at least 1."),
        (
            {"early_stopping_patience": 0},
            "error[VALUE_RANGE]: plan.early_stopping_patience is 0. Fix: give at least 1.",
        ),
        ({"seed": "x"}, "error[VALUE]: plan.seed is 'x', not a whole number. Fix: write it in digits, such as 16."),
        (
            {"precision": "bf61"},
            "error[VALUE]: plan.precision is 'bf61'. Fix: did you mean 'bf16'? Known: auto, bf16, fp32.",
        ),
    ],
    ids=str,
)
def test_a_plan_that_cannot_be_is_one_sentence(given: Any, said: str) -> None:
    with pytest.raises(BadInput) as raised:
        plan_from(given)
    assert str(raised.value) == said


def test_an_unknown_setting_is_answered_with_the_nearest() -> None:
    with pytest.raises(BadInput) as raised:
        plan_from({"learning_rat": 1})
    assert str(raised.value).startswith(
        "error[PART_SETTING]: plan has no setting 'learning_rat'. Fix: did you mean 'learning_rate'? Known: "
    )
    assert set(Plan.known()) >= {"learning_rate", "seed", "precision"}


def test_a_backbone_that_does_not_give_what_the_head_reads_is_refused() -> None:
    from sartor.tasks.object_detection import ObjectDetection

    made: Any = {shelf: part(f"{shelf}s", n) for shelf, n in (("backbone", "convnet"), ("method", "full"))}
    with pytest.raises(BadInput) as raised:
        Recipe(task=ObjectDetection(), objective=part("objectives", "supervised"), **made).settled()
    said = (
        "error[BACKBONE_LAYOUT]: object_detection reads one vector for each of a row's boxes, and convnet gives none. "
    )
    assert str(raised.value) == said + "Fix: use a backbone that does: detector."
