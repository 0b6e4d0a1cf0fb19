"""The order of the data: a pure function of (seed, epoch, row), so that nothing needs to be remembered to go on."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Words = NDArray[np.uint64]


def mixed(*numbers: int | Words) -> Words:
    """A 64-bit hash of whole numbers, element by element (the finaliser of SplitMix64, Steele et al. 2014)."""
    state = np.zeros(1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for number in numbers:
            state = state + np.asarray(number, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return state


def step_seed(seed: int, step: int) -> int:
    """The seed of everything that is drawn inside one step (dropout), so that a paused run goes on the same."""
    return int(mixed(seed, step, 1)[0] >> np.uint64(1))


def epoch_batches(rows: Tensor, batch: int, seed: int, epoch: int) -> list[Tensor]:
    """The epoch's batches as positions: every row once, in an order that knows nothing of their lengths.

    rows (N,) row numbers; the last batch of the epoch may be smaller.
    """
    keys = mixed(seed, epoch, rows.numpy().astype(np.uint64))
    shuffled = torch.from_numpy(np.argsort(keys, kind="stable"))
    return list(torch.split(shuffled, batch))
