"""Multitask: every task is what it is alone; only the body is shared."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sartor.data.rows import Rows
from sartor.data.sets import one, places
from sartor.errors import BadInput
from sartor.part import part
from sartor.pretrained.text import open_text
from sartor.tasks.classification import Classification
from sartor.tasks.multitask import Multitask
from sartor.tasks.regression import Regression
from text_samples import several, task_of

ROWS = several(60)
TASK = task_of(ROWS)


@pytest.fixture(scope="module")
def body(tiny_encoder: Path) -> Any:
    return open_text(tiny_encoder, "mean", 256).eval()


def alone(rows: Rows = ROWS) -> list[tuple[str, Any, Any, Rows]]:
    """name, task, where its rows lie, and they by themselves."""
    return [(name, task, places(rows, name), one(rows, name)) for name, task in TASK.members.tasks(TASK).items()]


def test_each_task_is_guessed_from_its_own_target() -> None:
    kinds = {name: task.name for name, task, _, _ in alone()}
    assert kinds == {"topic": "classification", "cost": "regression", "tags": "classification"}
    assert [task.several for _, task, _, _ in alone()] == [False, False, True]


def test_every_row_is_encoded_as_its_task_encodes_it_alone(body: Any) -> None:
    batch = TASK.encode(ROWS, body)
    assert batch.rows.tolist() == ROWS.numbers.tolist()
    for k, (_, task, where, rows) in enumerate(alone()):
        mine, own = batch.take(torch.from_numpy(where)), task.encode(rows, body)
        assert torch.equal(mine.sequences["input_ids"], own.sequences["input_ids"])
        assert torch.equal(mine.offsets, own.offsets)
        assert mine.dense["task"].unique().tolist() == [k]
        assert torch.equal(mine.dense[f"targets of {k}"], own.targets)


def test_of_every_row_only_its_own_tasks_outputs_count(body: Any) -> None:
    batch, outputs = TASK.encode(ROWS, body), torch.randn(60, 7, requires_grad=True)
    losses = TASK.loss(outputs, batch)
    losses.sum().backward()
    for name, task, where, rows in alone():
        stretch = TASK.members.outputs(TASK)[name]
        expected = task.loss(outputs[where][:, stretch], task.encode(rows, body))
        torch.testing.assert_close(losses[where], expected)
        others = outputs.grad[where].clone()
        others[:, stretch] = 0
        assert not others.any()


def test_the_head_is_the_tasks_heads_side_by_side(body: Any) -> None:
    torch.manual_seed(3)
    head = TASK.head(body)
    torch.manual_seed(3)
    heads = [task.head(body) for _, task, _, _ in alone()]
    assert isinstance(head, nn.Linear)
    assert torch.equal(head.weight, torch.cat([h.weight for h in heads]))
    assert torch.equal(head.bias, torch.cat([h.bias for h in heads]))


def test_every_head_is_solved_on_the_rows_of_its_task(body: Any) -> None:
    batch = TASK.encode(ROWS, body)
    features = torch.randn(60, body.width, generator=torch.Generator().manual_seed(0))
    head = TASK.head(body)
    chosen = TASK.solve(features, batch, head, 5)
    for name, task, where, rows in alone():
        own = task.head(body)
        found = task.solve(features[where], task.encode(rows, body), own, 5)
        assert torch.equal(head.weight[TASK.members.outputs(TASK)[name]], own.weight)
        assert {key: value[name] for key, value in chosen.items()} == found


def test_answers_are_those_of_the_tasks_alone(body: Any) -> None:
    outputs = torch.randn(60, 7)
    said = TASK.answer(outputs, ROWS)
    shares = TASK.members.shares(TASK, said, ROWS)
    for name, task, where, rows in alone():
        own = task.answer(outputs[where][:, TASK.members.outputs(TASK)[name]], rows)
        assert list(said.values[where]) == list(own.values)
        share = shares[name].said
        assert (share.labels, list(share.values), list(share.rows)) == (own.labels, list(own.values), list(own.rows))
        if own.probabilities is not None:
            np.testing.assert_array_equal(share.probabilities, own.probabilities)


def test_no_label_of_another_task_has_a_probability() -> None:
    said = TASK.answer(torch.randn(60, 7), ROWS)
    for name, _, where, _ in alone():
        mine = [label.startswith(f"{name}/") for label in said.labels]
        assert (~np.isnan(said.probabilities[where]) == mine).all()


def test_the_mean_loss_adds_every_task_with_the_same_weight_and_in_its_own_unit() -> None:
    said = TASK.answer(torch.randn(60, 7), ROWS)
    scores, shares = TASK.score(said, ROWS), TASK.members.shares(TASK, said, ROWS)
    topic, cost = (shares[name].task.score(shares[name].said, shares[name].rows) for name in ("topic", "cost"))
    tags = shares["tags"].task.score(shares["tags"].said, shares["tags"].rows)
    scale = dict(zip(TASK.names, TASK.tasks, strict=True))["cost"].scale
    expected = (topic.losses.mean() + cost.metrics["mae"] / scale + tags.metrics["log_loss"]) / 3
    assert scores.metrics == {"mean_loss": pytest.approx(expected)}
    assert {name: found.metrics for name, found in scores.members.items()} == {
        "topic": topic.metrics,
        "cost": cost.metrics,
        "tags": tags.metrics,
    }


def test_rows_of_one_task_alone_are_answered(body: Any) -> None:
    rows = ROWS.take(places(ROWS, "cost"))
    batch = TASK.encode(rows.untargeted(), body)
    assert batch.targets is None
    assert batch.dense["task"].unique().tolist() == [1]
    assert list(TASK.members.shares(TASK, TASK.answer(torch.randn(20, 7), rows), rows)) == ["cost"]
    assert TASK.loss(torch.randn(20, 7), TASK.encode(rows, body)).shape == (20,)


@pytest.mark.parametrize(("alpha", "expected"), [(1.0, [60, 15, 5]), (0.5, [45, 22, 13]), (0.0, [27, 27, 26])])
def test_how_often_a_task_comes_is_tempered_by_its_size(body: Any, alpha: float, expected: list[int]) -> None:
    from sartor.data.sets import join
    from text_samples import labelled, measured, tagged

    rows = join({"topic": labelled(60), "cost": measured(15), "tags": tagged(5)})
    task = Multitask(alpha=alpha).learn(rows)
    batch = task.encode(rows, body)
    for epoch in range(3):
        taken = task.members.epoch(task, batch, 0, epoch)
        assert np.bincount(batch.dense["task"][taken].numpy()).tolist() == expected


def test_a_given_task_is_kept() -> None:
    made = Multitask(names=("topic", "tags"), tasks=(Classification(class_weight="balanced"), Classification()))
    learned = dict(zip(*[iter(v) for v in (made.learn(ROWS).names, made.learn(ROWS).tasks)], strict=True))
    assert learned["topic"].class_weight == "balanced"
    assert Counter(task.name for task in learned.values()) == {"classification": 2, "regression": 1}


def refusal(call: Any) -> str:
    with pytest.raises(BadInput) as raised:
        call()
    return str(raised.value)


def test_a_temper_outside_of_its_range_is_refused() -> None:
    assert refusal(lambda: part("tasks", "multitask:alpha=1.5")) == (
        "error[VALUE_RANGE]: multitask.alpha is 1.5. Fix: give between 0 and 1."
    )


def test_a_task_over_tokens_is_refused() -> None:
    class Tokens(Regression):
        layout = "token"

    assert refusal(lambda: Multitask(names=("ner",), tasks=(Tokens(),))).startswith(
        "error[TASKS_LAYOUT]: multitask has one answer a row, and 'ner' ("
    )


def test_a_head_that_is_not_linear_is_refused(body: Any) -> None:
    class Deep(Regression):
        def head(self, body: Any) -> nn.Module:
            return nn.Sequential(nn.Linear(body.width, 1))

    made = replace(TASK, tasks=(*TASK.tasks[:2], Deep()))
    assert refusal(lambda: made.head(body)) == (
        "error[TASKS_HEAD]: the head of 'tags' is a Sequential, and multitask puts linear heads side by side. "
        "Fix: train it alone."
    )
