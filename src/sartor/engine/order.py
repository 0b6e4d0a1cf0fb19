"""The order of the data: a pure function of (seed, epoch, row), so that nothing needs to be remembered to go on."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sartor.drawing import mixed

Words = NDArray[np.uint64]
Integers = NDArray[np.int64]
PASSES = 7_367_787
"""Tells the order of a group's passes from the order of an epoch."""


def step_seed(seed: int, step: int) -> int:
    """The seed of everything that is drawn inside one step (dropout), so that a paused run goes on the same."""
    return int(mixed(seed, step, 1)[0] >> np.uint64(1))


def epoch_batches(rows: Tensor, batch: int, seed: int, epoch: int) -> list[Tensor]:
    """The epoch's batches as positions: every row once, in an order that knows nothing of their lengths.

    rows (N,) row numbers, a row that comes several times in the epoch so often; the last batch may be smaller.
    """
    return list(torch.split(_shuffled(rows, seed, epoch), batch))


def tempered(rows: Tensor, group: Tensor, alpha: float, seed: int, epoch: int) -> Tensor:
    """Positions of one epoch's rows, as many as there are: group k, of n_k rows, comes with a share ~ n_k^alpha.

    rows, group (N,). Each group's rows come in shuffled passes that run on from epoch to epoch, so no row comes twice
    more often than another.
    """
    sizes = np.bincount(group.numpy())
    counts = _counts(sizes, alpha)
    found = [
        _stretch(np.flatnonzero(group.numpy() == k), rows.numpy(), epoch * counts[k], counts[k], seed)
        for k in np.flatnonzero(counts)
    ]
    return torch.from_numpy(np.sort(np.concatenate(found)))


def _counts(sizes: Integers, alpha: float) -> Integers:
    """(K,) rows of each group in an epoch: whole numbers with the sum of the sizes, at least one of each there is."""
    shares = np.where(sizes > 0, np.maximum(sizes, 1).astype(np.float64) ** alpha, 0.0)
    exact = shares / shares.sum() * sizes.sum()
    counts: Integers = np.maximum(np.floor(exact + 1e-9), sizes > 0).astype(np.int64)
    order = np.argsort(counts - exact, kind="stable")
    counts[order[: max(0, int(sizes.sum() - counts.sum()))]] += 1
    return counts


def _stretch(places: Integers, rows: Integers, start: int, count: int, seed: int) -> Integers:
    """`count` of `places` from number `start` on of an endless line of passes, each in an order of its own."""
    first, last = start // len(places), (start + count - 1) // len(places)
    numbers = rows[places].astype(np.uint64)
    passes = [places[np.argsort(mixed(seed, PASSES, n, numbers), kind="stable")] for n in range(first, last + 1)]
    found: Integers = np.concatenate(passes)[start - first * len(places) :][:count]
    return found


def _again(rows: Integers) -> Words:
    """(N,) how often each row came before."""
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    begins = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    again = np.empty(len(rows), dtype=np.uint64)
    again[order] = np.arange(len(rows)) - np.repeat(begins, np.diff(np.append(begins, len(rows))))
    return again


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
    keys = mixed(seed, epoch, rows.numpy().astype(np.uint64) + (_again(rows.numpy()) << np.uint64(40)))
    return torch.from_numpy(np.argsort(keys, kind="stable"))
