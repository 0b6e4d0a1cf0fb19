"""Growing boosted trees: how many and how large by cross-validation, with scikit-learn or with LightGBM.

Legend: N rows, V columns of which the categories come first, C classes that the rows have, T trees of each output.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.classical import boosting
from sartor.errors import BadEnvironment
from sartor.predictions import Floats, Integers

FOLDS = 3
LEAVES = (3, 8, 31)
"""Leaves of a tree that are tried: from trees that hardly interact to scikit-learn's own."""
FEWER = 40
"""Trees where too few rows are there to choose."""
LEAST_LEAF = 10
TINY = 1e-12
ALONE = 8000
"""Rows up to which one thread grows the trees: several would wait for each other more than they help."""


@dataclass(frozen=True)
class Grower:
    """How trees are grown. `model`: "histogram" or "lightgbm"."""

    model: str
    learning_rate: float
    most: int
    categories: int
    seed: int

    def grow(self, x: Floats, y: NDArray[Any], leaves: int, trees: int) -> Any:
        """The library's own model."""
        if self.model == "lightgbm":
            return self._lightgbm(x, y, leaves, trees)
        if len(y) > ALONE:
            return self._histogram(x, y, leaves, trees)
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            return self._histogram(x, y, leaves, trees)

    def staged(self, model: Any, x: Floats) -> Iterator[Floats]:
        """What it says of the rows with 1, 2, ... trees: (N,) numbers or (N, C) probabilities."""
        if self.model == "lightgbm":
            yield from (model.predict(x, t) for t in range(1, model.booster.current_iteration() + 1))
        elif hasattr(model, "classes_"):
            yield from model.staged_predict_proba(x)
        else:
            yield from model.staged_predict(x)

    def _histogram(self, x: Floats, y: NDArray[Any], leaves: int, trees: int) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        made = HistGradientBoostingRegressor if y.dtype == np.float64 else HistGradientBoostingClassifier
        first = np.arange(x.shape[1]) < self.categories
        asked: dict[str, Any] = {"max_leaf_nodes": leaves, "max_iter": trees, "learning_rate": self.learning_rate}
        asked |= {"min_samples_leaf": LEAST_LEAF, "l2_regularization": 1.0, "early_stopping": False}
        return made(**asked, categorical_features=first, random_state=self.seed).fit(x, y)

    def _lightgbm(self, x: Floats, y: NDArray[Any], leaves: int, trees: int) -> Any:
        lightgbm = _lightgbm()
        classes = 0 if y.dtype == np.float64 else int(y.max()) + 1
        asked: dict[str, Any] = {"num_leaves": leaves, "learning_rate": self.learning_rate, "verbose": -1}
        asked |= {"objective": "regression" if not classes else "binary" if classes == 2 else "multiclass"}
        asked |= {"num_class": classes} if classes > 2 else {}
        asked |= {"min_data_in_leaf": LEAST_LEAF, "lambda_l2": 1.0, "seed": self.seed, "deterministic": True}
        asked |= {"force_row_wise": True, "num_threads": 1 if len(y) <= ALONE else _threads()}
        named = list(range(self.categories))
        data = lightgbm.Dataset(x, label=y, categorical_feature=named, params={"verbose": -1})
        return Staged(lightgbm.train(asked, data, num_boost_round=trees), classes)


@dataclass(frozen=True)
class Staged:
    """LightGBM's model; of two classes it says both. `classes`: 0 where it predicts a number."""

    booster: Any
    classes: int

    def predict(self, x: Floats, trees: int | None = None) -> Floats:
        said = np.asarray(self.booster.predict(x, num_iteration=trees))
        return np.stack([1 - said, said], 1) if self.classes == 2 else said


@dataclass(frozen=True)
class Forest:
    """Trees that were grown, and what was chosen for them.

    classes   the numbers of the labels that the training rows had; none: a number is predicted
    trees     `boosting.Boosted`, LightGBM's text, or None where all rows had one class
    """

    classes: tuple[int, ...]
    trees: Any
    chosen: Mapping[str, Any] = field(default_factory=dict)

    def numbers(self, x: Floats) -> Floats:
        """(N,)"""
        if isinstance(self.trees, str):
            return _opened(self.trees, 0).predict(x)
        return np.asarray(self.trees.outputs(x)[:, 0])

    def shares(self, x: Floats, labels: int) -> Floats:
        """(N, labels) probabilities, 0 of a label that the training rows did not have."""
        found = np.zeros((len(x), labels))
        found[:, list(self.classes)] = 1.0 if self.trees is None else self._probabilities(x)
        return found

    def _probabilities(self, x: Floats) -> Floats:
        from scipy.special import expit, softmax

        if isinstance(self.trees, str):
            return _opened(self.trees, len(self.classes)).predict(x)
        scores = self.trees.outputs(x)
        if scores.shape[1] > 1:
            return np.asarray(softmax(scores, axis=1))
        return np.hstack([expit(-scores), expit(scores)])

    def told(self) -> dict[str, Any]:
        """Plain values, for `restored`."""
        kept = {"lightgbm": self.trees} if isinstance(self.trees, str) else {}
        return {"classes": list(self.classes), "chosen": dict(self.chosen), **kept}

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        return self.trees.arrays() if isinstance(self.trees, boosting.Boosted) else {}


def restored(told: Mapping[str, Any], arrays: Mapping[str, Any]) -> Forest:
    """What `Forest.told` and `Forest.arrays` wrote."""
    trees = boosting.restored(arrays) if arrays else told.get("lightgbm")
    return Forest(tuple(told["classes"]), trees, told["chosen"])


def grown(grower: Grower, x: Floats, y: NDArray[Any]) -> Forest:
    """y: (N,) float64 numbers, or integers that stand for labels."""
    if grower.model == "lightgbm":
        _lightgbm()
    number = y.dtype == np.float64
    classes = () if number else tuple(int(v) for v in np.unique(y))
    if len(classes) == 1:
        return Forest(classes, None)
    codes = y if number else np.searchsorted(classes, y)
    chosen = _choose(grower, x, codes)
    model = grower.grow(x, codes, chosen["leaves"], chosen["trees"])
    kept = model.booster.model_to_string() if isinstance(model, Staged) else boosting.of_sklearn(model)
    return Forest(classes, kept, chosen)


def _choose(grower: Grower, x: Floats, y: NDArray[Any]) -> dict[str, Any]:
    """The leaves and the trees with the least held-out loss."""
    fold = _folds(y, grower.seed)
    kept = [y[fold != f] for f in range(FOLDS)]
    few = len(y) < 10 * FOLDS or (y.dtype != np.float64 and any(len(np.unique(k)) < len(np.unique(y)) for k in kept))
    if few:
        return {"leaves": LEAVES[0], "trees": min(FEWER, grower.most)}
    found = []
    for leaves in LEAVES:
        total = np.zeros(grower.most)
        for f in range(FOLDS):
            model = grower.grow(x[fold != f], kept[f], leaves, grower.most)
            total += [_loss(said, y[fold == f]) for said in grower.staged(model, x[fold == f])]
        found.append((float(total.min()) / len(y), leaves, int(total.argmin()) + 1))
    loss, leaves, trees = min(found)
    return {"leaves": leaves, "trees": trees, "held_out_loss": loss}


def _loss(said: Floats, y: NDArray[Any]) -> float:
    """Squared error, or log-loss, summed."""
    if said.ndim == 1:
        return float(((said - y) ** 2).sum())
    return float(-np.log(np.maximum(said[np.arange(len(y)), y], TINY)).sum())


def _folds(y: NDArray[Any], seed: int) -> Integers:
    """(N,) which fold each row is in, every class (or range of numbers) spread over them."""
    shuffled = np.random.default_rng(seed).permutation(len(y))
    fold = np.empty(len(y), dtype=np.int64)
    fold[shuffled[np.argsort(y[shuffled], kind="stable")]] = np.arange(len(y)) % FOLDS
    return fold


def _opened(text: str, classes: int) -> Staged:
    return Staged(_lightgbm().Booster(model_str=text), classes)


def _lightgbm() -> Any:
    try:
        import lightgbm
    except ImportError:
        fix = 'pip install "sartor[trees]", or leave model=lightgbm out'
        raise BadEnvironment("TREES_MISSING", "LightGBM is not installed", fix=fix) from None
    return lightgbm


def _threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
