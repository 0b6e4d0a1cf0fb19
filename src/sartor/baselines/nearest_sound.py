"""The text of the most similar sound, by dynamic time warping (Sakoe and Chiba 1978): how words were recognised before
there were models of their sounds. Where every row is a sentence of its own it can only repeat one it has heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from sartor.baseline import Baseline, Fitted, State
from sartor.classical.loudness import spectra
from sartor.classical.warping import distances
from sartor.data.inputs import inputs
from sartor.data.media import Media
from sartor.data.rows import Kind
from sartor.errors import BadInput
from sartor.predictions import Predictions

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.task import Task

Reals = NDArray[np.float32]
STEP = 3
"""Stretches of 10 ms that are averaged."""


@dataclass(frozen=True, kw_only=True)
class NearestSound(Baseline):
    """Says what was said in the training sound whose spectrum is nearest."""

    reads: ClassVar[frozenset[str]] = frozenset({"audio"})
    predicts: ClassVar[frozenset[Kind]] = frozenset({"text"})

    bins: int = 24
    """Of the mel scale."""
    most_templates: int = 500
    """Of more training rows so many are drawn: every answer is compared with all of them."""

    def __post_init__(self) -> None:
        for name, most in (("bins", 128), ("most_templates", 100_000)):
            if not 1 <= getattr(self, name) <= most:
                said = f"nearest_sound.{name} is {getattr(self, name)}"
                raise BadInput("VALUE_RANGE", said, fix=f"give at least 1 and at most {most}")

    def fit(self, task: Task, rows: Rows, seed: int = 0) -> Fitted:
        rows = rows.take(np.sort(np.random.default_rng(seed).permutation(len(rows))[: self.most_templates]))
        heard = _sequences(inputs(rows, {"audio"})["audio"], self.bins)
        lengths = np.array([len(sequence) for sequence in heard], dtype=np.int64)
        return Templates(self.bins, np.concatenate(heard), lengths, tuple(str(t) for t in rows.targets() or ()))

    def restore(self, task: Task, state: State) -> Fitted:
        flat, lengths = (np.asarray(state.arrays[name]) for name in ("flat", "lengths"))
        return Templates(self.bins, flat.astype(np.float32), lengths.astype(np.int64), tuple(state.values["texts"]))


@dataclass(frozen=True)
class Templates(Fitted):
    """Sequences of (T, bins), one after the other, their lengths and their texts."""

    bins: int
    flat: Reals
    lengths: NDArray[np.int64]
    texts: tuple[str, ...]

    def predict(self, rows: Rows) -> Predictions:
        padded = np.zeros((len(self.lengths), int(self.lengths.max()), self.flat.shape[1]), dtype=np.float32)
        padded[np.arange(padded.shape[1]) < self.lengths[:, None]] = self.flat
        values = np.empty(len(rows), dtype=object)
        for i, sequence in enumerate(_sequences(inputs(rows, {"audio"})["audio"], self.bins)):
            values[i] = self.texts[int(distances(sequence, padded, self.lengths).argmin())]
        return Predictions(rows.numbers, values)

    def state(self) -> State:
        return State({"texts": list(self.texts)}, {"flat": self.flat, "lengths": self.lengths})


def _sequences(media: Sequence[Media], bins: int) -> list[Reals]:
    """(T, bins) of each sound: spectra every 30 ms, each bin with mean 0 and variance 1 over the sound."""
    found = []
    for spectrum in spectra(media, bins):
        whole = max(1, len(spectrum) // STEP)
        coarse = np.stack([part.mean(0) for part in np.array_split(spectrum, whole)])
        found.append(np.asarray((coarse - coarse.mean(0)) / (coarse.std(0) + 0.1), dtype=np.float32))
    return found
