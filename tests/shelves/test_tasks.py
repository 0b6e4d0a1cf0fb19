"""What every task must do: run over each file on the shelf, on every kind of target it can learn."""

from __future__ import annotations

import inspect
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from item_samples import wandering
from sartor.data.rows import Rows
from sartor.data.sets import one, places
from sartor.errors import BadInput
from sartor.network import Head
from sartor.part import names, part, part_from_json
from sartor.predictions import LOWER_IS_BETTER, Predictions, better
from sartor.task import Task
from text_samples import labelled, measured, paired, served, several, spanned, tagged

SAMPLES = {
    "classification": {"one label": labelled, "several labels": tagged, "text pairs": paired},
    "regression": {"a number": measured},
    "multitask": {"three sets": several},
    "token_classification": {"spans": spanned},
    "next_item": {"histories": wandering},
}
NETWORKS = {"next_item": "items:width=16"}
"""What a task is learned on where it is no text encoder."""
EPISODIC = {"few_shot"}
"""They have a suite of their own: tests/shelves/test_tasks_in_episodes.py."""
SPOKEN = {"speech_recognition"}
"""So do tasks whose texts are not aligned with what is read: tests/shelves/test_tasks_on_sounds.py."""
BOXED = {"object_detection"}
"""Likewise: tests/shelves/test_tasks_in_boxes.py."""
IN_WORDS = {"translation", "causal_lm"}
"""Those whose answers are texts: tests/shelves/test_in_words.py."""
PAIRED = {"matching"}
"""They say nothing of a row alone: tests/shelves/test_tasks_on_pairs.py."""
ROWWISE = [name for name in names("tasks") if name not in EPISODIC | SPOKEN | BOXED | IN_WORDS | PAIRED]
OTHERWISE = ("token_classification:crf=true",)
"""Settings that make another task of one."""
CASES = [
    (spelled, kind)
    for spelled in (*ROWWISE, *OTHERWISE)
    for kind in SAMPLES.get(spelled.partition(":")[0], {"no sample": None})
]


@dataclass(frozen=True)
class Case:
    task: Task
    rows: Rows
    body: Any


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest, tiny_encoder: Path) -> Case:
    spelled, kind = request.param
    name = spelled.partition(":")[0]
    assert name in SAMPLES, f"give tests/shelves/test_tasks.py rows that the task '{name}' learns from"
    rows = SAMPLES[name][kind](50, 0)
    task = part("tasks", spelled)
    assert isinstance(task, Task)
    backbone: Any = part("backbones", NETWORKS.get(name, f"encoder:path={tiny_encoder},pooling=mean"))
    return Case(task.learn(rows), rows, backbone.learn(rows).build(task.layout))


def units(case: Case) -> int:
    """How many vectors the head reads of the rows."""
    return len(case.task.encode(served(case.rows), case.body).units(torch.arange(len(case.rows))))


def each(case: Case) -> list[tuple[Any, slice, Case]]:
    """The tasks it is made of, or itself: where their vectors and their outputs lie, and they as cases of their own."""
    tasks, outputs = case.task.members.tasks(case.task), case.task.members.outputs(case.task)
    if not tasks:
        return [(np.arange(units(case)), slice(None), case)]
    return [
        (places(case.rows, name), outputs[name], Case(task, one(case.rows, name), case.body))
        for name, task in tasks.items()
    ]


def known(case: Case) -> Any:
    """(U, C) what one task's outputs should be: the number, or 1 where a row has the label."""
    targets = case.task.encode(case.rows, case.body).targets
    if targets.dtype == torch.float32 and targets.ndim == 1:
        return targets[:, None]
    count = case.task.describe()["num_labels"]
    return (targets if targets.ndim == 2 else torch.nn.functional.one_hot(targets, count)).float()


def right(case: Case, sure: float) -> Any:
    """(U, C) outputs that say what is known, and nothing else that the head may say; for labels `sure` times over one
    half."""
    out = case.task.head(case.body)(torch.zeros(units(case), case.body.width)).detach() * 0
    for where, outputs, alone in each(case):
        told, numbers = known(alone), alone.task.describe().get("problem_type") == "regression"
        stretch = outputs if outputs.stop else slice(told.shape[1])
        out[where, stretch] = told if numbers else (2 * told - 1) * sure
    return out


def perfect(case: Case) -> Predictions:
    """The right answer for every row, from outputs that could not be surer."""
    return case.task.answer(right(case, 30), case.rows)


def shuffled(case: Case) -> Predictions:
    """The right answers, each to another row of the same task."""
    best, order = perfect(case), np.arange(len(case.rows))
    names = list(case.task.members.tasks(case.task))
    for where in [places(case.rows, name) for name in names] or [order.copy()]:
        order[where] = np.random.default_rng(1).permutation(where)
    turned = best.take(order)
    return Predictions(best.rows, turned.values, best.labels, turned.probabilities, turned.offsets)


def test_a_perfect_answer_scores_the_best_there_is(case: Case) -> None:
    scores = case.task.score(perfect(case), case.rows)
    for metric, value in scores.metrics.items():
        assert value == pytest.approx(0.0 if metric in LOWER_IS_BETTER else 1.0, abs=1e-4), metric


def test_a_shuffled_answer_does_not(case: Case) -> None:
    best, worse = (case.task.score(p(case), case.rows).metrics for p in (perfect, shuffled))
    assert all(better(metric, best[metric], worse[metric]) for metric in best)
    assert abs(best[next(iter(best))] - worse[next(iter(best))]) > 0.2


def test_the_headline_comes_first_and_the_evidence_averages_to_it(case: Case) -> None:
    scores = case.task.score(shuffled(case), case.rows)
    assert scores.headline in scores.metrics
    assert scores.evidence in scores.items
    for metric, items in scores.items.items():
        assert items.shape == (len(case.rows),)
        assert items.mean() == pytest.approx(scores.metrics[metric])


def test_its_metrics_are_the_ones_that_can_be_asked_for(case: Case) -> None:
    said = case.task.score(shuffled(case), case.rows)
    assert set(said.metrics) - {"calibration_error"} == set(case.task.metrics())
    assert case.task.metrics()[0] == said.headline


def test_rows_are_encoded_without_a_target(case: Case) -> None:
    with_targets = case.task.encode(case.rows, case.body)
    without = case.task.encode(served(case.rows), case.body)
    assert without.targets is None
    assert with_targets.targets is not None
    assert len(with_targets.targets) == units(case)
    assert torch.equal(without.rows, with_targets.rows)
    for name, values in with_targets.sequences.items():
        assert torch.equal(without.sequences[name], values)


def test_rows_without_a_target_are_answered(case: Case) -> None:
    noise = torch.randn(units(case), case.body.width, generator=torch.Generator().manual_seed(0))
    outputs = case.task.head(case.body)(noise).detach()
    said = case.task.answer(outputs, served(case.rows))
    assert said.rows.tolist() == case.rows.numbers.tolist()
    assert len(said.values) == 50


def test_rows_without_a_target_cannot_be_scored(case: Case) -> None:
    with pytest.raises(BadInput, match=r"error\[EVAL_NO_LABELS\]: sample.csv: .* Fix: use `sartor predict`"):
        case.task.score(perfect(case), served(case.rows))


def test_rows_without_a_target_cannot_be_learned_from(case: Case) -> None:
    with pytest.raises(BadInput) as raised:
        part("tasks", case.task.name).learn(served(case.rows))  # type: ignore[attr-defined]
    said = "error[LABEL_COLUMN]: sample.csv: the rows have no target column. Fix: pass --target NAME."
    assert str(raised.value) == said


def test_predictions_survive_the_file(case: Case, tmp_path: Path) -> None:
    for number, said in enumerate((perfect(case), shuffled(case))):
        file = tmp_path / f"{number}.parquet"
        said.save(file)
        again = Predictions.load(file)
        assert again.labels == said.labels
        assert again.rows.tolist() == said.rows.tolist()
        assert list(again.values) == list(said.values)
        assert again.values.dtype == said.values.dtype
        assert (again.probabilities is None) == (said.probabilities is None)
        if said.probabilities is not None:
            np.testing.assert_array_equal(again.probabilities, said.probabilities)
        assert case.task.score(again, case.rows).metrics == case.task.score(said, case.rows).metrics


def test_the_head_has_one_output_for_each_number_that_is_said(case: Case) -> None:
    head = case.task.head(case.body)
    batch = case.task.encode(case.rows, case.body).take(torch.arange(4))
    outputs = head(torch.zeros(len(batch.units(torch.arange(4))), case.body.width))
    assert outputs.shape[1] == case.task.describe()["num_labels"] or isinstance(head, Head)
    losses = case.task.loss(outputs, batch)
    assert losses.shape == (4,)
    assert (losses >= 0).all()


def test_the_loss_is_least_for_the_right_answer(case: Case) -> None:
    batch = case.task.encode(case.rows, case.body)
    best = right(case, 10)
    assert float(case.task.loss(best, batch).max()) < 1e-3
    for where, _, _ in each(case):
        best[where] = best[where].roll(1, 0)
    assert float(case.task.loss(best, batch).mean()) > 0.3


def test_the_solved_head_beats_the_head_as_it_is_made(case: Case) -> None:
    """Features that say the answer: the targets beside noise."""
    batch = case.task.encode(case.rows, case.body)
    features = torch.randn(units(case), case.body.width, generator=torch.Generator().manual_seed(0))
    for where, _, alone in each(case):
        told = known(alone)
        features[where, : told.shape[1]] = told
    head = case.task.head(case.body)
    before = float(case.task.loss(head(features), batch).detach().mean())
    chosen = case.task.solve(features, batch, head, 0)
    if not list(head.parameters()):  # it is made of the body's weights, and nothing is left to fit
        assert not chosen
        return
    assert set(chosen) == {"penalty", "held_out_loss"}
    assert float(case.task.loss(head(features), batch).detach().mean()) < 0.3 * before


def test_what_it_learned_survives_the_disk(case: Case) -> None:
    assert part_from_json("tasks", json.loads(json.dumps(case.task.to_json()))) == case.task
    fresh: Any = part("tasks", case.task.spelled())
    assert fresh.learn(case.rows) == case.task


def test_learning_gives_a_new_value(case: Case) -> None:
    before: Any = part("tasks", case.task.spelled())
    assert before.learn(case.rows) == case.task
    assert before == part("tasks", case.task.spelled())


def test_its_description_is_a_transformers_configuration(case: Case) -> None:
    from transformers import BertConfig

    told = case.task.describe()
    assert BertConfig(**told).num_labels == told["num_labels"] == len(told["id2label"])
    assert {v: k for k, v in told["id2label"].items()} == told["label2id"]


@pytest.mark.parametrize("name", names("tasks"))
def test_its_file_says_what_it_is(name: str) -> None:
    task = part("tasks", name)
    assert inspect.getdoc(sys.modules[type(task).__module__])
    assert inspect.getdoc(type(task))
