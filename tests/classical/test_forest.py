"""The forest as arrays against scikit-learn's own."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from sartor.classical.forest import grow, restored

DRAW = np.random.default_rng(0)
X = DRAW.random((200, 6)).astype(np.float32)
ASKED = DRAW.random((80, 6)).astype(np.float32)
LABEL = (3 * X[:, 0] * (X[:, 1] > 0.5)).astype(int)


def test_it_says_what_scikit_learn_says() -> None:
    known = np.eye(3)[LABEL]
    expected = RandomForestRegressor(n_estimators=20, max_features="sqrt", random_state=4).fit(X, known).predict(ASKED)
    found = grow(X, known, 20, "sqrt", 1, 4)
    np.testing.assert_allclose(found.outputs(ASKED), expected, atol=1e-6)
    np.testing.assert_allclose(found.outputs(ASKED).sum(1), 1, atol=1e-6)


def test_squared_error_on_labels_is_as_good_as_a_classifier() -> None:
    truth = (3 * ASKED[:, 0] * (ASKED[:, 1] > 0.5)).astype(int)
    theirs = RandomForestClassifier(n_estimators=100, random_state=0).fit(X, LABEL).score(ASKED, truth)
    ours = (grow(X, np.eye(3)[LABEL], 100, "sqrt", 1, 0).outputs(ASKED).argmax(1) == truth).mean()
    assert abs(ours - theirs) < 0.06


def test_a_number_is_a_column() -> None:
    number = X[:, 0] * 10
    expected = RandomForestRegressor(n_estimators=10, max_features=1.0, random_state=1).fit(X, number).predict(ASKED)
    np.testing.assert_allclose(grow(X, number[:, None], 10, 1.0, 1, 1).outputs(ASKED)[:, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("rows", [0, 1, 80])
def test_it_is_the_same_from_its_arrays(rows: int) -> None:
    made = grow(X, np.eye(3)[LABEL], 5, "sqrt", 1, 0)
    again = restored(made.arrays())
    assert np.array_equal(again.outputs(ASKED[:rows]), made.outputs(ASKED[:rows]))
    assert again.outputs(ASKED[:rows]).shape == (rows, 3)
