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

from sartor.body import Body
from sartor.pretrained import packing


@dataclass(frozen=True)
class Attending:
    """One attention of a body.

    module   what attends, where it asks by the registered attention interface; None for any other
    linears  names of the linear layers that make its keys and values
    heads    of its keys and values, `width` each
    """

    module: nn.Module | None
    linears: tuple[str, ...]
    heads: int
    width: int


def attentions(body: Body) -> list[Attending]:
    """What attends in a pass over the body's few rows, in order. Empty where nothing is seen to: the body has no rows
    for trials, or an attention that is none of torch's."""
    if body.few is None:
        return []
    leaves: dict[str, Tensor] = {}
    watch = _Watch(leaves)
    training = body.training
    body.eval()
    try:
        with torch.enable_grad(), _cut(body, leaves), watch:
            body(body.few)
    finally:
        body.train(training)
    return watch.found


class _Watch(TorchFunctionMode):
    """Sees every call that attends, and which of the `leaves` its keys and values were made of."""

    def __init__(self, leaves: dict[str, Tensor]) -> None:
        TorchFunctionMode.__init__(self)
        self.leaves = leaves
        self.found: list[Attending] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is packing.attend:
            self._note(args[0], args[2], args[3])
        elif func is functional.scaled_dot_product_attention and len(args) > 2:
            self._note(None, args[1], args[2])
        return func(*args, **kwargs)

    def _note(self, module: nn.Module | None, key: Tensor, value: Tensor) -> None:
        made = tuple(dict.fromkeys([*_sources(key, self.leaves), *_sources(value, self.leaves)]))
        self.found.append(Attending(module, made, key.shape[1], key.shape[3]))


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
