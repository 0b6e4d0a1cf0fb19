"""Layers whose weights are 8-bit numbers. Legend: O outputs, I inputs, S tokens.

    W ≈ s_o q        q of -127 to 127, one scale s for every output (Krishnamoorthi 2018, arXiv 1806.08342, section 2)
    x ≈ s_x (u - z)  u of 0 to 255, made at every call from the least and the greatest of x, or from calibrated ones

oneDNN multiplies u by q in whole numbers and gives 32-bit floats; where it cannot, the weights are spread out again and
multiplied in 32 bits, which is as small and no faster. Activations of 8 bits with a sign take oneDNN's slow path, a
thousand times slower on two Zen 5 cores; those without one, as here, take the fast one.
"""

from __future__ import annotations

import functools
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Activations = Literal["dynamic", "static", "none"]
"""How a layer's inputs become 8 bits: ranges of every call, calibrated ranges, or not at all (weights alone are)."""
LEVELS = 255
"""Steps between the least and the greatest activation."""


class Int8Linear(nn.Module):
    """y = x W^T + b with W in 8 bits.

    range   (2,) least and greatest input that was seen in calibration; for static activations only
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None
    range: Tensor

    def __init__(self, outputs: int, inputs: int, bias: bool, activations: Activations) -> None:
        super().__init__()
        self.in_features, self.out_features, self.activations = inputs, outputs, activations
        self.register_buffer("weight", torch.zeros(outputs, inputs, dtype=torch.int8))
        self.register_buffer("scale", torch.ones(outputs))
        self.register_buffer("bias", torch.zeros(outputs) if bias else None)
        if activations == "static":
            self.register_buffer("range", torch.tensor([-1.0, 1.0]))
        self._laid_out: tuple[Tensor, Tensor] | None = None

    @classmethod
    def of(cls, layer: nn.Linear, activations: Activations, seen: Tensor | None = None) -> Int8Linear:
        """The layer with its weights rounded to the nearest of 255 levels."""
        made = cls(layer.out_features, layer.in_features, layer.bias is not None, activations)
        made.weight, made.scale = rounded(layer.weight.detach())
        made.bias = None if layer.bias is None else layer.bias.detach().clone()
        if seen is not None:
            made.range = seen
        return made

    def forward(self, x: Tensor) -> Tensor:
        if self.activations == "none" or not multiplies_bytes() or x.device.type != "cpu":
            return functional.linear(x, self.spread().to(x.dtype), None if self.bias is None else self.bias.to(x.dtype))
        flat = x.reshape(-1, self.in_features).float()
        scale, zero = steps(self.range if self.activations == "static" else torch.stack(torch.aminmax(flat)))
        packed, zeros = self._layout()
        y: Tensor = torch.ops.onednn.qlinear_pointwise(
            as_bytes(flat, scale, zero),
            scale,
            zero,
            packed,
            self.scale,
            zeros,
            self.bias,
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        )
        return y.view(*x.shape[:-1], self.out_features).to(x.dtype)

    def spread(self) -> Tensor:
        """(O, I) the weights as 32-bit numbers."""
        return self.weight.float() * self.scale[:, None]

    def _layout(self) -> tuple[Tensor, Tensor]:
        """The weights in oneDNN's own order, made at the first call, and the zero points, which are all zero."""
        if self._laid_out is None:
            packed = torch.ops.onednn.qlinear_prepack(self.weight, None)
            self._laid_out = packed, torch.zeros(self.out_features, dtype=torch.int32)
        return self._laid_out


class Int8Embedding(nn.Module):
    """A table in 8 bits, one scale for every row."""

    weight: Tensor
    scale: Tensor

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = rows, width
        self.register_buffer("weight", torch.zeros(rows, width, dtype=torch.int8))
        self.register_buffer("scale", torch.ones(rows))

    @classmethod
    def of(cls, table: nn.Embedding) -> Int8Embedding:
        made = cls(table.num_embeddings, table.embedding_dim)
        made.weight, made.scale = rounded(table.weight.detach())
        return made

    def forward(self, ids: Tensor) -> Tensor:
        """(...,) -> (..., width)"""
        return functional.embedding(ids, self.weight).float() * self.scale[ids][..., None]


def rounded(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(O, I) -> 8-bit numbers and the scale of every row; a row of zeros keeps scale 1."""
    most = weight.abs().amax(1)
    scale = torch.where(most > 0, most / 127, torch.ones_like(most))
    return (weight / scale[:, None]).round_().clamp_(-127, 127).to(torch.int8), scale


def as_bytes(x: Tensor, scale: float, zero: int) -> Tensor:
    """x / scale + zero, to the nearest of 0 to 255."""
    shifted = torch.add(torch.tensor(zero + 0.5), x, alpha=1 / scale)  # cutting off behind one half more is rounding
    return shifted.clamp_(0, LEVELS + 0.5).to(torch.uint8)


def steps(span: Tensor) -> tuple[float, int]:
    """The scale and the zero point of numbers from the least to the greatest of `span` (2,); zero is always a level."""
    low, high = (float(v) for v in span)
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / LEVELS, 1e-12)
    return scale, round(-low / scale)


@functools.cache
def multiplies_bytes() -> bool:
    """Whether oneDNN's product of 8-bit numbers is there and right."""
    try:
        x, w = torch.full((2, 4), 3, dtype=torch.uint8), torch.full((3, 4), 2, dtype=torch.int8)
        packed = torch.ops.onednn.qlinear_prepack(w, None)
        ones, zeros = torch.ones(3), torch.zeros(3, dtype=torch.int32)
        found = torch.ops.onednn.qlinear_pointwise(
            x, 1.0, 1, packed, ones, zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return bool((found == 16).all())
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
