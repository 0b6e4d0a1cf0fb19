"""Dropout masks at the price of their random bits.

`torch.bernoulli` draws one number per element, serially; a mask needs 16 bits of it. A quarter of the numbers are drawn
as whole 64-bit words and read as four 16-bit ones, so that p is met to 1 in 65,536.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEVELS = 1 << 16


def kept(values: Tensor, p: float) -> Tensor:
    """Ones and zeros in the shape and type of `values`, each 0 with probability `p`; from torch's own CPU generator.

    Numbers, not truth values: torch multiplies by them at full speed, and casts a mask of truth values every time."""
    count = values.numel()
    words = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    bits = words.view(torch.int16)[:count].view(values.shape)
    return torch.ge(bits, round(p * LEVELS) - LEVELS // 2, out=torch.empty(values.shape, dtype=values.dtype))


def scaled(values: Tensor, keep: Tensor, p: float) -> Tensor:
    """values * keep / (1 - p) in one pass; forward and backward alike."""
    return torch.addcmul(values.new_zeros(()), values, keep, value=1.0 / (1.0 - p))
