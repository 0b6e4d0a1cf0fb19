"""Anatomy: what in a network attends, and which layers make what it attends to; tried, not looked up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from sartor.batch import Batch
from sartor.body import Body
from sartor.pretrained import packing


@dataclass(frozen=True)
class Attended:
    """One call that attends: keys and values (1, h, S, d) or (B, h, T, d).

    module  what asks, where it asks by the registered attention interface and for nothing more; None for any other
    """

    module: nn.Module | None
    key: Tensor
    value: Tensor


def attended(body: Body, batch: Batch) -> list[Attended]:
    """Every call that attends in a pass over the batch, in order, dropout off."""
    watch, training = _Watch(), body.training
    body.eval()
    try:
        with watch:
            body(batch)
    finally:
        body.train(training)
    return watch.calls


def keys_and_values(body: Body) -> list[str]:
    """Names of the linear layers that make keys and values. Empty where that cannot be seen: the body has no rows for
    trials, or an attention that is none of torch's."""
    if body.few is None:
        return []
    leaves: dict[str, Tensor] = {}
    with torch.enable_grad(), _cut(body, leaves):
        calls = attended(body, body.few)
    states = [s for call in calls for s in (call.key, call.value)]
    return list(dict.fromkeys(name for s in states for name in _sources(s, leaves)))


class _Watch(TorchFunctionMode):
    """Sees every call that attends."""

    def __init__(self) -> None:
        TorchFunctionMode.__init__(self)
        self.calls: list[Attended] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is packing.attend:
            biased = any((kwargs or {}).get(name) is not None for name in packing.UNKNOWN)
            self.calls.append(Attended(None if biased else args[0], args[2], args[3]))
        elif func is functional.scaled_dot_product_attention and len(args) > 2:
            self.calls.append(Attended(None, args[1], args[2]))
        return func(*args, **(kwargs or {}))


@contextmanager
def _cut(body: Body, leaves: dict[str, Tensor]) -> Iterator[None]:
    """While this holds, the output of every linear layer begins a graph of its own, kept in `leaves`: what attention
    reads then leads back to the layers that no other one stands behind."""

    def cut(name: str) -> Any:
        def hook(_: nn.Module, args: Any, output: Tensor) -> Tensor:
            leaves[name] = output.detach().requires_grad_()
            return leaves[name]

        return hook

    handles = [body.get_submodule(name).register_forward_hook(cut(name)) for name in body.linears()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _sources(states: Tensor, leaves: dict[str, Tensor]) -> list[str]:
    """The layers whose outputs `states` was made of."""
    if not states.requires_grad or not leaves:
        return []
    grads = torch.autograd.grad(states.sum(), list(leaves.values()), retain_graph=True, allow_unused=True)
    return [name for name, grad in zip(leaves, grads, strict=True) if grad is not None]
