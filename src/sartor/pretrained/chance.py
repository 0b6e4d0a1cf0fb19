"""Dropout masks at the price of their random bits.

`torch.bernoulli` draws one number per element, serially; a mask needs 16 bits of it. A quarter of the numbers are drawn
as whole 64-bit words and read as four 16-bit ones, so that p is met to 1 in 65,536.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEVELS = 1 << 16


def kept(shape: torch.Size, p: float) -> Tensor:
    """A mask of `shape`, each element False with probability `p`; drawn from torch's own generator on the CPU."""
    count = shape.numel()
    words = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    bits = words.view(torch.int16)[:count]
    return (bits >= round(p * LEVELS) - LEVELS // 2).view(shape)


def scaled(values: Tensor, mask: Tensor, p: float) -> Tensor:
    """`values` where `mask` holds, divided by 1 - p, and 0 elsewhere: in one pass, forward and backward alike."""
    out: Tensor = torch.ops.aten.native_dropout_backward(values, mask, 1.0 / (1.0 - p))
    return out
