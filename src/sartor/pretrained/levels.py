"""Levels: the features that a body would give if it ended behind one of its blocks, all of them from one pass.

What each block returns is kept during a pass. A later pass, in which every block returns what was kept of one of them
whatever it reads, then takes only what comes behind the blocks: a norm, a pooler, the pooling. No table of
architectures is needed, and no other way through the body: packed or padded, by its own classifier or by the mean.

Legend: L blocks, B batch, D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sartor.batch import Batch
from sartor.body import Body
from sartor.errors import BadInput
from sartor.pretrained.route import hidden_of

Kept = list[list[Any]]
"""For each block, what it returned, call by call."""


def concatenated(body: Body, batch: Batch, weights: Tensor) -> Tensor:
    """(B, L D) the features behind every block side by side, each times its weight of `weights` (L,)."""
    kept, last = _kept(body, batch)
    levels = [*(_behind(body, batch, outputs) for outputs in kept[:-1]), last]
    return torch.cat([weight * level for weight, level in zip(weights, levels, strict=True)], -1)


def mixed(body: Body, batch: Batch, weights: Tensor) -> Tensor:
    """(B, D) the features of what the blocks returned, summed up with `weights` (L,): one vector for each token."""
    kept, _ = _kept(body, batch)
    sums = [_sum(calls, weights) for calls in zip(*kept, strict=True)]
    return _behind(body, batch, sums)


def _kept(body: Body, batch: Batch) -> tuple[Kept, Tensor]:
    """What every block returned in a pass, and the features at its end."""
    if batch.depth:
        raise AssertionError("a pass that is entered between the blocks does not come by the first ones")
    blocks = body.blocks()
    with tapped(blocks) as kept:
        features = _plain(body, batch)
    if not all(kept) or len({hidden_of(calls[0]).shape for calls in kept}) > 1:
        fix = "read the last layer alone"
        raise BadInput("LEVELS_SHAPE", "the blocks of this network return values of different shapes", fix=fix)
    return kept, features


def _behind(body: Body, batch: Batch, outputs: Sequence[Any]) -> Tensor:
    """The features of what the last block would have returned in every call."""
    with returning(body.blocks(), outputs):
        return _plain(body, batch)


def _plain(body: Body, batch: Batch) -> Tensor:
    """The body's own pass, whatever stands in for it."""
    found: Tensor = type(body).forward(body, batch)
    return found


def _sum(outputs: Sequence[Any], weights: Tensor) -> Any:
    """One block's output with the weighted sum of all hidden states in its place."""
    last = outputs[-1]
    hidden = torch.stack([hidden_of(output).float() for output in outputs], -1) @ weights
    hidden = hidden.to(hidden_of(last).dtype)
    return (hidden, *last[1:]) if isinstance(last, tuple) else hidden


@contextmanager
def tapped(blocks: Sequence[nn.Module]) -> Iterator[Kept]:
    """Inside, what each block returns is kept."""
    kept: Kept = [[] for _ in blocks]

    def keeping(calls: list[Any]) -> Any:
        return lambda module, args, output: calls.append(output)

    handles = [block.register_forward_hook(keeping(calls)) for block, calls in zip(blocks, kept, strict=True)]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def returning(blocks: Sequence[nn.Module], outputs: Sequence[Any]) -> Iterator[None]:
    """Inside, every block returns `outputs`, one a call, and computes nothing."""
    before = [vars(block).get("forward") for block in blocks]
    for block in blocks:
        calls = iter(outputs)
        vars(block)["forward"] = lambda *_, calls=calls, **__: next(calls)
    try:
        yield
    finally:
        for block, forward in zip(blocks, before, strict=True):
            vars(block).pop("forward")
            if forward is not None:
                vars(block)["forward"] = forward
