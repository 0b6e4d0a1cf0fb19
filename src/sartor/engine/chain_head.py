"""A linear-chain conditional random field over a network's tokens (Lafferty, McCallum and Pereira 2001).

    -log p(y | x) = log sum_y' exp s(x, y') - s(x, y)        s(x, y) = sum_t emission[t, y_t] + transition[y_{t-1}, y_t]

Legend: N rows, U tokens of all rows, T tokens of the longest row, C tags, D width.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sartor.classical.chain import expected, path_scores, step_counts
from sartor.network import Head
from sartor.predictions import Floats, Integers

FILE = "sartor/chain.safetensors"
PACE = 100.0
"""Transitions are so many times what is trained: from a rate that suits a pretrained body they would hardly move."""


class ChainHead(Head):
    """(U, D) -> (U, C + (C + 1) C): a token's emissions, and behind them the transitions, which are all tokens' own.

    They go with the outputs so that whoever reads these, in training or in answering, needs no more than them.
    """

    layer: ClassVar[str] = "emission"

    def __init__(self, emission: nn.Linear, transitions: Tensor) -> None:
        super().__init__()
        self.emission = emission
        self.slow = nn.Parameter(transitions / PACE)  # (C + 1, C), from before the beginning first

    def forward(self, features: Tensor) -> Tensor:
        steps = (PACE * self.slow).reshape(1, -1)
        return torch.cat([self.emission(features), steps.expand(len(features), -1)], 1)

    def keep(self, folder: Path) -> nn.Module:
        (folder / FILE).parent.mkdir(exist_ok=True)
        save_file({"transitions": self.slow.detach().cpu() * PACE}, folder / FILE)
        return self.emission

    def take_up(self, layer: nn.Module, folder: Path) -> None:
        assert isinstance(layer, nn.Linear)
        self.emission = layer
        self.slow = nn.Parameter(load_file(folder / FILE)["transitions"] / PACE)


def apart(outputs: Tensor, tags: int) -> tuple[Tensor, Tensor]:
    """(U, C) emissions and (C + 1, C) transitions of a `ChainHead`'s outputs."""
    steps = outputs[0, tags:] if len(outputs) else outputs.new_zeros((tags + 1) * tags)
    return outputs[:, :tags], steps.reshape(tags + 1, tags)


def losses(emissions: Tensor, transitions: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
    """(N,) -log p of each row's tags (U,); 0 for a row without tokens."""
    inside = torch.arange(max(1, int(lengths.max()))) < lengths[:, None]  # (N, T)
    padded = emissions.new_zeros(*inside.shape, emissions.shape[1])
    padded[inside] = emissions
    known = torch.zeros(inside.shape, dtype=torch.long, device=emissions.device)
    known[inside] = targets
    inside = inside.to(emissions.device)
    return (_log_sums(padded, transitions, inside) - _scores(padded, transitions, known, inside)) * inside[:, 0]


def _log_sums(emissions: Tensor, transitions: Tensor, inside: Tensor) -> Tensor:
    """(N,) log of the summed exp of all paths' scores."""
    sums = transitions[0] + emissions[:, 0]  # (N, C)
    for t in range(1, emissions.shape[1]):
        longer = torch.logsumexp(sums[:, :, None] + transitions[1:], 1) + emissions[:, t]
        sums = torch.where(inside[:, t, None], longer, sums)
    return torch.logsumexp(sums, 1)


def _scores(emissions: Tensor, transitions: Tensor, known: Tensor, inside: Tensor) -> Tensor:
    """(N,) the score of each row's own path."""
    before = torch.cat([torch.zeros_like(known[:, :1]), known[:, :-1] + 1], 1)
    each = emissions.gather(2, known[..., None])[..., 0] + transitions[before, known]
    return (each * inside).sum(1)


def solve_chain(
    emissions: Floats, targets: Integers, lengths: Integers, steps: Floats, penalty: float
) -> tuple[float, Floats]:
    """The scale of (U, C) emissions and the transitions (C + 1, C) on top of `steps` that make the rows' tags most
    probable; penalty / 2 |transitions|^2 is added to the summed loss. Convex, by L-BFGS."""
    from scipy.optimize import minimize

    states = emissions.shape[1]
    counts = step_counts(targets, lengths, states)
    own = emissions[np.arange(len(targets)), targets].sum()

    def value(flat: Floats) -> tuple[float, Floats]:
        scale, free = flat[0], flat[1:].reshape(states + 1, states)
        chain = free + steps
        found = expected(scale * emissions, chain, lengths)
        loss = float(found.log_sums.sum() - path_scores(scale * emissions, chain, lengths, targets).sum())
        slope = float((found.states * emissions).sum() - own)
        gradient = found.steps - counts + penalty * free
        total = loss + penalty / 2 * float((free**2).sum())
        return total / len(targets), np.append(slope, gradient.ravel()) / len(targets)

    first = np.append(1.0, np.zeros((states + 1) * states))
    found = minimize(value, first, jac=True, method="L-BFGS-B", options={"maxiter": 100}).x
    return float(found[0]), np.asarray(found[1:].reshape(states + 1, states))
