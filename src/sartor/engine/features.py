"""Forward passes without a graph, sorted by length, answers in row order.
Legend: N rows, U vectors that a head reads of them (see `Batch.counts`), D width, C outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from sartor.batch import Batch
from sartor.body import Body
from sartor.engine.operators import Operators
from sartor.engine.precision import running
from sartor.errors import out_of_memory
from sartor.network import Network

TOKENS = 2048
"""Tokens in one pass: enough for the matrix units, little enough for the caches."""


def features(body: Body, examples: Batch, precision: str = "fp32") -> Tensor:
    """(U, D) what the head reads, dropout off."""
    return examples.restored(torch.cat(list(_passes(body, body, examples, precision))), _order(examples))


def outputs(
    net: Network,
    examples: Batch,
    precision: str = "fp32",
    learned: Mapping[str, Tensor] = {},
    say: Callable[[Any, Batch], Tensor] | None = None,
    operators: Operators | None = None,
) -> Tensor:
    """(U, C) what the network says, dropout off; with the weights `learned` in place of its own, those of the body in
    32 bits. `say`: what is kept of each pass, as in `Task.say`; `operators`: of earlier passes of this precision."""
    module = Lent(net, learned) if learned else net
    inside = any(name.startswith("body.") for name in learned)
    passes = _passes(module, net.body, examples, "fp32" if inside else precision, say=say, operators=operators)
    return examples.restored(torch.cat(list(passes)), _order(examples))


@contextmanager
def remembering(body: Body, examples: Batch, precision: str) -> Iterator[None]:
    """Inside, the features of these rows are computed once and found again by the rows' numbers, whatever stands beside
    them; the body's weights must stay. As in `recomputed`, only `forward` is exchanged."""
    found = features(body, examples, precision)
    place = {number: i for i, number in enumerate(examples.rows.tolist())}
    vars(body)["forward"] = lambda batch: found[[place[number] for number in batch.rows.tolist()]]
    try:
        yield
    finally:
        del vars(body)["forward"]


class Lent(nn.Module):
    """A network that answers with some weights in place of its own, which stay as they are."""

    def __init__(self, net: Network, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.net, self.weights = net, dict(weights)
        self.training = net.training

    def forward(self, batch: Batch) -> Tensor:
        found: Tensor = functional_call(self.net, self.weights, (batch,))
        return found


def head_reads(net: Network, examples: Batch, precision: str = "fp32") -> Tensor:
    """(U, D) what the head reads, asked of the whole network: the only way through one that is sharded."""
    passes = _passes(net, net.body, examples, precision, "features")
    return examples.restored(torch.cat(list(passes)), _order(examples))


def cuts(examples: Batch) -> list[Tensor]:
    """The rows of each pass; a pass over them alone is the same one."""
    return list(_by_length(examples))


def _passes(
    module: nn.Module,
    body: Body,
    examples: Batch,
    precision: str,
    *asked: str,
    say: Callable[[Any, Batch], Tensor] | None = None,
    operators: Operators | None = None,
) -> Iterator[Tensor]:
    training = module.training
    if training:  # telling every layer takes a sixth of the time of a short row
        module.eval()
    mode = running(operators or Operators(body, precision), precision)
    try:
        for places in _by_length(examples):
            with torch.no_grad(), mode():
                yield _within_memory(lambda some: _said(module, examples.take(some), asked, say).cpu(), places)
    finally:
        if training:
            module.train()


def _said(module: nn.Module, part: Batch, asked: tuple[str, ...], say: Callable[[Any, Batch], Tensor] | None) -> Tensor:
    """What is kept of one pass."""
    found: Tensor = module(part, *asked) if say is None else say(module, part)
    return found if found.dtype == torch.float64 else found.float()


def _within_memory(answer: Callable[[Tensor], Tensor], places: Tensor) -> Tensor:
    """The answers to the rows at `places`, in halves where memory does not suffice for all of them at once."""
    try:
        return answer(places)
    except (MemoryError, RuntimeError) as error:
        if len(places) == 1 or not out_of_memory(error):
            raise
    first, second = places.tensor_split(2)  # after the except, which holds the failed pass's tensors
    return torch.cat([_within_memory(answer, first), _within_memory(answer, second)])


def _by_length(examples: Batch) -> Iterator[Tensor]:
    """Positions in order of length, cut so that a padded pass holds at most `TOKENS` tokens."""
    order, lengths = _order(examples), examples.lengths
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and (end + 1 - start) * int(lengths[order[end]]) <= TOKENS:
            end += 1
        yield order[start:end]
        start = end


def _order(examples: Batch) -> Tensor:
    return torch.argsort(examples.lengths, stable=True)
