"""Solved heads against scikit-learn's optima and explicit leave-one-out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn.functional import one_hot

from sartor.engine import heads
from sartor.engine.heads import PENALTIES, RIDGES, solve_logistic, solve_ridge

N, D, C = 120, 10, 3


def draw(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features of unlike scales and centres, and noisy classes."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, D))
    y = (x @ rng.normal(size=(D, C)) + 2 * rng.normal(size=(N, C))).argmax(1)
    features = x * rng.uniform(0.1, 10, D) + rng.normal(size=D) * 5
    return torch.from_numpy(features.astype(np.float32)), torch.from_numpy(y)


def standard(features: Tensor) -> np.ndarray:
    """Centred, by the standard deviation of N - 1."""
    x = features.double().numpy()
    return (x - x.mean(0)) / x.std(0, ddof=1)


def summed_loss(logits: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    top = logits.max(1, keepdims=True)
    logp = logits - top - np.log(np.exp(logits - top).sum(1, keepdims=True))
    return float(-(weights * logp[np.arange(len(y)), y]).sum())


@pytest.mark.parametrize("weighted", [False, True])
def test_the_logistic_head_is_scikit_learns_optimum(weighted: bool) -> None:
    features, y = draw()
    weights = torch.rand(N, generator=torch.Generator().manual_seed(3)) + 0.2 if weighted else torch.ones(N)
    found = solve_logistic(features, one_hot(y, C).float(), weights, 0, None)
    z = standard(features)
    theirs = LogisticRegression(C=1 / found.penalty, tol=1e-10, max_iter=10_000)
    theirs.fit(z, y.numpy(), sample_weight=weights.numpy())
    mine = features.double().numpy() @ found.weight.double().numpy().T + found.bias.double().numpy()
    probabilities = torch.softmax(torch.from_numpy(mine), 1).numpy()
    np.testing.assert_allclose(probabilities, theirs.predict_proba(z), atol=5e-3)
    scale = features.double().numpy().std(0, ddof=1)
    coefficients = found.weight.double().numpy() * scale
    my_value = summed_loss(mine, y.numpy(), weights.numpy()) + found.penalty / 2 * (coefficients**2).sum()
    best = summed_loss(theirs.decision_function(z), y.numpy(), weights.numpy())
    best += found.penalty / 2 * (theirs.coef_**2).sum()
    assert best * (1 - 1e-5) <= my_value <= best * (1 + 1e-4)


def test_several_labels_are_fits_of_their_own() -> None:
    features, y = draw(1)
    targets = torch.stack([(y == 0) | (y == 1), y == 1, torch.arange(N) % 3 == 0], 1).float()
    found = solve_logistic(features, targets, torch.ones(N), 0, torch.ones(targets.shape[1]))
    z = standard(features)
    mine = torch.sigmoid(features @ found.weight.T + found.bias).numpy()
    for label in range(3):  # the loss is the mean over labels, so that each label's own penalty is C times larger
        theirs = LogisticRegression(C=1 / (3 * found.penalty), tol=1e-10, max_iter=10_000)
        theirs.fit(z, targets[:, label].numpy())
        np.testing.assert_allclose(mine[:, label], theirs.predict_proba(z)[:, 1], atol=5e-3)


def test_the_penalty_is_the_one_with_the_least_cross_validated_loss() -> None:
    features, y = draw(2)
    found = solve_logistic(features, one_hot(y, C).float(), torch.ones(N), 5, None)
    order = np.random.default_rng(5).permutation(N)
    z, said = standard(features)[order], y.numpy()[order]
    folds = np.arange(N) % heads.FOLDS
    held = []
    for penalty in PENALTIES:
        total = 0.0
        for fold in range(heads.FOLDS):
            theirs = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=10_000)
            theirs.fit(z[folds != fold], said[folds != fold])
            logits = theirs.decision_function(z[folds == fold])
            total += summed_loss(logits, said[folds == fold], np.ones((folds == fold).sum()))
        held.append(total / N)
    assert found.penalty == PENALTIES[int(np.argmin(held))]
    assert found.penalty not in (PENALTIES[0], PENALTIES[-1])
    assert found.held_out_loss == pytest.approx(min(held), rel=2e-3)


def test_few_rows_with_many_features_stay_calm() -> None:
    """Random labels: the strongest penalties win, and the held-out loss is that of the class shares."""
    rng = torch.Generator().manual_seed(0)
    features, y = torch.randn(60, 200, generator=rng), torch.arange(60) % 2
    found = solve_logistic(features, one_hot(y, 2).float(), torch.ones(60), 0, None)
    assert found.penalty >= 100
    assert found.held_out_loss < 1.1 * np.log(2)


def test_a_constant_feature_is_no_infinity() -> None:
    features, y = draw(3)
    features[:, 0] = 7.0
    for found in (
        solve_logistic(features, one_hot(y, C).float(), torch.ones(N), 0, None),
        solve_ridge(features, y[:, None].float()),
    ):
        assert found.weight.isfinite().all()
        assert found.bias.isfinite().all()
        assert (features @ found.weight.T + found.bias).abs().max() < 1e3


def test_the_search_may_use_fewer_rows_but_the_fit_uses_all(monkeypatch: pytest.MonkeyPatch) -> None:
    features, y = draw(4)
    monkeypatch.setattr(heads, "LARGEST_SEARCH", 60)
    found = solve_logistic(features, one_hot(y, C).float(), torch.ones(N), 0, None)
    theirs = LogisticRegression(C=1 / found.penalty, tol=1e-10, max_iter=10_000).fit(standard(features), y.numpy())
    mine = torch.softmax(features @ found.weight.T + found.bias, 1).numpy()
    np.testing.assert_allclose(mine, theirs.predict_proba(standard(features)), atol=5e-3)


def regression(outputs: int = 1) -> tuple[Tensor, Tensor]:
    features, _ = draw(5)
    rng = np.random.default_rng(6)
    y = standard(features) @ rng.normal(size=(D, outputs)) * 3 + rng.normal(size=(N, outputs)) * 4 + 100
    return features, torch.from_numpy(y.astype(np.float32))


def test_ridge_is_scikit_learns_with_the_same_penalty() -> None:
    features, y = regression(2)
    found = solve_ridge(features, y)
    theirs = Ridge(alpha=found.penalty).fit(standard(features), y.numpy())
    mine = (features @ found.weight.T + found.bias).numpy()
    np.testing.assert_allclose(mine, theirs.predict(standard(features)), rtol=1e-4)


def test_ridge_chooses_as_scikit_learns_leave_one_out() -> None:
    features, y = regression()
    theirs = RidgeCV(alphas=RIDGES, scoring="neg_mean_squared_error").fit(standard(features), y.numpy()[:, 0])
    found = solve_ridge(features, y)
    assert found.penalty == theirs.alpha_
    assert found.held_out_loss == pytest.approx(-theirs.best_score_, rel=1e-4)


def test_the_leave_one_out_error_is_exact() -> None:
    """Against N fits, each without one row, on features standardised once."""
    features, y = regression(2)
    found = solve_ridge(features, y)
    z = StandardScaler().fit_transform(features.double().numpy()) * np.sqrt((N - 1) / N)
    errors = []
    for i in range(N):
        others = np.arange(N) != i
        fitted = Ridge(alpha=found.penalty).fit(z[others], y.numpy()[others])
        errors.append((fitted.predict(z[[i]])[0] - y.numpy()[i]) ** 2)
    assert found.held_out_loss == pytest.approx(float(np.mean(errors)), rel=1e-4)


def test_more_features_than_rows() -> None:
    rng = torch.Generator().manual_seed(1)
    features = torch.randn(20, 100, generator=rng)
    y = features[:, :1] * 5 + 3
    found = solve_ridge(features, y)
    theirs = RidgeCV(alphas=RIDGES, scoring="neg_mean_squared_error").fit(standard(features), y.numpy()[:, 0])
    assert found.held_out_loss == pytest.approx(-theirs.best_score_, rel=1e-3)
