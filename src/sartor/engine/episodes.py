"""Episodes: small tasks drawn from rows, each a few examples and a few questions of the same classes.

Which rows make up episode number t is a pure function of (seed, t), as the order of single rows is, so a paused run
goes on with the same episodes. An episode is one entry of a `Batch`: its rows lie end to end, the examples first.

Legend: N rows, M episodes, S examples of an episode, Q questions, R = S + Q rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from sartor.asking import Shape
from sartor.batch import Batch
from sartor.drawing import draw, pool, ways_of
from sartor.predictions import Integers

GROUP = "group"
"""Name in `Batch.dense` of the number of each row's group (N,)."""
LENGTHS = "lengths"
"""Name in `Batch.dense` of the tokens of each of an episode's rows (M, R)."""


def batches(examples: Batch, shape: Shape, rows: int, seed: int, step: int) -> Iterator[Batch]:
    """The updates without end, from number `step` on: as many whole episodes as `rows` rows hold, at least one."""
    kinds = _classes(examples)
    found = pool(kinds, examples.dense[GROUP].numpy(), shape)
    each = entries(shape, rows)
    while True:
        places = np.stack([draw(found, shape, seed, step * each + i) for i in range(each)])
        yield gathered(examples, torch.from_numpy(places), shape)
        step += 1


def entries(shape: Shape | None, rows: int) -> int:
    """Entries of a batch that `rows` rows make: themselves, or whole episodes."""
    return rows if shape is None else max(1, rows // shape.rows)


def gathered(examples: Batch, places: Tensor, shape: Shape) -> Batch:
    """places (M, R) of rows -> M entries with all rows of an episode; targets (M, R) are the episode's own."""
    flat = examples.take(places.reshape(-1))
    size = tuple(places.shape)
    targets = flat.targets
    if targets is not None and not targets.is_floating_point() and not shape.named:
        targets = torch.from_numpy(ways_of(shape)).repeat(size[0])
    dense = {name: values.view(*size, *values.shape[1:]) for name, values in flat.dense.items()}
    return Batch(
        rows=flat.rows.view(size),
        offsets=flat.offsets[:: size[1]].clone(),
        sequences=flat.sequences,
        dense=dense | {LENGTHS: flat.lengths.view(size)},
        targets=None if targets is None else targets.view(size),
        depth=flat.depth,
    )


def opened(batch: Batch) -> Batch:
    """Episodes -> their M R rows, end to end."""
    lengths = batch.dense[LENGTHS].reshape(-1)
    return Batch(
        rows=batch.rows.reshape(-1),
        offsets=torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)]),
        sequences=batch.sequences,
        dense={name: values.flatten(0, 1) for name, values in batch.dense.items() if name != LENGTHS},
        targets=None if batch.targets is None else batch.targets.reshape(-1),
        depth=batch.depth,
    )


def parted(rows: Batch, shape: Shape) -> tuple[Batch, Batch]:
    """The rows of one episode -> its examples (S rows) and its questions (Q rows)."""
    return rows.take(torch.arange(shape.support)), rows.take(torch.arange(shape.support, shape.rows))


def row_by_row(batch: Batch, change: Callable[[Batch], Batch]) -> Batch:
    """What `change` makes of the rows, be they entries themselves or in episodes; it keeps their shapes."""
    if batch.rows.dim() == 1:
        return change(batch)
    rows = change(opened(batch))
    dense = {name: values.view(*batch.rows.shape, *values.shape[1:]) for name, values in rows.dense.items()}
    return replace(batch, dense={**batch.dense, **dense}, sequences=rows.sequences)


def known(batch: Batch) -> Batch:
    """The rows whose target is known: what a network may learn from before it answers the others."""
    if batch.targets is None:
        return batch.take(torch.arange(0))
    there = batch.targets.isfinite() if batch.targets.is_floating_point() else batch.targets >= 0
    return batch.take(there.nonzero()[:, 0])


def _classes(examples: Batch) -> Integers:
    """(N,) each row's class; numbers to predict are of one class."""
    targets = examples.targets
    assert targets is not None
    if targets.is_floating_point():
        return np.zeros(len(examples), dtype=np.int64)
    return np.asarray(targets.numpy(), dtype=np.int64)
