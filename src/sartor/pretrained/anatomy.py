"""Anatomy: what in a transformers model attends, and which layers make what it attends to; tried, not looked up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sartor.body import Attending

Watch = Callable[[nn.Module, Tensor, Tensor], None]
"""Told of (module, keys, values) by the attention interface."""


def attentions(body: nn.Module, linears: list[str], run: Callable[[Watch], Any]) -> list[Attending]:
    """What attends when `run(watch)` makes a pass, in order, and from which of the layers `linears` of `body` its keys
    and values come: those that no other layer stands between. Empty where the model has no attention to be watched."""
    leaves: dict[str, Tensor] = {}
    names = {module: name for name, module in body.named_modules()}
    found: list[Attending] = []

    def watch(module: nn.Module, key: Tensor, value: Tensor) -> None:
        if module in names:
            made = tuple(dict.fromkeys([*_sources(key, leaves), *_sources(value, leaves)]))
            found.append(Attending(names[module], made, key.shape[1], key.shape[3]))

    training = body.training
    body.eval()
    try:
        with torch.enable_grad(), _cut(body, linears, leaves):
            run(watch)
    except Exception:  # whatever an architecture does not take: another signature, an attention of its own
        return []
    finally:
        body.train(training)
    return found


@contextmanager
def _cut(body: nn.Module, linears: list[str], leaves: dict[str, Tensor]) -> Iterator[None]:
    """While this holds, every layer's output begins a graph of its own, kept in `leaves`."""

    def cut(name: str) -> Any:
        def hook(_: nn.Module, args: Any, output: Tensor) -> Tensor:
            leaves[name] = output.detach().requires_grad_()
            return leaves[name]

        return hook

    handles = [body.get_submodule(name).register_forward_hook(cut(name)) for name in linears]
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
