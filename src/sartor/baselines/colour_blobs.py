"""Blobs of colour: what any network that finds boxes must beat (see classical/blobs.py; Swain and Ballard 1991).

Strong where objects have colours of their own and lie apart, as stained cells do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sartor.baseline import Baseline, Fitted, State
from sartor.classical import blobs, boxing
from sartor.classical.blobs import Colours, Images
from sartor.data.inputs import inputs
from sartor.data.rows import Kind
from sartor.errors import BadInput
from sartor.predictions import Predictions

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.task import Task


@dataclass(frozen=True, kw_only=True)
class ColourBlobs(Baseline):
    """Connected pixels that have the colours of a class."""

    reads: ClassVar[frozenset[str]] = frozenset({"image"})
    predicts: ClassVar[frozenset[Kind]] = frozenset({"boxes"})

    side: int = 128
    """Pixels of a side that images are resized to."""
    most_rows: int = 300
    """Of more training rows so many are drawn."""

    def __post_init__(self) -> None:
        for name, least, most in (("side", 16, 1024), ("most_rows", 1, 100_000)):
            if not least <= getattr(self, name) <= most:
                said = f"colour_blobs.{name} is {getattr(self, name)}"
                raise BadInput("VALUE_RANGE", said, fix=f"give at least {least} and at most {most}")

    def fit(self, task: Task, rows: Rows, seed: int = 0) -> Fitted:
        labels = tuple(getattr(task, "labels", ()))
        few = rows.take(np.sort(np.random.default_rng(seed).permutation(len(rows))[: self.most_rows]))
        known = boxing.shares(few, labels)
        return FittedBlobs(labels, self.side, blobs.learn(_images(few, self.side), known, len(labels)))

    def restore(self, task: Task, state: State) -> Fitted:
        arrays = [np.asarray(state.arrays[n], dtype=np.float64) for n in ("chances", "smooth", "cut", "least")]
        return FittedBlobs(tuple(getattr(task, "labels", ())), self.side, Colours(*arrays))


@dataclass(frozen=True)
class FittedBlobs(Fitted):
    """The colours of each class."""

    labels: tuple[str, ...]
    side: int
    colours: Colours

    def predict(self, rows: Rows) -> Predictions:
        return boxing.answers(rows, self.labels, [self._finding(image) for image in _images(rows, self.side)])

    def state(self) -> State:
        return State({}, {name: getattr(self.colours, name) for name in ("chances", "smooth", "cut", "least")})

    def _finding(self, image: Images) -> boxing.Finding:
        found = [self.colours.blobs(image, k) for k in range(len(self.labels))]
        kinds = np.repeat(np.arange(len(found)), [len(scores) for _, scores in found])
        chances = np.zeros((len(kinds), len(self.labels)))
        chances[np.arange(len(kinds)), kinds] = np.concatenate([scores for _, scores in found]).clip(0, 1)
        return np.concatenate([boxes for boxes, _ in found]), chances, kinds


def _images(rows: Rows, side: int) -> Images:
    """(N, 3, S, S)"""
    from sartor.data.pictures import each
    from sartor.pretrained.framing import plain

    return np.stack(list(each(inputs(rows, {"image"})["image"], plain(side).pixels)))
