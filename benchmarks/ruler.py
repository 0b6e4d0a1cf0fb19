"""What the numbers of the engine benchmark mean: pace, spread, the machine's matrix rate, the model's FLOPs.

Legend: N weights of the blocks, L blocks, D width, T tokens of a row.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor

SIZES = (4096, 2048)
"""Sides of the square products that the matrix rate is measured with."""


@dataclass(frozen=True)
class Pace:
    """Real tokens (padding is none) that went through whole training steps, and the seconds of the wall clock."""

    tokens: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds


@dataclass(frozen=True)
class Spread:
    """The median, the lowest and the highest of some repeats."""

    median: float
    low: float
    high: float

    @classmethod
    def over(cls, values: Sequence[float]) -> Self:
        return cls(statistics.median(values), min(values), max(values))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def timed(marks: Sequence[float], tokens: Sequence[int], warm: int) -> Pace:
    """The pace after `warm` steps. marks: the clock at the start and after every step; tokens: of every step."""
    warm = min(warm, len(marks) - 2)
    return Pace(sum(tokens[warm : len(marks) - 1]), marks[-1] - marks[warm])


def matrix_rate(precision: str, repeats: int = 3) -> float:
    """FLOP/s of plain large products, the best of two sizes: what this machine can do at most with this library."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    return max(_product(size, dtype, repeats) for size in SIZES)


def _product(size: int, dtype: torch.dtype, repeats: int) -> float:
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    out = torch.empty(size, size, dtype=dtype)
    best = float("inf")
    for _ in range(repeats + 1):  # the first one warms up and is never the best
        began = time.perf_counter()
        torch.mm(a, b, out=out)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def flops_per_token(weights: int, adapters: int, blocks: int, width: int, lengths: Tensor, full: bool) -> float:
    """Training FLOPs of one real token: matrix products only; embeddings, norms, softmax and the head left out.

    full   6 N: forward, gradient of the inputs, gradient of the weights
    LoRA   4 N + 6 A: the frozen weights (N) have no gradient, the adapters (A) have
    both   12 L D T: attention's own two products, forward and backward, T averaged over tokens
    """
    mean = float((lengths.double() ** 2).sum() / lengths.sum())
    return (6 if full else 4) * weights + 6 * adapters + 12 * blocks * width * mean
