"""Perturbation: what may be done to a sound in training without changing what is said.

    speed  played slower or faster by up to an eighth, pitch and all: another speaker (Ko et al. 2015)
    noise  white noise 15 to 50 dB below the sound
    mask   one stretch of time and two bands of a spectrum blanked (SpecAugment: Park et al. 2019, arXiv 1904.08779)

What is drawn for a sound is a pure function of the seed and of the row's number, so that neither the size of a
micro-batch nor the number of devices nor a stop in between changes it.

Legend: B sounds, S samples of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from sartor.data.sounds import Samples, resampled
from sartor.pretrained.chance import uniform

Perturbation = Literal["speed", "noise", "mask"]
MOST_SPEED = 0.125
QUIETEST, LOUDEST = 50.0, 15.0
"""Decibels that noise lies below the sound."""
LONGEST = 0.15
"""Of a sound: the most that is blanked in time."""
WIDEST = 0.15
"""Of a spectrum: the most that one band has."""
UNBLANKED = (0.0,) * 6


def perturbed(samples: Samples, names: Sequence[Perturbation], seed: int, row: int) -> Samples:
    """(S,) -> (S',), as training hears it this time."""
    draw = np.random.default_rng([seed & (1 << 63) - 1, row])
    speed, below = draw.uniform(1 - MOST_SPEED, 1 + MOST_SPEED), draw.uniform(LOUDEST, QUIETEST)
    if "speed" in names:
        samples = resampled(samples, speed, 1.0)
    if "noise" in names:
        loudness = np.sqrt(np.mean(samples**2)) * 10 ** (-below / 20)
        samples = samples + np.float32(loudness) * draw.standard_normal(len(samples), dtype=np.float32)
    return samples


def blanks(names: Sequence[Perturbation], seed: int, rows: Tensor) -> Tensor:
    """(B, 6) where a stretch of time and two bands begin and end, as shares of the whole."""
    if "mask" not in names:
        return torch.tensor(UNBLANKED).expand(len(rows), -1)
    made = []
    for k, most in enumerate((LONGEST, WIDEST, WIDEST)):
        size = most * uniform(seed, rows, 2 * k)
        begin = (1 - size) * uniform(seed, rows, 2 * k + 1)
        made += [begin, begin + size]
    return torch.stack(made, 1)


def blanked(values: Tensor, counts: Tensor, drawn: Tensor, bins: int = 0) -> Tensor:
    """(B, T) or (B, T, stride x bins) values, `counts` (B,) of them each sound's, with zeros where `drawn` (B, 6) says;
    bands only where there are bins."""
    place = torch.arange(values.shape[1], device=values.device) / counts[:, None].clamp_min(1)
    out = (place >= drawn[:, :1]) & (place < drawn[:, 1:2])  # (B, T)
    if not bins:
        return values.masked_fill(out, 0.0)
    at = (torch.arange(bins, device=values.device) / bins).repeat(values.shape[2] // bins)
    bands = [(at >= drawn[:, k : k + 1]) & (at < drawn[:, k + 1 : k + 2]) for k in (2, 4)]  # (B, stride x bins)
    return values.masked_fill(out[..., None] | (bands[0] | bands[1])[:, None], 0.0)
