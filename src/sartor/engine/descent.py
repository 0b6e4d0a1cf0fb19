"""descent: what a step descends, as one module, so that whatever wraps a module (DDP) sees the whole of it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sartor.batch import Batch
from sartor.engine.precision import Mode
from sartor.network import Network
from sartor.objective import Objective
from sartor.task import Task


class Descent(nn.Module):
    """The objective over a network. `recompute`: activations inside the blocks are not kept but computed again."""

    def __init__(self, net: Network, recompute: bool) -> None:
        super().__init__()
        self.net = net
        self.recompute = recompute

    def forward(self, objective: Objective, task: Task, batch: Batch, mode: Mode) -> Tensor:
        """(B,) one loss per example, computed in `mode`."""
        with mode(), recomputed(self.net.body.blocks() if self.recompute else (), mode):
            return objective(self.net, task, batch)


@contextmanager
def recomputed(blocks: Sequence[nn.Module], mode: Mode = nullcontext) -> Iterator[None]:
    """Inside, each block keeps only its input for the backward pass (Chen et al. 2016, arXiv 1604.06174).

    The backward pass leaves every mode, so what is computed again enters `mode` again. Only `forward` is exchanged, and
    only for as long: names, hooks and copies of the network stay as they are.
    """
    before = [vars(block).get("forward") for block in blocks]
    for block in blocks:
        vars(block)["forward"] = functools.partial(
            checkpoint, block.forward, use_reentrant=False, context_fn=lambda: (nullcontext(), mode())
        )
    try:
        yield
    finally:
        for block, forward in zip(blocks, before, strict=True):
            if forward is None:
                del vars(block)["forward"]
            else:
                vars(block)["forward"] = forward
