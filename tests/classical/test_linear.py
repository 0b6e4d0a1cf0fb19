"""The solver against scikit-learn's, which minimises the same sums."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Ridge

from sartor.classical import linear
from sartor.classical.linear import choose, solve
from sartor.classical.targets import Target

DRAW = np.random.default_rng(0)
X = sparse.random(300, 40, density=0.2, random_state=0, format="csr", dtype=np.float32)
SIGNAL = np.asarray(X @ DRAW.normal(size=(40, 4)))
NUMBER, TWO = Target((), False), Target(("a", "b"), False)
FOUR, SEVERAL = Target(tuple("abcd"), False), Target(tuple("abcd"), True)


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "CLOSE", 1e-5)
    monkeypatch.setattr(linear, "STEPS", 1000)


def one_hot(places: np.ndarray, count: int) -> np.ndarray:
    return np.eye(count)[places]


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("c", [0.5, 20.0])
def test_many_labels(c: float) -> None:
    y = (SIGNAL + DRAW.normal(size=SIGNAL.shape)).argmax(1)
    reference = LogisticRegression(C=c, tol=1e-8, max_iter=5000).fit(X, y)
    said = solve(X, one_hot(y, 4), FOUR, c).outputs(X, FOUR)
    np.testing.assert_allclose(said, reference.predict_proba(X), atol=2e-3)


@pytest.mark.usefixtures("exact")
def test_two_labels() -> None:
    y = (SIGNAL[:, 0] + DRAW.normal(size=300) > 0).astype(int)
    reference = LogisticRegression(C=4.0, tol=1e-8, max_iter=5000).fit(X, y)
    said = solve(X, one_hot(y, 2), TWO, 4.0).outputs(X, TWO)
    np.testing.assert_allclose(said, reference.predict_proba(X), atol=2e-3)


@pytest.mark.usefixtures("exact")
def test_several_labels_are_as_many_regressions() -> None:
    y = (SIGNAL + DRAW.normal(size=SIGNAL.shape) > 0).astype(float)
    said = solve(X, y, SEVERAL, 4.0).outputs(X, SEVERAL)
    for i in range(4):
        reference = LogisticRegression(C=4.0, tol=1e-8, max_iter=5000).fit(X, y[:, i])
        np.testing.assert_allclose(said[:, i], reference.predict_proba(X)[:, 1], atol=2e-3)


@pytest.mark.usefixtures("exact")
def test_numbers_are_ridge_regression_far_from_zero_too() -> None:
    y = 5000 + 30 * SIGNAL[:, 0] + DRAW.normal(size=300)
    reference = Ridge(alpha=0.5, solver="cholesky").fit(X.toarray().astype(float), y)
    said = solve(X, y, NUMBER, 2.0).outputs(X, NUMBER)
    np.testing.assert_allclose(said, reference.predict(X.toarray().astype(float)), atol=0.05)


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize(("target", "known"), [(FOUR, one_hot(SIGNAL.argmax(1), 4)), (NUMBER, 100 + SIGNAL[:, 0])])
def test_going_on_from_another_solution_ends_at_the_same_place(target: Target, known: np.ndarray) -> None:
    strong = solve(X, known, target, 0.1)
    said = [solve(X, known, target, 3.0, start).outputs(X, target) for start in (None, strong)]
    np.testing.assert_allclose(said[0], said[1], atol=2e-3)


def test_the_grid_may_come_in_any_order() -> None:
    known = one_hot((SIGNAL + DRAW.normal(size=SIGNAL.shape)).argmax(1), 4)
    grid = (64.0, 0.25, 4.0)
    assert choose(X, known, FOUR, grid, 0) == choose(X, known, FOUR, tuple(sorted(grid)), 0)


def test_the_choice_rests_on_rows_that_were_held_out() -> None:
    """On labels that have nothing to do with the features the training rows alone would ask for the weakest."""
    known = one_hot(DRAW.integers(2, size=300), 2)
    assert choose(X, known, TWO, (0.01, 1.0, 100.0), 0) == 0.01
