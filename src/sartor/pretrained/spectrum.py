"""Log-mel spectra in 32 bits, as Kaldi and transformers' SeamlessM4TFeatureExtractor compute them.

Of each stretch of 400 samples, every 160: its mean taken off, each sample less 0.97 of the one before, a Povey window
(Hann to the power 0.85), the power of its Fourier transform, triangles that are equally wide on the mel scale, and the
logarithm. At 16,000 samples a second these are 25 and 10 milliseconds.

    mel(f) = 1127 ln(1 + f / 700)

Legend: B sounds, S samples, F stretches, M bins.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

STRETCH, STEP, POINTS = 400, 160, 512
EMPHASIS = 0.97
FULL = 32768.0
"""Kaldi counts in the steps of 16 bits."""
FLOOR = 1.192092955078125e-07
"""Of the power in a bin."""
LOWEST = 20.0
"""Hertz at which the bins begin."""
EVEN = 1e-7
"""Added to the variance of a bin."""


def stretches(samples: Tensor) -> Tensor:
    """How many there are in so many samples."""
    found: Tensor = (torch.div(samples - STRETCH, STEP, rounding_mode="floor") + 1).clamp_min(0)
    return found


def log_mel(samples: Tensor, bins: int, rate: int) -> Tensor:
    """(B, S) from -1 to 1 -> (B, F, M)"""
    window, triangles = (part.to(samples.device) for part in _tables(bins, rate))
    cut = (samples.float() * FULL).unfold(1, STRETCH, STEP)
    cut = cut - cut.mean(2, keepdim=True)
    before = torch.cat([cut[..., :1], cut[..., :-1]], 2)
    found = torch.fft.rfft((cut - EMPHASIS * before) * window, POINTS)
    power = found.real.square() + found.imag.square()
    spectra: Tensor = (power @ triangles).clamp_min(FLOOR).log()
    return spectra


def evened(spectra: Tensor, counts: Tensor) -> Tensor:
    """(B, F, M) with mean 0 and variance 1 in each bin over a sound's own `counts` (B,) stretches; 0 behind them."""
    inside = (torch.arange(spectra.shape[1], device=spectra.device) < counts[:, None])[..., None]
    count = counts[:, None, None]
    mean = (spectra * inside).sum(1, keepdim=True) / count.clamp_min(1)
    moved = (spectra - mean) * inside
    variance = moved.square().sum(1, keepdim=True) / (count - 1).clamp_min(1)
    return moved / (variance + EVEN).sqrt()


@functools.cache
def _tables(bins: int, rate: int) -> tuple[Tensor, Tensor]:
    """The window (400,) and the triangles (257, M), made in 64 bits."""
    angle = 2 * np.pi * np.arange(STRETCH) / (STRETCH - 1)
    window = (0.5 - 0.5 * np.cos(angle)) ** 0.85
    return tuple(torch.from_numpy(t.astype(np.float32)) for t in (window, _triangles(bins, rate)))  # type: ignore[return-value]


def _triangles(bins: int, rate: int) -> np.ndarray:
    """(257, M) the weight of each frequency in each bin; triangles on the mel scale itself, as Kaldi has them."""
    edges = np.linspace(_mel(LOWEST), _mel(rate // 2), bins + 2)
    at = _mel(np.arange(POINTS // 2 + 1) * rate / POINTS)[:, None]
    up = (at - edges[:-2]) / np.diff(edges)[:-1]
    down = (edges[2:] - at) / np.diff(edges)[1:]
    found: np.ndarray = np.maximum(0, np.minimum(up, down))
    return found


def _mel(frequency: float | np.ndarray) -> np.ndarray:
    return np.asarray(1127.0 * np.log(1.0 + np.asarray(frequency, dtype=np.float64) / 700.0))
