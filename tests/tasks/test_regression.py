"""Regression: metrics against scikit-learn and SciPy, units, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn import metrics as known

from sartor.batch import Batch
from sartor.data.rows import Rows
from sartor.errors import BadInput
from sartor.predictions import Predictions
from sartor.tasks.regression import Regression
from text_samples import measured, table


def rows_of(values: list[float]) -> Rows:
    texts = [f"text {i}" for i in range(len(values))]
    return table({"text": texts, "label": values}, {"text": "text", "label": "number"}, "label")


def test_it_learns_the_mean_and_the_scale() -> None:
    task = Regression().learn(rows_of([1.0, 3.0, 8.0]))
    assert (task.mean, task.scale) == (4.0, pytest.approx(np.std([1, 3, 8])))


def test_metrics_are_scikit_learns_and_scipys() -> None:
    rows = measured(60)
    truth = np.array(rows.targets())
    said = truth + np.random.default_rng(0).normal(size=60) * 5
    found = Regression().score(Predictions(rows.numbers, said), rows).metrics
    assert found["mae"] == pytest.approx(known.mean_absolute_error(truth, said))
    assert found["rmse"] == pytest.approx(known.root_mean_squared_error(truth, said))
    assert found["r2"] == pytest.approx(known.r2_score(truth, said))
    assert found["spearman"] == pytest.approx(spearmanr(truth, said).statistic)


def test_one_answer_for_all_is_worth_nothing_and_is_no_error() -> None:
    rows = rows_of([1.0, 2.0, 6.0])
    found = Regression().score(Predictions(rows.numbers, np.full(3, 3.0)), rows).metrics
    assert found["mae"] == 2.0
    assert (found["r2"], found["spearman"]) == (0.0, 0.0)


def test_the_loss_is_the_squared_error_in_units_of_the_variance() -> None:
    task = Regression().learn(rows_of([10.0, 20.0, 30.0]))
    batch = Batch(rows=torch.arange(2), offsets=torch.arange(3), targets=torch.tensor([10.0, 20.0]))
    losses = task.loss(torch.tensor([[16.0], [20.0]]), batch)
    assert losses.tolist() == pytest.approx([36 / np.var([10, 20, 30]), 0.0])


def test_the_head_begins_at_the_mean_in_the_datas_units() -> None:
    class Body:
        width = 4

    task = Regression().learn(rows_of([10.0, 20.0, 60.0]))
    assert task.head(Body())(torch.randn(3, 4)).flatten().tolist() == [30.0] * 3  # type: ignore[arg-type]


def test_equal_targets_are_refused() -> None:
    with pytest.raises(BadInput) as raised:
        Regression().learn(rows_of([2.0, 2.0]))
    said = "error[LABEL_SINGLE]: sample.csv: every row has the same target. Fix: pass another --target."
    assert str(raised.value) == said
