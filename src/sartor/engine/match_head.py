"""Two sides of a pair as vectors that point the same way where they belong together.

    loss = ½ (CE over second sides + CE over first sides) of  exp(s) cos(a_i, b_j)

with a learned sharpness exp(s) (Radford et al. 2021, CLIP, arXiv 2103.00020; van den Oord et al. 2018, arXiv
1807.03748). Partners that are equal, or stand to each other as partners do, are no negatives.

Legend: N pairs, U = 2 N vectors (first sides at even places, second ones at odd), D width, C size of a vector.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from sartor.batch import Batch
from sartor.network import Head

FILE = "sartor/match.safetensors"
PACE = 100.0
"""The sharpness is so many times what is trained: from a rate that suits a pretrained body it would hardly move."""
START, MOST = math.log(1 / 0.07), math.log(100.0)
"""As in CLIP: where exp(s) begins, and its largest value."""
PENALTIES = (1000.0, 10.0, 1.0, 0.1)
"""Strong to weak: times the mean squared distance of the weights from where they began; the loss is a mean."""
LARGEST = 1000
"""Pairs that the first head is fitted on."""
HELD_OUT = 0.25
STEPS = 20


class MatchHead(Head):
    """(U, D) -> (U, C): vectors whose length is exp(s / 2), so that their products are the logits."""

    layer: ClassVar[str] = "linear"

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear
        self.slow = nn.Parameter(torch.tensor([START / PACE]))

    def forward(self, features: Tensor) -> Tensor:
        length = (PACE * self.slow).clamp(max=MOST).div(2).exp()
        return normalize(self.linear(features), dim=-1) * length

    def keep(self, folder: Path) -> nn.Module:
        (folder / FILE).parent.mkdir(exist_ok=True)
        save_file({"sharpness": self.slow.detach().cpu() * PACE}, folder / FILE)
        return self.linear

    def take_up(self, layer: nn.Module, folder: Path) -> None:
        assert isinstance(layer, nn.Linear)
        self.linear = layer
        self.slow = nn.Parameter(load_file(folder / FILE)["sharpness"] / PACE)


def plain_head(width: int, size: int) -> MatchHead:
    """The features as they are, or, where vectors are smaller, the first of them; `solve` does better."""
    linear = nn.Linear(width, size)
    with torch.no_grad():
        linear.weight.copy_(torch.eye(size, width))
        linear.bias.zero_()
    return MatchHead(linear)


def contrasted(outputs: Tensor, apart: Tensor) -> Tensor:
    """(U, C) outputs, (N, N) True where a pair's partner is a negative of another's -> (N,) losses."""
    logits = (outputs[0::2] @ outputs[1::2].T).float()  # (N, N)
    own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    known = torch.arange(len(logits), device=logits.device)
    shown = logits.masked_fill(~(apart.to(logits.device) | own), -math.inf)
    found: Tensor = (
        cross_entropy(shown, known, reduction="none") + cross_entropy(shown.T, known, reduction="none")
    ) / 2
    return found


def negatives(*keys: Tensor) -> Tensor:
    """(N,) keys of what is equal -> (N, N) True where no key is shared."""
    apart = torch.ones(len(keys[0]), len(keys[0]), dtype=torch.bool)
    for key in keys:
        apart &= key[:, None] != key[None, :]
    return apart


def cosines(outputs: Tensor) -> Tensor:
    """(N,) of each pair's two vectors."""
    sides = normalize(outputs, dim=-1)
    return (sides[0::2] * sides[1::2]).sum(-1)


def solve(features: Tensor, batch: Batch, head: nn.Module, loss: Callable[[Tensor, Batch], Tensor], seed: int) -> Any:
    """Fit the head on frozen features (U, D): from the main directions of the features, held there by a penalty that is
    chosen on pairs held out."""
    assert isinstance(head, MatchHead)
    order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(seed))[:LARGEST]
    held = max(1, round(HELD_OUT * len(order)))
    start = _principal(features, head)
    if len(order) < 2:
        head.load_state_dict(start.state_dict())
        return {"penalty": PENALTIES[0], "held_out_loss": 0.0}
    best = (math.inf, PENALTIES[0])
    for penalty in PENALTIES:
        tried = _descended(start, features, batch, order[held:], loss, penalty)
        with torch.no_grad():
            some = order[:held]
            found = float(loss(tried(features[batch.units(some)]), _bare(batch, some)).mean())
        if found >= best[0]:
            break
        best = (found, penalty)
    head.load_state_dict(_descended(start, features, batch, order, loss, best[1]).state_dict())
    return {"penalty": best[1], "held_out_loss": best[0]}


def _principal(features: Tensor, head: MatchHead) -> MatchHead:
    """All directions as they are, or as many of the main ones as the vectors have room for."""
    made = copy.deepcopy(head)
    size, width = made.linear.weight.shape
    if size < width:
        with torch.no_grad():
            made.linear.weight.copy_(torch.linalg.svd(features[: 2 * LARGEST].double(), full_matrices=False)[2][:size])
    return made


def _descended(
    start: MatchHead,
    features: Tensor,
    batch: Batch,
    some: Tensor,
    loss: Callable[[Tensor, Batch], Tensor],
    penalty: float,
) -> MatchHead:
    """The sharpness is stepped as it is, not at its pace: a line search over both would see nothing else."""
    made = copy.deepcopy(start).requires_grad_(True)
    x, rows, first = features[batch.units(some)], _bare(batch, some), start.linear.weight.detach()
    sharpness = (PACE * start.slow.detach()).requires_grad_(True)
    moving = [made.linear.weight, made.linear.bias, sharpness]
    optimizer = torch.optim.LBFGS(moving, max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        away = ((made.linear.weight - first) ** 2).sum() / first.shape[0]
        said = normalize(made.linear(x), dim=-1) * sharpness.clamp(max=MOST).div(2).exp()
        value = loss(said, rows).mean() + penalty * away
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    made.slow.data.copy_(sharpness.detach() / PACE)
    return made.requires_grad_(False)


def _bare(batch: Batch, some: Tensor) -> Batch:
    """The rows at these places without their tokens: what a loss reads."""
    offsets = torch.zeros(len(batch) + 1, dtype=torch.long)
    return replace(batch, sequences={}, offsets=offsets).take(some)
