"""Every metric of labels against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as reference

from sartor.scoring import ONE, SEVERAL, TWO, items

Arrays = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def drawn(labels: int, rows: int = 300, seed: int = 0) -> Arrays:
    draw = np.random.default_rng(seed)
    known = np.eye(labels)[draw.integers(labels, size=rows)]
    p = draw.dirichlet(np.ones(labels), size=rows) * 0.5 + 0.5 * np.eye(labels)[draw.integers(labels, size=rows)]
    return known, p, np.eye(labels)[p.argmax(1)]


def tagged(labels: int = 5, rows: int = 300, seed: int = 1) -> Arrays:
    draw = np.random.default_rng(seed)
    p = draw.random((rows, labels))
    return (draw.random((rows, labels)) < 0.3).astype(float), p, (p > 0.6).astype(float)


@pytest.mark.parametrize("labels", [2, 7])
def test_one_label(labels: int) -> None:
    known, p, chosen = drawn(labels)
    truth, said, every = known.argmax(1), p.argmax(1), list(range(labels))
    assert ONE["accuracy"](known, p, chosen) == pytest.approx(reference.accuracy_score(truth, said))
    assert ONE["macro_f1"](known, p, chosen) == pytest.approx(
        reference.f1_score(truth, said, average="macro", labels=every, zero_division=0.0)
    )
    assert ONE["log_loss"](known, p, chosen) == pytest.approx(reference.log_loss(truth, p, labels=every))


def test_a_label_that_is_neither_there_nor_said_counts_as_zero() -> None:
    known, p = np.array([[1.0, 0, 0]]), np.array([[0.9, 0.1, 0.0]])
    assert ONE["macro_f1"](known, p, known) == pytest.approx(1 / 3)


def test_two_labels_have_the_area_under_the_curve_ties_included() -> None:
    known, p, chosen = drawn(2)
    p = np.round(p, 1)
    assert TWO["auc"](known, p, chosen) == pytest.approx(reference.roc_auc_score(known[:, 1], p[:, 1]))
    assert TWO["brier"](known, p, chosen) == pytest.approx(
        2 * reference.brier_score_loss(known[:, 1], p[:, 1]), rel=1e-6
    )


def test_one_label_only_has_no_area() -> None:
    known = np.array([[1.0, 0.0]] * 3)
    assert np.isnan(TWO["auc"](known, known, known))


def test_several_labels() -> None:
    known, p, chosen = tagged()
    for average in ("micro", "macro"):
        expected = reference.f1_score(known, chosen, average=average, zero_division=0.0)
        assert SEVERAL[f"{average}_f1"](known, p, chosen) == pytest.approx(expected)
    assert SEVERAL["exact_match"](known, p, chosen) == pytest.approx(reference.accuracy_score(known, chosen))
    assert SEVERAL["label_accuracy"](known, p, chosen) == pytest.approx(1 - reference.hamming_loss(known, chosen))
    each = [reference.log_loss(known[:, k], p[:, k], labels=[0, 1]) for k in range(known.shape[1])]
    assert SEVERAL["log_loss"](known, p, chosen) == pytest.approx(np.mean(each))


@pytest.mark.parametrize("several", [False, True])
def test_the_mean_of_the_items_is_the_metric(several: bool) -> None:
    arrays = tagged() if several else drawn(4)
    table = SEVERAL if several else ONE
    for name, values in items(*arrays, several).items():
        assert values.mean() == pytest.approx(table[name](*arrays))


def test_scores_of_two_labels_against_scikit_learn() -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

    from sartor.scoring import of_two

    draw = np.random.default_rng(3)
    truth = draw.random(400) < 0.2
    score = np.round(np.clip(0.3 * truth + draw.random(400) * 0.7, 0, 1), 2)  # rounded: ties count
    known, p = np.eye(2)[truth.astype(int)], np.stack([1 - score, score], 1)
    found = of_two(1, "average_precision")
    assert next(iter(found)) == "average_precision"
    assert found["average_precision"](known, p, known) == pytest.approx(average_precision_score(truth, score))
    low, high, _ = roc_curve(truth, score)
    assert found["ks"](known, p, known) == pytest.approx((high - low).max())
    assert found["gini"](known, p, known) == pytest.approx(2 * roc_auc_score(truth, score) - 1)
    rarer = of_two(0, "auc")["average_precision"](known, p, known)
    assert rarer == pytest.approx(average_precision_score(~truth, 1 - score))
