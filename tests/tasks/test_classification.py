"""Classification: what it learns, how labels are weighed, and every metric against scikit-learn or its formula."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as known
from sklearn.utils.class_weight import compute_class_weight

from sartor.data.rows import Rows
from sartor.errors import BadInput
from sartor.predictions import Predictions
from sartor.tasks.classification import Classification
from text_samples import labelled, table, tagged


def rows_of(labels: list[Any], kind: Any = "category") -> Rows:
    texts = [f"text {i}" for i in range(len(labels))]
    return table({"text": texts, "label": labels}, {"text": "text", "label": kind}, "label")


def answered(task: Classification, rows: Rows, seed: int = 0) -> Predictions:
    outputs = torch.randn(len(rows), len(task.labels), generator=torch.Generator().manual_seed(seed)) * 2
    return task.answer(outputs, rows)


def test_labels_are_sorted_with_their_shares() -> None:
    task = Classification().learn(rows_of(["b", "a", "b", "c"]))
    assert task.labels == ("a", "b", "c")
    assert task.frequency == (0.25, 0.5, 0.25)
    assert not task.several


def test_labels_that_are_no_text_become_text() -> None:
    assert Classification().learn(rows_of([1, 0, 1], "category")).labels == ("0", "1")


def test_a_declared_label_without_training_rows_is_known() -> None:
    rows = rows_of(["a", "b", "a"])
    rows = replace(rows, schema=replace(rows.schema, labels=("a", "b", "rare")))
    task = Classification().learn(rows)
    assert task.labels == ("a", "b", "rare")
    assert task.frequency[2] == 0.0
    assert task._indicator(rows_of(["rare"])).tolist() == [[0.0, 0.0, 1.0]]
    weights = replace(task, class_weight="balanced")._weights().tolist()
    assert weights == pytest.approx([0.5, 1.0, 1.0])


def test_several_labels() -> None:
    task = Classification().learn(rows_of([["x", "y"], [], ["y"]], "labels"))
    assert (task.several, task.labels) == (True, ("x", "y"))
    assert task.frequency == pytest.approx((1 / 3, 2 / 3))


def test_one_label_alone_cannot_be_learned() -> None:
    with pytest.raises(BadInput) as raised:
        Classification().learn(rows_of(["good", "good"]))
    assert str(raised.value) == (
        "error[LABEL_SINGLE]: sample.csv: every row has the label 'good'. "
        "Fix: add rows of another class, or pass another --target."
    )


def test_an_unknown_label_is_named_with_its_line() -> None:
    task = Classification().learn(rows_of(["no", "yes"]))
    with pytest.raises(BadInput) as raised:
        task.score(answered(task, rows_of(["no", "maybe"])), rows_of(["no", "maybe"]))
    assert str(raised.value) == (
        'error[LABEL_UNKNOWN]: sample.csv:9: label "maybe" is not one of: no, yes. '
        "Fix: correct the row, or train with rows that have this label."
    )


def test_class_weights_are_scikit_learns() -> None:
    labels = ["a"] * 30 + ["b"] * 5 + ["c"] * 11
    task = Classification(class_weight="balanced").learn(rows_of(labels))
    theirs = compute_class_weight("balanced", classes=np.array(["a", "b", "c"]), y=np.array(labels))
    np.testing.assert_allclose(task._weights().numpy(), theirs, rtol=1e-6)
    assert Classification().learn(rows_of(labels))._weights().tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("weight", ["none", "balanced"])
def test_the_loss_is_torchs_weighted_cross_entropy(weight: Any) -> None:
    from sartor.batch import Batch

    task = Classification(class_weight=weight).learn(rows_of(["a"] * 6 + ["b"] * 2 + ["c"] * 2))
    y = torch.tensor([0, 1, 2, 0])
    batch = Batch(rows=torch.arange(4), offsets=torch.arange(5), targets=y)
    outputs = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    theirs = torch.nn.CrossEntropyLoss(weight=task._weights(), reduction="none")(outputs, y)
    torch.testing.assert_close(task.loss(outputs, batch), theirs)


def test_the_loss_of_several_labels_is_torchs() -> None:
    from sartor.batch import Batch

    task = Classification().learn(rows_of([["x"], ["y"]], "labels"))
    y = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    batch = Batch(rows=torch.arange(3), offsets=torch.arange(4), targets=y)
    outputs = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    theirs = torch.nn.BCEWithLogitsLoss(reduction="none")(outputs, y).mean(1)
    torch.testing.assert_close(task.loss(outputs, batch), theirs)


@pytest.mark.parametrize("labels", [("animal", "food"), ("animal", "food", "tool")])
def test_metrics_are_scikit_learns(labels: tuple[str, ...]) -> None:
    rows = labelled(80, labels=labels)
    task = Classification().learn(rows)
    said = answered(task, rows)
    found = task.score(said, rows).metrics
    truth, p = list(rows.targets()), said.probabilities
    assert found["accuracy"] == pytest.approx(known.accuracy_score(truth, list(said.values)))
    assert found["macro_f1"] == pytest.approx(known.f1_score(truth, list(said.values), average="macro"))
    assert found["log_loss"] == pytest.approx(known.log_loss(truth, p, labels=labels))
    hot = np.array([[t == label for label in labels] for t in truth], dtype=float)
    assert found["brier"] == pytest.approx(((p - hot) ** 2).sum(1).mean())
    if len(labels) == 2:
        assert found["auc"] == pytest.approx(known.roc_auc_score(hot[:, 1], p[:, 1]))
    else:
        assert "auc" not in found


def test_metrics_of_several_labels_are_scikit_learns() -> None:
    rows = tagged(80)
    task = Classification().learn(rows)
    said = answered(task, rows)
    found = task.score(said, rows).metrics
    hot = np.array([[label in t for label in task.labels] for t in rows.targets()])
    chosen = said.probabilities > 0.5
    assert found["micro_f1"] == pytest.approx(known.f1_score(hot, chosen, average="micro"))
    assert found["macro_f1"] == pytest.approx(known.f1_score(hot, chosen, average="macro"))
    assert found["exact_match"] == pytest.approx(known.accuracy_score(hot, chosen))
    assert found["label_accuracy"] == pytest.approx(1 - known.hamming_loss(hot, chosen))
    losses = [known.log_loss(hot[:, i], said.probabilities[:, i], labels=[0, 1]) for i in range(len(task.labels))]
    assert found["log_loss"] == pytest.approx(np.mean(losses))


def test_a_sure_mistake_costs_much_but_not_infinitely() -> None:
    rows = rows_of(["a", "b"])
    task = Classification().learn(rows)
    said = Predictions(rows.numbers, np.array(["b", "a"], dtype=object), ("a", "b"), np.array([[0.0, 1.0], [1.0, 0.0]]))
    assert task.score(said, rows).metrics["log_loss"] == pytest.approx(-np.log(1e-7))


def test_the_head_begins_small_and_even() -> None:
    class Body:
        width = 400

    task = Classification().learn(rows_of(["a", "b", "c"]))
    head = task.head(Body())  # type: ignore[arg-type]
    assert head.weight.shape == (3, 400)
    assert head.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert head.bias.tolist() == [0.0, 0.0, 0.0]


def test_runs_are_judged_by_what_they_know_not_by_how_sure_they_sound() -> None:
    """The same order of answers ten times as sure: the raw loss is far worse, what runs are judged by is not."""
    rows = labelled(60, labels=("animal", "food"))
    task = Classification().learn(rows)
    drawn = np.random.default_rng(0).normal(size=(60, 2))
    drawn[np.arange(60), [task.labels.index(str(t)) for t in rows.targets() or ()]] += 1.0
    calm, sure = (task.score(task.answer(torch.from_numpy(drawn * by), rows), rows) for by in (1.0, 10.0))
    assert calm.metrics["accuracy"] == sure.metrics["accuracy"]
    assert sure.metrics["log_loss"] > 2 * calm.metrics["log_loss"]
    assert sure.losses.mean() == pytest.approx(calm.losses.mean(), rel=0.05)


def test_two_labels_are_judged_by_what_fits_the_case() -> None:
    from table_samples import graded

    rows = graded(100, 0, ("bad", "good"))
    assert Classification().learn(rows).metrics()[0] == "auc"
    good = [i for i, label in enumerate(rows.targets()) if label == "good"]
    rare = rows.take([*good, rows.targets().index("bad")])
    task = Classification().learn(rare)
    assert task.metrics()[0] == "average_precision"
    assert Classification().learn(graded(90)).metrics()[0] == "accuracy"
    assert Classification().learn(labelled(60, labels=("animal", "food"))).metrics()[0] == "accuracy"
