"""Passages: linear layers that make units, and the one layer that reads them; seen in a pass, not looked up.

    attention       query, key, value ──► heads ──► output        units are heads of `size` numbers
    feed-forward    up (and gate) ──► neurons ──► down            units are single neurons

Layers that are given the same tensor make one group. A group's units are read by the next layer that runs, where that
takes as many numbers as each of the group gives. What a block's own width passes through, between its halves, is no
passage: other blocks read it too.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sartor.body import Body
from sartor.pretrained.anatomy import attended, keys_and_values


@dataclass(frozen=True)
class Passage:
    """`makers` and `reader` are names in the body; `units` of `size` numbers each pass from those to this."""

    makers: tuple[str, ...]
    reader: str
    units: int
    size: int


def passages(body: Body) -> list[Passage]:
    """Every passage of the blocks, in the order in which they run; empty where nothing can be tried."""
    if body.few is None:
        return []
    groups = _groups(body)
    calls = iter(attended(body, body.few))
    attending = set(keys_and_values(body))
    found = []
    for makers, (reader, *_) in itertools.pairwise(groups):
        given = body.get_parameter(f"{makers[0]}.weight").shape[1]
        sizes = {len(body.get_parameter(f"{name}.weight")) for name in makers}
        gives, reads = body.get_parameter(f"{reader}.weight").shape
        if attending & set(makers):
            heads = next(calls).key.shape
            if len(makers) == 3 and sizes == {reads} == {heads[1] * heads[3]}:
                found.append(Passage(makers, reader, heads[1], heads[3]))
        elif sizes == {reads} and given == gives != reads:  # back to the width it came from
            found.append(Passage(makers, reader, reads, 1))
    return found


@torch.no_grad()
def _groups(body: Body) -> list[tuple[str, ...]]:
    """Names of the blocks' linear layers in the order in which they run, those of one input together."""
    runs: list[tuple[str, Tensor]] = []

    def hook(name: str) -> Any:
        return lambda _, given: runs.append((name, given[0]))

    layers = {name: body.get_submodule(name) for name in body.linears()}
    placed = [m.register_forward_pre_hook(hook(name)) for name, m in layers.items() if isinstance(m, nn.Linear)]
    training = body.training
    try:
        body.eval()(body.few)
    finally:
        body.train(training)
        for handle in placed:
            handle.remove()
    groups: list[list[str]] = []
    before: Tensor | None = None
    for name, given in runs:
        if before is not None and given is before:
            groups[-1].append(name)
        else:
            groups.append([name])
        before = given
    return [tuple(group) for group in groups]
