"""A head alone on frozen features, where its loss has no closed form: a short descent that goes down to its end."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def descend(
    head: nn.Module,
    loss: Callable[[Tensor], Tensor],
    count: int,
    steps: int,
    at_once: int,
    rate: float,
    seed: int,
) -> float:
    """`steps` updates of the head by Adam (Kingma and Ba 2014, arXiv 1412.6980) at a rate that falls along a cosine,
    each on the mean loss over `at_once` of `count` rows; the mean loss of the last tenth."""
    draw = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(head.parameters(), lr=rate)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    found = []
    with torch.enable_grad():
        for _ in range(steps):
            where = torch.randperm(count, generator=draw)[:at_once]
            now = loss(where)
            optimizer.zero_grad(set_to_none=True)
            now.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            falling.step()
            found.append(float(now.detach()))
    optimizer.zero_grad(set_to_none=True)
    last = found[-max(1, steps // 10) :]
    return sum(last) / len(last)
