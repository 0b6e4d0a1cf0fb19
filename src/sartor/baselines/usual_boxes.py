"""The boxes that training images usually have, said of every image: what knowing nothing of the image gives.

Chosen greedily, so that each next box meets as many as possible of the training boxes that none has met yet (maximum
coverage: Nemhauser, Wolsey and Fisher 1978).

Legend: M training boxes of a class, K boxes said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sartor.baseline import Baseline, Fitted, State
from sartor.classical import boxing
from sartor.classical.blobs import overlaps
from sartor.data.rows import Kind
from sartor.errors import BadInput
from sartor.predictions import Floats, Integers, Predictions

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.task import Task

MOST = 2000
"""Training boxes of a class that are compared with each other."""
MEETS = 0.5


@dataclass(frozen=True, kw_only=True)
class UsualBoxes(Baseline):
    """The same boxes for every image, each as sure as often as it met one."""

    reads: ClassVar[frozenset[str]] = frozenset({"image"})
    predicts: ClassVar[frozenset[Kind]] = frozenset({"boxes"})

    boxes: int = 20
    """Of each class."""

    def __post_init__(self) -> None:
        if not 1 <= self.boxes <= 100:
            said = f"usual_boxes.boxes is {self.boxes}"
            raise BadInput("VALUE_RANGE", said, fix="give at least 1 and at most 100")

    def fit(self, task: Task, rows: Rows, seed: int = 0) -> Fitted:
        labels = tuple(getattr(task, "labels", ()))
        known = boxing.shares(rows, labels)
        found = [_usual(known[known[..., 0] == k][:, 1:], self.boxes, len(rows), seed) for k in range(len(labels))]
        boxes, scores = (np.concatenate(part) for part in zip(*found, strict=True))
        kinds = np.repeat(np.arange(len(labels)), [len(part) for part, _ in found])
        return SameBoxes(labels, boxes, scores, kinds)

    def restore(self, task: Task, state: State) -> Fitted:
        boxes, scores = (np.asarray(state.arrays[name], dtype=np.float64) for name in ("boxes", "scores"))
        kinds = np.asarray(state.arrays["kinds"], dtype=np.int64)
        return SameBoxes(tuple(getattr(task, "labels", ())), boxes, scores, kinds)


@dataclass(frozen=True)
class SameBoxes(Fitted):
    """boxes (K, 4) in shares of the image, scores (K,), kinds (K,) which class each is."""

    labels: tuple[str, ...]
    boxes: Floats
    scores: Floats
    kinds: Integers

    def predict(self, rows: Rows) -> Predictions:
        chances = np.zeros((len(self.boxes), len(self.labels)))
        chances[np.arange(len(self.boxes)), self.kinds] = self.scores
        return boxing.answers(rows, self.labels, [(self.boxes, chances, self.kinds)] * len(rows))

    def state(self) -> State:
        return State({}, {"boxes": self.boxes, "scores": self.scores, "kinds": self.kinds})


def _usual(boxes: Floats, most: int, images: int, seed: int) -> tuple[Floats, Floats]:
    """(K, 4), and (K,) the share of images in which each meets a box that none before it met."""
    some = np.random.default_rng(seed).permutation(len(boxes))[:MOST]
    meets = overlaps(boxes[some], boxes) > MEETS  # (candidates, M)
    chosen, scores = [], []
    for _ in range(min(most, len(some))):
        gains = meets.sum(1)
        best = int(gains.argmax())
        if not gains[best]:
            break
        chosen.append(boxes[some[best]])
        scores.append(min(1.0, gains[best] / images))
        meets = meets & ~meets[best]
    return np.array(chosen).reshape(-1, 4), np.array(scores)
