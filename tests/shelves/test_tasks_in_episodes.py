"""What every task that is asked in episodes must do, on every kind of target it can learn."""

from __future__ import annotations

import inspect
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sartor.data.rows import Rows
from sartor.episodic import trials
from sartor.errors import BadInput
from sartor.part import names, part, part_from_json
from sartor.predictions import LOWER_IS_BETTER, Predictions, better
from sartor.pretrained.text import open_text
from sartor.task import Task
from text_samples import families, personal, sensors, served

SAMPLES = {
    "few_shot": {"unseen classes": families, "shared labels": personal, "a number of a group": sensors},
}
CASES = [(name, kind) for name, kinds in SAMPLES.items() for kind in kinds]


COUNT = 96


@dataclass(frozen=True)
class Case:
    """`together`: rows whose losses belong together, all of them or those of one episode."""

    task: Task
    rows: Rows
    together: Rows
    body: Any


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest, tiny_encoder: Path) -> Case:
    name, kind = request.param
    assert name in SAMPLES, f"give tests/shelves/test_tasks.py rows that the task '{name}' learns from"
    rows = SAMPLES[name][kind](COUNT, 0)
    named = part("tasks", name)
    assert isinstance(named, Task)
    task = named.learn(rows)
    shape = task.asking.shape(task)
    together = rows if shape is None else rows.take(trials(rows, shape, 1)[0])
    return Case(task, rows, together, open_text(tiny_encoder, "mean", 256))


def perfect(case: Case) -> Predictions:
    """The right answer to everything that is asked, from outputs that could not be surer."""
    truth = dict(zip(case.rows.numbers.tolist(), case.rows.targets() or (), strict=True))

    def answer(asked: Rows) -> Predictions:
        told = [truth[number] for number in asked.numbers.tolist()]
        known = replace(asked, columns={**asked.columns, str(asked.schema.target): told})
        return case.task.answer(surest(case, known), asked)

    return case.task.asking.ask(case.task, answer, case.rows)


def surest(case: Case, rows: Rows) -> torch.Tensor:
    """(N, C) the outputs that say what the rows' targets say, and nothing else."""
    known = case.task.encode(rows, case.body).targets
    assert known is not None
    if known.is_floating_point() and known.ndim == 1:
        return known[:, None]
    hot = known if known.ndim == 2 else torch.nn.functional.one_hot(known, case.task.describe()["num_labels"])
    return hot.float() * 60 - 30


def shuffled(case: Case) -> Predictions:
    right = perfect(case)
    order = np.random.default_rng(1).permutation(len(right))
    turned = right.take(order)
    return Predictions(right.rows, turned.values, right.labels, turned.probabilities)


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
        assert items.ndim == 1
        assert scores.unit != "rows" or len(items) == len(case.rows)
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
    assert len(with_targets.targets) == len(case.rows)
    assert torch.equal(without.rows, with_targets.rows)
    for name, values in with_targets.sequences.items():
        assert torch.equal(without.sequences[name], values)


def test_rows_without_a_target_are_answered(case: Case) -> None:
    def answer(asked: Rows) -> Predictions:
        return case.task.answer(torch.randn(len(asked), case.task.describe()["num_labels"]), asked)

    said = case.task.asking.served(case.task, answer, case.rows)(served(case.rows))
    assert said.rows.tolist() == case.rows.numbers.tolist()
    assert len(said.values) == len(case.rows)


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
    outputs = head(torch.zeros(4, case.body.width))
    assert outputs.shape == (4, case.task.describe()["num_labels"])
    batch = case.task.encode(case.together, case.body).take(torch.arange(4))
    losses = case.task.loss(outputs, batch)
    assert losses.shape == (4,)
    assert (losses >= 0).all()


def test_the_loss_is_least_for_the_right_answer(case: Case) -> None:
    batch = case.task.encode(case.together, case.body)
    right = surest(case, case.together)
    assert float(case.task.loss(right, batch).max()) < 1e-3
    assert float(case.task.loss(right.roll(1, 0), batch).mean()) > 0.3


def test_the_solved_head_beats_the_head_as_it_is_made(case: Case) -> None:
    """Features that say the answer: the targets beside noise."""
    batch = case.task.encode(case.together, case.body)
    columns = (surest(case, case.together) + 30) / 60
    noise = torch.randn(len(batch), case.body.width - columns.shape[1], generator=torch.Generator().manual_seed(0))
    features = torch.cat([columns, noise], 1)
    head = case.task.head(case.body)
    before = float(case.task.loss(head(features), batch).detach().mean())
    chosen = case.task.solve(features, batch, head, 0)
    if not chosen:  # outputs that mean nothing before examples are seen cannot be fitted
        assert case.task.asking.shape(case.task) is not None
        return
    assert set(chosen) == {"penalty", "held_out_loss"}
    assert float(case.task.loss(head(features), batch).detach().mean()) < 0.3 * before


def test_what_it_learned_survives_the_disk(case: Case) -> None:
    assert part_from_json("tasks", json.loads(json.dumps(case.task.to_json()))) == case.task
    assert part("tasks", case.task.spelled()) == part("tasks", case.task.name)


def test_learning_gives_a_new_value(case: Case) -> None:
    before = part("tasks", case.task.name)
    assert before.learn(case.rows) == case.task  # type: ignore[attr-defined]
    assert before == part("tasks", case.task.name)


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
