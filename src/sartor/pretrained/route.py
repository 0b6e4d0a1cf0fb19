"""Routes through a transformers model: packed tokens in, hidden states out between any two of its blocks.

Whether a model can be packed, or entered and left between blocks, is not looked up in a table of architectures: it is
tried once on a few short rows when the model is opened, and believed where the outputs agree with the padded ones.

Legend: B batch, S tokens of all rows, T longest row, D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sartor.pretrained.packing import Packing


class Reached(Exception):
    """A forward pass came to the block where it was to be left; `hidden` is what it would have read."""

    def __init__(self, hidden: Tensor) -> None:
        self.hidden = hidden
        Exception.__init__(self, "the block was reached")


def packed_words(packing: Packing, sequences: dict[str, Tensor], first_position: int) -> dict[str, Any]:
    """What a transformers model is called with: one row of all tokens, their positions, and how they are packed."""
    words: dict[str, Any] = {name: packing.filled(values).long()[None] for name, values in sequences.items()}
    words["position_ids"] = packing.filled(packing.positions())[None] + first_position
    return {**words, "packing": packing}


def hidden_of(output: Any) -> Tensor:
    """The hidden states in what a block returned: some return them in a tuple."""
    found: Tensor = output[0] if isinstance(output, tuple) else output
    return found


@contextmanager
def unpacking(block: nn.Module) -> Iterator[None]:
    """While this holds, `block` (the last) gives padded hidden states: what comes after it reads rows, not tokens."""

    def unpack(_: nn.Module, args: Any, words: dict[str, Any], output: Any) -> Any:
        packing: Packing = words["packing"]
        whole = packing.unpacked(hidden_of(output)[0])
        return (whole, *output[1:]) if isinstance(output, tuple) else whole

    handle = block.register_forward_hook(unpack, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def leaving(block: nn.Module) -> Iterator[None]:
    """While this holds, a pass that comes to `block` raises `Reached` with the (1, S, D) it would have read."""

    def leave(_: nn.Module, args: tuple[Any, ...], words: dict[str, Any]) -> None:
        raise Reached(args[0] if args else words["hidden_states"])

    handle = block.register_forward_pre_hook(leave, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def entering(blocks: nn.ModuleList, depth: int, hidden: Tensor, lookup: nn.Module | None) -> Iterator[None]:
    """While this holds, the first `depth` blocks are passed over and the next one reads `hidden` (1, S, D).

    `lookup`, the table of words in front of the blocks, then has nothing to do either."""

    def enter(_: nn.Module, args: tuple[Any, ...], words: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if args:
            return (hidden, *args[1:]), words
        return args, {**words, "hidden_states": hidden}

    if lookup is not None:
        lookup.forward = lambda *_, **__: hidden
    whole = blocks._modules
    handle = blocks[depth].register_forward_pre_hook(enter, with_kwargs=True)
    blocks._modules = {str(i): block for i, block in enumerate(list(whole.values())[depth:])}
    try:
        yield
    finally:
        blocks._modules = whole
        handle.remove()
        if lookup is not None:
            del lookup.forward


def frozen_depth(blocks: Sequence[nn.Module], run: Any) -> int:
    """How many blocks from the input on give what nothing that moves has touched, found by one pass with a graph.

    `run()` makes the pass. What a block gives needs a gradient where it reads, holds or is lent something that moves.
    """
    needs: list[bool] = []
    handles = [
        block.register_forward_hook(lambda *call: needs.append(hidden_of(call[2]).requires_grad)) for block in blocks
    ]
    try:
        with torch.enable_grad():
            run()
    finally:
        for handle in handles:
            handle.remove()
    return next((depth for depth, moved in enumerate(needs) if moved), len(needs))
