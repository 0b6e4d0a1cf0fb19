"""Sounds as numbers for models that are no network: log-mel spectra, as a sequence or in slices of a whole sound.

Legend: N sounds, F stretches of 10 ms, M bins of the mel scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sartor.data.media import Media, each
from sartor.data.sounds import opened

RATE = 16_000
Reals = NDArray[np.float32]


def spectra(media: Sequence[Media], bins: int) -> Iterator[Reals]:
    """(F, M) of each sound."""
    import torch

    from sartor.pretrained.spectrum import STRETCH, log_mel

    for samples in each(media, _heard):
        padded = np.pad(samples, (0, max(0, STRETCH - len(samples))))
        yield np.asarray(log_mel(torch.from_numpy(padded)[None], bins, RATE)[0].numpy())


def sliced(media: Sequence[Media], bins: int, slices: int) -> Reals:
    """(N, slices x M + 1): the mean spectrum of each of so many equal parts, less the mean of all, and how long the
    sound is, as a logarithm."""
    found = []
    for spectrum in spectra(media, bins):
        cuts = np.linspace(0, len(spectrum), slices + 1)
        parts = [spectrum[int(a) : max(int(a) + 1, int(np.ceil(b)))].mean(0) for a, b in pairwise(cuts)]
        table = np.stack(parts) - spectrum.mean()
        found.append(np.append(table.ravel(), np.log(len(spectrum))))
    return np.asarray(np.stack(found), dtype=np.float32)


def _heard(media: Media) -> Reals:
    return opened(media, RATE)
