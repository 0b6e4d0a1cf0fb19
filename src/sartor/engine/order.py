"""The order of the data: a pure function of (seed, epoch, row), so that nothing needs to be remembered to go on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sartor.drawing import mixed


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
