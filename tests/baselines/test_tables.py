"""Boosted trees and logistic regression on the columns of a table, against scikit-learn and LightGBM."""

from __future__ import annotations

import builtins
import json
from typing import Any

import numpy as np
import pytest

from sartor.baseline import Baseline, State
from sartor.baselines.boosted_trees import BoostedTrees, _values
from sartor.baselines.logistic import Logistic
from sartor.classical.boosting import of_sklearn
from sartor.classical.columns import Columns
from sartor.classical.growing import Grower
from sartor.errors import BadEnvironment
from table_samples import CELLS, TABLED, graded, priced
from text_samples import served, table, task_of


@pytest.mark.parametrize("labels", [("A", "B"), ("A", "B", "C"), ()])
def test_the_trees_answer_as_scikit_learn_does(labels: tuple[str, ...]) -> None:
    rows, others = (graded(300, s, labels) if labels else priced(300, s) for s in (0, 1))
    columns = Columns.learn(rows)
    targets = rows.targets() or ()
    y = np.array([labels.index(t) for t in targets]) if labels else np.array(targets)
    model = Grower("histogram", 0.1, 50, len(columns.categories), 0).grow(_values(columns, rows), y, 8, 50)
    x = _values(columns, others)
    said = of_sklearn(model).outputs(x)
    expected = model.decision_function(x) if labels else model.predict(x)
    np.testing.assert_allclose(said if said.shape[1] > 1 else said[:, 0], expected, atol=1e-9)


@pytest.mark.parametrize(
    "made", [BoostedTrees(), Logistic(), BoostedTrees(model="lightgbm")], ids=lambda m: m.spelled()
)
def test_they_learn_what_decides(made: Baseline) -> None:
    if made.spelled().endswith("lightgbm"):
        pytest.importorskip("lightgbm")
    train, test = graded(400, 0, ("A", "B")), graded(400, 1, ("A", "B"))
    task = task_of(train)
    found = task.score(made.fit(task, train).predict(test), test).metrics
    assert found["auc"] > 0.93


@pytest.mark.parametrize("kind", TABLED)
def test_lightgbm_comes_back_from_its_text(kind: str) -> None:
    pytest.importorskip("lightgbm")
    rows, made = TABLED[kind](80, 0), BoostedTrees(model="lightgbm", most_trees=20)
    task = task_of(rows)
    fitted = made.fit(task, rows)
    state = fitted.state()
    again = made.restore(task, State(json.loads(json.dumps(state.values)), state.arrays))
    one, other = (f.predict(rows) for f in (fitted, again))
    assert list(one.values) == list(other.values)


def test_without_lightgbm_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    there = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name == "lightgbm":
            raise ImportError(name)
        return there(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    rows = graded(30)
    with pytest.raises(BadEnvironment) as caught:
        BoostedTrees(model="lightgbm").fit(task_of(rows), rows)
    assert caught.value.sentence() == (
        "error[TREES_MISSING]: LightGBM is not installed. "
        'Fix: pip install "sartor[trees]", or leave model=lightgbm out.'
    )


@pytest.mark.parametrize("made", [BoostedTrees(), Logistic()], ids=lambda m: m.name)
def test_cells_that_were_never_seen_are_answered(made: Baseline) -> None:
    train = graded(60)
    task = task_of(train)
    cells = {name: [cell.get(name) for cell in CELLS] for name in CELLS[0]}
    kinds = {name: train.schema.kind(name) for name in cells}
    said = made.fit(task, train).predict(table(cells, kinds, None))
    np.testing.assert_allclose(said.probabilities.sum(1), 1, atol=1e-9)


def test_missing_values_of_a_column_that_had_none() -> None:
    rows = graded(60)
    full = [i for i, v in enumerate(rows.columns["income"]) if v is not None]
    gone = [i for i, v in enumerate(rows.columns["income"]) if v is None]
    fitted = Logistic().fit(task_of(rows), rows.take(full))
    assert np.isfinite(fitted.predict(served(rows.take(gone))).probabilities).all()


def test_the_forest_says_what_scikit_learns_says() -> None:
    """Of labels: the shares of the leaves, averaged over the trees, on the same columns."""
    from sklearn.ensemble import RandomForestRegressor

    from sartor.baselines.random_forest import RandomForest
    from sartor.baselines.random_forest import _values as read
    from sartor.classical.columns import Columns
    from table_samples import graded

    rows, held = graded(120), graded(40, 1)
    task = task_of(rows)
    found = RandomForest(trees=20).fit(task, rows, seed=5).predict(held)
    columns = Columns.learn(rows)
    known = np.array([[float(str(t) == label) for label in task.labels] for t in rows.targets() or ()])  # type: ignore[attr-defined]
    theirs = RandomForestRegressor(20, max_features="sqrt", min_samples_leaf=2, random_state=5)
    said = theirs.fit(read(columns, rows), known).predict(read(columns, held))
    np.testing.assert_allclose(found.probabilities, said, atol=1e-4)
