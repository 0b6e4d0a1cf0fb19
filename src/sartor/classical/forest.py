"""Random forests (Breiman 2001) as plain arrays: grown by scikit-learn, kept and asked without it.

Every tree splits on squared error of the (N, K) columns of the target; for labels, 1 where a row has one, that is Gini's
criterion.

Legend: N rows, V features, K columns (1 for a number), M nodes of all trees, T trees.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.predictions import Floats

BLOCK = 2048
"""Rows that go down the trees at once."""


@dataclass(frozen=True)
class Forest:
    """left, right (M,) the node that follows where `feature` <= `threshold`, or not; a leaf leads to itself.

    value (M, K) the mean of the training rows there; roots (T,).
    """

    left: NDArray[np.int32]
    right: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    value: NDArray[np.float32]
    roots: NDArray[np.int32]

    def outputs(self, x: NDArray[np.float32]) -> Floats:
        """(N, K) the mean over the trees."""
        parts = [self._of_block(x[start : start + BLOCK]) for start in range(0, len(x), BLOCK)]
        return np.concatenate(parts) if parts else np.zeros((0, self.value.shape[1]))

    def _of_block(self, x: NDArray[np.float32]) -> Floats:
        at = np.tile(self.roots, (len(x), 1))  # (N, T)
        rows = np.arange(len(x))[:, None]
        while True:
            low = x[rows, self.feature[at]] <= self.threshold[at]
            after = np.where(low, self.left[at], self.right[at])
            if np.array_equal(after, at):
                return np.asarray(self.value[at].astype(np.float64).mean(1))
            at = after

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        return dict(vars(self))


def restored(arrays: Mapping[str, Any]) -> Forest:
    """The forest that `Forest.arrays` wrote."""
    return Forest(**{name: np.asarray(arrays[name]) for name in Forest.__dataclass_fields__})


def grow(x: NDArray[np.float32], columns: Floats, trees: int, features: float | str, leaf: int, seed: int) -> Forest:
    """T trees, each on a bootstrap sample of the rows and at every split on a share of the features."""
    from sklearn.ensemble import RandomForestRegressor

    asked: dict[str, Any] = {"n_estimators": trees, "max_features": features, "min_samples_leaf": leaf}
    model = RandomForestRegressor(**asked, random_state=seed, n_jobs=_threads()).fit(x, columns)
    return _joined([tree.tree_ for tree in model.estimators_])


def _joined(trees: list[Any]) -> Forest:
    """Every tree's nodes end to end."""
    first = np.cumsum([0, *(t.node_count for t in trees)])
    left, right = ([_onward(getattr(t, side), f) for t, f in zip(trees, first, strict=False)] for side in SIDES)
    return Forest(
        np.concatenate(left),
        np.concatenate(right),
        np.concatenate([np.maximum(t.feature, 0) for t in trees]).astype(np.int32),
        np.concatenate([_below(t.threshold) for t in trees]),
        np.concatenate([t.value[:, :, 0] for t in trees]).astype(np.float32),
        first[:-1].astype(np.int32),
    )


SIDES = ("children_left", "children_right")


def _onward(children: NDArray[np.int64], first: int) -> NDArray[np.int32]:
    """The nodes' followers among all nodes; -1, a leaf's, is the leaf itself."""
    own = np.arange(len(children))
    return np.asarray(np.where(children < 0, own, children) + first, dtype=np.int32)


def _below(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest 32-bit number that is not above the threshold: x <= it holds for the same 32-bit x."""
    narrow = threshold.astype(np.float32)
    return np.where(narrow > threshold, np.nextafter(narrow, np.float32(-np.inf)), narrow)


def _threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
