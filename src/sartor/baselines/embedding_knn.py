"""Nearest neighbours among frozen embeddings: a pretrained network without any training.

The k most similar training rows by cosine vote, nearer ones with more weight (Dudani 1976); k by leave-one-out.

Legend: N training rows, Q rows that ask, D width, C labels (1 for a number), K neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sartor.backbone import Backbone
from sartor.baseline import Baseline, Fitted, State
from sartor.classical.targets import Target
from sartor.errors import BadInput
from sartor.part import part
from sartor.predictions import Floats, Integers, Predictions

if TYPE_CHECKING:
    from sartor.body import Body
    from sartor.data.rows import Rows
    from sartor.task import Task

SEARCH = 4000
"""Rows that k is chosen on, each answered by all the others."""
SHARPNESS = 10.0
"""How fast a vote fades with distance: weight exp(-10 (1 - cosine))."""
PRIOR = 0.1
"""The weight of the training frequencies, in votes of the nearest neighbour: no label is impossible."""
BLOCK = 512
"""Rows that ask at once: Q x N similarities are never whole in memory."""


@dataclass(frozen=True, kw_only=True)
class EmbeddingKNN(Baseline):
    """The labels, or the mean, of the most similar training rows in the space of a frozen backbone."""

    backbone: Backbone = field(default_factory=lambda: _packaged())
    k: tuple[int, ...] = (1, 3, 5, 10, 20, 40, 80)
    """Candidates for the number of neighbours."""

    def __post_init__(self) -> None:
        if not self.k or min(self.k) < 1:
            raise BadInput("VALUE_RANGE", f"embedding_knn.k is {'+'.join(map(str, self.k))}", fix="give at least 1")

    @property
    def reads(self) -> frozenset[str]:  # type: ignore[override]
        return self.backbone.reads

    def fit(self, task: Task, rows: Rows, seed: int = 0) -> Fitted:
        target, body = Target.of(task), self.backbone.build(task.layout)
        space, known = _embed(body, rows), target.known(rows)
        known = known[:, None] if target.number else known
        few = np.random.default_rng(seed).permutation(len(known))[:SEARCH]
        return Neighbours(target, body, space, known, _choose_k(space, known, few, self.k, target))

    def restore(self, task: Task, state: State) -> Fitted:
        space = np.asarray(state.arrays["features"], dtype=np.float32)
        known = np.asarray(state.arrays["targets"], dtype=np.float64)
        return Neighbours(Target.of(task), self.backbone.build(task.layout), space, known, int(state.values["k"]))


@dataclass(frozen=True)
class Neighbours(Fitted):
    """space (N, D) of unit length, known (N, C) targets, and the k that was chosen."""

    target: Target
    body: Body
    space: NDArray[np.float32]
    known: Floats
    k: int

    def predict(self, rows: Rows) -> Predictions:
        near, similar = _nearest(_embed(self.body, rows), self.space, self.k)
        said = _vote(near, similar, self.known, self.target)
        return self.target.answers(rows, said[:, 0] if self.target.number else said)

    def state(self) -> State:
        known = self.known if self.target.number else self.known.astype(np.uint8)
        return State({"k": self.k}, {"features": self.space, "targets": known})


def _packaged() -> Backbone:
    found = part("backbones", "minilm")
    assert isinstance(found, Backbone)
    return found


def _embed(body: Body, rows: Rows) -> NDArray[np.float32]:
    """(Q, D) of unit length."""
    from sartor.data.inputs import inputs
    from sartor.engine.features import features

    found: NDArray[np.float32] = (
        features(body, body.encode(inputs(rows, body.reads, body.gaps))).numpy().astype(np.float32)
    )
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12))


def _nearest(asking: Any, space: Any, k: int, places: Integers | None = None) -> tuple[Integers, Floats]:
    """(Q, K) positions and cosines, nearest first; `places`: the asking rows' own positions, which do not count."""
    found = list(_nearest_blocks(asking, space, min(k, len(space) - (places is not None)), places))
    return np.concatenate([near for near, _ in found]), np.concatenate([similar for _, similar in found])


def _nearest_blocks(asking: Any, space: Any, k: int, places: Integers | None) -> Iterator[tuple[Integers, Floats]]:
    for start in range(0, len(asking), BLOCK):
        cosines = asking[start : start + BLOCK] @ space.T
        if places is not None:
            cosines[np.arange(len(cosines)), places[start : start + BLOCK]] = -np.inf
        top = (
            np.argpartition(-cosines, k - 1, axis=1)[:, :k]
            if k < len(space)
            else np.tile(np.arange(k), (len(cosines), 1))
        )
        similar = np.take_along_axis(cosines, top, 1)
        order = np.lexsort((top, -similar), axis=1)  # equal cosines: the earlier row first
        yield np.take_along_axis(top, order, 1), np.take_along_axis(similar, order, 1).astype(np.float64)


def _vote(near: Integers, similar: Floats, known: Floats, target: Target) -> Floats:
    """(Q, C) weighted means of the neighbours' targets, with a little of the training frequencies."""
    weight = np.exp(SHARPNESS * (similar - similar[:, :1]))  # (Q, K), the nearest has 1
    votes: Floats = np.einsum("qk,qkc->qc", weight, known[near])
    prior = 0.0 if target.number else PRIOR
    said: Floats = (votes + prior * known.mean(0)) / (weight.sum(1, keepdims=True) + prior)
    return said


def _choose_k(space: Any, known: Floats, few: Integers, grid: tuple[int, ...], target: Target) -> int:
    """The k with the least leave-one-out loss on the rows at `few`; the smaller one where two are equal."""
    if len(space) < 2:
        return min(grid)
    near, similar = _nearest(space[few], space, max(grid), few)
    votes = {k: _vote(near[:, :k], similar[:, :k], known, target) for k in sorted(grid)}
    return min(votes, key=lambda k: float(target.losses(votes[k], known[few]).sum()))
