"""Temperature, cross-fitted log-loss and calibration error: by their defining equations and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.metrics import log_loss

from sartor.position.calibration import (
    FLOOR,
    calibration_error,
    cross_fitted_log_loss,
    temperature,
    tempered_log_loss,
)


def drawn(n, sureness, seed=0, classes=4):
    """Calibrated log-probabilities sharpened by `sureness`, and targets drawn from the calibrated ones."""
    random = np.random.default_rng(seed)
    logits = 1.5 * random.normal(size=(n, classes))
    targets = (softmax(logits, 1).cumsum(1) < random.random((n, 1))).sum(1)
    return log_softmax(sureness * logits, 1), targets


@pytest.mark.parametrize("sureness", [0.4, 1.0, 3.0])
def test_the_temperature_undoes_the_sharpening(sureness):
    logs, targets = drawn(20_000, sureness)
    assert temperature(logs, targets) == pytest.approx(sureness, rel=0.04)


def test_at_the_optimum_the_expected_logit_is_the_observed_one():
    """d log-loss / d (1 / T) = 0: sum over rows of E[z] - z_target."""
    logs, targets = drawn(500, 2.0, seed=1)
    p = softmax(logs / temperature(logs, targets), 1)
    assert ((p * logs).sum(1) - logs[np.arange(500), targets]).mean() == pytest.approx(0.0, abs=1e-4)


def test_the_prior_keeps_a_part_without_mistakes_from_the_edge():
    logs = np.log(np.array([[0.9, 0.1], [0.2, 0.8]]))
    assert temperature(logs, np.array([0, 1])) < 0.06
    assert temperature(logs, np.array([0, 1]), prior=1.0) > 0.3


def test_tempered_log_loss_is_the_log_loss_of_the_tempered_softmax():
    logs, targets = drawn(200, 1.0, seed=2)
    found = tempered_log_loss(logs, targets, 1.7)
    assert found.mean() == pytest.approx(log_loss(targets, softmax(logs / 1.7, 1), labels=range(4)))
    assert tempered_log_loss(logs + 5000.0, targets, 1.7) == pytest.approx(found)


def test_how_sure_a_method_sounds_is_not_its_quality():
    logs, targets = drawn(3000, 1.0, seed=3)
    calm = cross_fitted_log_loss(np.exp(logs), targets)
    loud = cross_fitted_log_loss(softmax(2.5 * logs, 1), targets)
    assert tempered_log_loss(2.5 * logs, targets, 1.0).mean() > calm.mean() + 0.3
    assert loud.mean() == pytest.approx(calm.mean(), abs=5e-4)
    assert calm.mean() == pytest.approx(-logs[np.arange(3000), targets].mean(), abs=2e-3)


@pytest.mark.parametrize("folds", [2, 3])
def test_no_row_sees_its_own_target_in_its_temperature(folds):
    logs, targets = drawn(400, 2.0, seed=4)
    whole = cross_fitted_log_loss(np.exp(logs), targets, folds, seed=5)
    changed = targets.copy()
    changed[7] = (targets[7] + 1) % 4
    found = cross_fitted_log_loss(np.exp(logs), changed, folds, seed=5)
    same = np.isclose(found, whole, rtol=1e-9)
    fold = np.random.default_rng(5).permutation(400) % folds
    assert set(fold[same]) == {fold[7]}
    assert same[fold == fold[7]].sum() == (fold == fold[7]).sum() - 1


def test_each_fold_is_tempered_by_all_the_others():
    logs, targets = drawn(90, 2.0, seed=9)
    found = cross_fitted_log_loss(np.exp(logs), targets, 3, seed=1)
    fold = np.random.default_rng(1).permutation(90) % 3
    for k in range(3):
        t = temperature(logs[fold != k], targets[fold != k], prior=1.0)
        assert found[fold == k] == pytest.approx(tempered_log_loss(logs[fold == k], targets[fold == k], t), rel=1e-5)


def test_impossible_answers_have_a_finite_loss():
    certain = np.array([[1.0, 0.0]] * 40)
    found = cross_fitted_log_loss(certain, np.array([0, 1] * 20))
    assert np.isfinite(found).all()
    assert found.max() <= -math.log(FLOOR)
    assert cross_fitted_log_loss(certain[:2], np.array([0, 1]))[1] == pytest.approx(-math.log(FLOOR), rel=1e-6)


def test_calibration_error_by_hand():
    p = np.array([0.6, 0.6, 0.7, 0.7, 0.8, 0.9])
    targets = np.array([0, 1, 0, 0, 1, 0])
    probabilities = np.stack([p, 1 - p], 1)
    by_bin = [(0.6 + 0.6 - 1) / 6, (0.7 + 0.7 - 2) / 6, (0.8 + 0.9 - 1) / 6]
    assert calibration_error(probabilities, targets, bins=3) == pytest.approx(sum(map(abs, by_bin)))
    assert calibration_error(probabilities, targets, bins=1) == pytest.approx(abs(4.3 - 4) / 6)


def test_equal_confidences_share_a_bin_whatever_their_order():
    probabilities = np.tile([0.75, 0.25], (100, 1))
    targets = np.repeat([0, 1], [75, 25])
    assert calibration_error(probabilities, targets) == pytest.approx(0.0)
    logs, targets = drawn(300, 2.0, seed=6)
    probabilities = np.exp(logs).round(1)
    shuffled = np.random.default_rng(0).permutation(300)
    assert calibration_error(probabilities, targets) == pytest.approx(
        calibration_error(probabilities[shuffled], targets[shuffled])
    )


def test_bins_have_equal_mass_where_confidences_differ():
    """Against a plain loop over equal parts of the sorted rows."""
    logs, targets = drawn(600, 1.6, seed=7)
    p = np.exp(logs)
    order = np.argsort(p.max(1))
    right = p.argmax(1) == targets
    parts = np.array_split(order, 15)
    expected = sum(len(part) / 600 * abs(p.max(1)[part].mean() - right[part].mean()) for part in parts)
    assert calibration_error(p, targets) == pytest.approx(expected)


def test_calibration_error_tells_loud_from_calm():
    calm, targets = drawn(20_000, 1.0, seed=8)
    loud, _ = drawn(20_000, 3.0, seed=8)
    assert calibration_error(np.exp(calm), targets) < 0.012
    assert calibration_error(np.exp(loud), targets) > 0.1
