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
    return list(torch.split(_shuffled(rows, seed, epoch), batch))


def balanced_batches(rows: Tensor, groups: Tensor, batch: int, seed: int, epoch: int) -> list[Tensor]:
    """As many batches as `epoch_batches` makes, each of as many rows of each group, dealt in turn: whatever stretch of
    a batch is taken holds its groups in equal shares. Rows of small groups come again, none twice in a batch.

    Of many groups a batch holds as many as leave each two rows at least; all come round equally often.
    rows (N,) row numbers, groups (N,) whole numbers.
    """
    shuffled = _shuffled(rows, seed, epoch)
    members = [shuffled[groups[shuffled] == group] for group in sorted(set(groups.tolist()))]
    turn = _shuffled(torch.arange(len(members)), seed, epoch).tolist()
    at_once = min(len(members), max(2, batch // 2))
    made = []
    for first in range(0, -(-len(rows) // batch) * at_once, at_once):
        hands = []
        for place, visit in enumerate(range(first, first + at_once)):
            group = members[turn[visit % len(turn)]]
            most = batch // at_once + (place < batch % at_once)
            met = visit // len(turn) * -(-batch // at_once) + torch.arange(min(most, len(group)))
            hands.append(group[met % len(group)])
        made.append(torch.stack([hand[i] for i in range(max(map(len, hands))) for hand in hands if i < len(hand)]))
    return made


def _shuffled(rows: Tensor, seed: int, epoch: int) -> Tensor:
    keys = mixed(seed, epoch, rows.numpy().astype(np.uint64))
    return torch.from_numpy(np.argsort(keys, kind="stable"))
