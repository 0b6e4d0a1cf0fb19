"""Gradient boosted trees (Friedman 2001) as plain arrays: grown by scikit-learn, kept and asked without it.

Categories are split natively: a node sends a set of values to the left (Fisher 1958; LightGBM, Ke et al. 2017).

Legend: N rows, V columns, K outputs (1 for a number or two labels, else the labels), M nodes of all trees, T trees of
each output.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.predictions import Floats

BLOCK = 4096
"""Rows that go down the trees at once."""
WORDS = 8
"""A set of values has 8 words of 32 bits."""


@dataclass(frozen=True)
class Boosted:
    """left, right (M,) the node that follows; a leaf leads to itself.

    feature, threshold (M,)  x[feature] <= threshold goes left, a missing one where `gone_left` says
    members (M,)  the row of `sets` (S, 8) of values that go left; -1 where the node splits numbers
    value (M,)    what a leaf adds; `first` (K,) what every row begins with; `roots` (T, K)
    """

    left: NDArray[np.int32]
    right: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    gone_left: NDArray[np.uint8]
    members: NDArray[np.int32]
    sets: NDArray[np.uint32]
    value: NDArray[np.float64]
    first: NDArray[np.float64]
    roots: NDArray[np.int32]

    def outputs(self, x: Floats) -> Floats:
        """(N, K) sums over the trees, before any link."""
        parts = [self._of_block(x[start : start + BLOCK]) for start in range(0, len(x), BLOCK)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.first)))

    def _of_block(self, x: Floats) -> Floats:
        found = np.tile(self.first, (len(x), 1))
        rows = np.arange(len(x))[:, None]
        for trees in np.array_split(self.roots, max(1, len(self.roots) // 64)):
            at = np.broadcast_to(trees, (len(x), *trees.shape)).reshape(len(x), -1)
            while True:
                after = np.where(self._goes_left(x[rows, self.feature[at]], at), self.left[at], self.right[at])
                if np.array_equal(after, at):
                    break
                at = after
            found += self.value[at].reshape(len(x), *trees.shape).sum(1)
        return found

    def _goes_left(self, values: Floats, at: NDArray[np.int32]) -> NDArray[np.bool_]:
        gone, of = np.isnan(values), self.members[at]
        code = np.where(gone | (of < 0), 0, values).astype(np.int64)
        inside = (self.sets[np.maximum(of, 0), code // 32] >> (code % 32).astype(np.uint32)) & 1
        return np.where(gone, self.gone_left[at] > 0, np.where(of >= 0, inside > 0, values <= self.threshold[at]))

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        return dict(vars(self))


def restored(arrays: Mapping[str, Any]) -> Boosted:
    """The trees that `Boosted.arrays` wrote."""
    return Boosted(**{name: np.asarray(arrays[name]) for name in Boosted.__dataclass_fields__})


def of_sklearn(model: Any) -> Boosted:
    """The trees of a fitted HistGradientBoosting model whose categories are the first columns, coded 0, 1, ... without
    a gap: then its own encoder changes nothing."""
    trees = [tree for step in model._predictors for tree in step]
    ends = np.cumsum([0, *(len(tree.nodes) for tree in trees)])
    nodes = np.concatenate([tree.nodes for tree in trees])
    starts = np.repeat(ends[:-1], np.diff(ends))
    own, leaf = np.arange(len(nodes)), nodes["is_leaf"] > 0
    shift = np.cumsum([0, *(len(tree.raw_left_cat_bitsets) for tree in trees)])
    at = nodes["bitset_idx"].astype(np.int64) + np.repeat(shift[:-1], np.diff(ends))
    sets = [np.asarray(tree.raw_left_cat_bitsets, dtype=np.uint32).reshape(-1, WORDS) for tree in trees]
    return Boosted(
        np.where(leaf, own, nodes["left"] + starts).astype(np.int32),
        np.where(leaf, own, nodes["right"] + starts).astype(np.int32),
        np.where(leaf, 0, nodes["feature_idx"]).astype(np.int32),
        nodes["num_threshold"].astype(np.float64),
        nodes["missing_go_to_left"].astype(np.uint8),
        np.where(nodes["is_categorical"] > 0, at, -1).astype(np.int32),
        np.concatenate([*sets, np.zeros((1, WORDS), dtype=np.uint32)]),
        nodes["value"].astype(np.float64),
        np.asarray(model._baseline_prediction, dtype=np.float64).ravel(),
        ends[:-1].reshape(len(model._predictors), -1).astype(np.int32),
    )
