"""What layers read when a network answers rows. Legend: S tokens of all rows, I inputs of a layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sartor.batch import Batch
from sartor.data.rows import Rows
from sartor.engine.features import outputs
from sartor.errors import BadInput
from sartor.network import Network
from sartor.task import Task

ROWS = 256
"""Rows that are looked at: the papers' 128 sequences are of 2,048 tokens, and a user's rows are shorter."""


def drawn(net: Network, task: Task, rows: Rows, most: int = ROWS) -> Batch:
    """At most so many rows, drawn by a fixed seed, as the network reads them. Raises `BadInput` for none."""
    if not len(rows):
        fix = "give the rows that the model was trained on, or others like them"
        raise BadInput("CALIBRATE_ROWS", "there are no rows to calibrate on", fix=fix, where=rows.source)
    places = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:most].sort().values
    return task.encode(rows.take(places.numpy()), net.body)


@contextmanager
def watched(layers: Mapping[str, nn.Module], see: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Inside, `see` is called with a layer's name and the (S, I) rows that it is given, at every pass."""

    def hook(name: str) -> Any:
        return lambda _, given: see(name, given[0].detach().reshape(-1, given[0].shape[-1]))

    placed = [layer.register_forward_pre_hook(hook(name)) for name, layer in layers.items()]
    try:
        yield
    finally:
        for handle in placed:
            handle.remove()


def spans(net: Network, examples: Batch, names: Iterable[str]) -> dict[str, Tensor]:
    """Layer -> (2,) the least and the greatest number that it was given."""
    found: dict[str, Tensor] = {}

    def see(name: str, given: Tensor) -> None:
        now = torch.stack(torch.aminmax(given.float()))
        before = found.get(name, now)
        found[name] = torch.stack([torch.minimum(before[0], now[0]), torch.maximum(before[1], now[1])])

    with watched({name: net.body.get_submodule(name) for name in names}, see):
        outputs(net, examples)
    return found


def moments(net: Network, examples: Batch, names: Iterable[str]) -> dict[str, Tensor]:
    """Layer -> (I, I) the sum of x xᵀ over the S vectors x that it was given, in 64 bits."""
    found: dict[str, Tensor] = {}

    def see(name: str, given: Tensor) -> None:
        wide = given.double()
        found[name] = found.get(name, torch.zeros(1, dtype=torch.float64)) + wide.T @ wide

    with watched({name: net.body.get_submodule(name) for name in names}, see):
        outputs(net, examples)
    return found
