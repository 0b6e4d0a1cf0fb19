"""Dropout masks at the price of their random bits.

`torch.bernoulli` draws one number per element, serially; a mask needs 16 bits of it. Here a quarter as many 64-bit
words are made, all at once, by SplitMix64 (Steele, Lea and Flood 2014) from a seed that torch's generator draws, and
read as four 16-bit numbers each, so that p is met to 1 in 65,536.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEVELS = 1 << 16
GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
MIXES = ((30, 0xBF58476D1CE4E5B9 - (1 << 64)), (27, 0x94D049BB133111EB - (1 << 64)))


def kept(values: Tensor, p: float) -> Tensor:
    """Ones and zeros in the shape and type of `values`, each 0 with probability `p`.

    Numbers, not truth values: torch multiplies by them at full speed, and casts a mask of truth values every time."""
    count = values.numel()
    seed = torch.empty(1, dtype=torch.int64).random_(-(2**63), None)
    bits = words(seed, -(-count // 4)).view(torch.int16)[:count].view(values.shape)
    return torch.ge(bits, round(p * LEVELS) - LEVELS // 2, out=torch.empty(values.shape, dtype=values.dtype))


def words(seed: Tensor, count: int) -> Tensor:
    """(count,) int64, the outputs of SplitMix64 that begins at `seed` (1,)."""
    return _finished(torch.arange(1, count + 1).mul_(GOLDEN).add_(seed))


def uniform(seed: int, rows: Tensor, k: int) -> Tensor:
    """(B,) numbers in [0, 1), each a pure function of the seed, of its row's number and of `k`."""
    mixed = _finished(_finished(rows * GOLDEN + seed) ^ k)
    return (mixed >> 40 & (1 << 24) - 1).float() / (1 << 24)


def _finished(z: Tensor) -> Tensor:
    """SplitMix64's finaliser, in place."""
    for shift, factor in MIXES:
        z ^= (z >> shift).bitwise_and_((1 << (64 - shift)) - 1)  # the shift of a signed number draws its sign along
        z *= factor
    return z.bitwise_xor_((z >> 31).bitwise_and_((1 << 33) - 1))


def scaled(values: Tensor, keep: Tensor, p: float) -> Tensor:
    """values * keep / (1 - p) in one pass; forward and backward alike."""
    return torch.addcmul(values.new_zeros(()), values, keep, value=1.0 / (1.0 - p))
