"""Augmentation: what may be done to an image in training without changing what it shows.

    crop         the image is shifted by up to an eighth of a side, what comes in at the border mirrored from inside
    flip         left and right exchanged, one time in two (not for letters, digits, or what has a side)
    cutout       a square of a quarter of the sides is blanked (DeVries and Taylor 2017, arXiv 1708.04552)
    colour       brightness and contrast, each by up to three tenths
    randaugment  two operations of eight at random strengths (Cubuk et al. 2019, arXiv 1909.13719): brightness,
                 contrast, saturation, posterize, solarize, rotate, shear, shift

What is drawn for an image is a pure function of the seed and of the row's number, so that neither the size of a
micro-batch nor the number of devices nor a stop in between changes it.

Legend: B images, H x W pixels, all bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from sartor.pretrained.chance import uniform

Augmentation = Literal["crop", "flip", "cutout", "colour", "randaugment"]

SHIFT = 8
"""An eighth of a side."""
CUT = 4
"""A quarter of a side."""
JITTER = 0.3
GREY = 128
ROUNDS = 2
"""Operations on each image by RandAugment."""
MOST_DEGREES, MOST_SHEAR, MOST_SHIFT = 25.0, 0.25, 0.2
LEAST_BITS = 3


@dataclass(frozen=True)
class Draw:
    """Numbers for each row: `draw(k)` is (B,) in [0, 1), another for every k."""

    seed: int
    rows: Tensor

    def __call__(self, k: int) -> Tensor:
        return uniform(self.seed, self.rows, k)


def augmented(pixels: Tensor, names: Sequence[Augmentation], draw: Draw) -> Tensor:
    """(B, 3, H, W) -> (B, 3, H, W), as training sees them this time."""
    if "crop" in names or "flip" in names:
        pixels = _shifted(pixels, draw, SHIFT if "crop" in names else 0, "flip" in names)
    for name, change in LATER.items():
        if name in names:
            pixels = change(pixels, draw)
    return pixels


def _shifted(pixels: Tensor, draw: Draw, part: int, flips: bool) -> Tensor:
    """Moved by up to `part` of a side both ways, mirrored at the borders, and flipped one time in two."""
    height, width = pixels.shape[2:]
    down = _places(height, draw(0), part)
    right = _places(width, draw(1), part)
    if flips:
        right = torch.where((draw(2) < 0.5)[:, None], right.flip(1), right)
    return _picked(pixels, down, right)


def _places(side: int, drawn: Tensor, part: int) -> Tensor:
    """(B, side) where each pixel of a side comes from."""
    most = side // part if part else 0
    moved = torch.arange(side) + ((2 * most + 1) * drawn).long()[:, None] - most
    moved = moved.abs()
    return torch.where(moved >= side, 2 * (side - 1) - moved, moved)


def _picked(pixels: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """The pixels at rows `down` (B, H) and columns `right` (B, W) of each image."""
    across = right[:, None, None, :].expand(pixels.shape)
    return pixels.gather(2, down[:, None, :, None].expand(pixels.shape)).gather(3, across)


def _cut_out(pixels: Tensor, draw: Draw) -> Tensor:
    """A square somewhere made grey; at the border only a part of it is inside."""
    down, right = (
        (torch.arange(side)[None] - (side * draw(k)).long()[:, None]).abs() * 2 * CUT <= side
        for k, side in ((3, pixels.shape[2]), (4, pixels.shape[3]))
    )
    return pixels.masked_fill((down[:, :, None] & right[:, None, :])[:, None], GREY)


def _coloured(pixels: Tensor, draw: Draw) -> Tensor:
    lighter = _brightness(pixels.float(), 2 * JITTER * (draw(5) - 0.5))
    return _bytes(_contrast(lighter, 2 * JITTER * (draw(6) - 0.5)))


def _randaugmented(pixels: Tensor, draw: Draw) -> Tensor:
    """Each image through `ROUNDS` operations, chosen for it with their strength and direction."""
    for round_ in range(ROUNDS):
        chosen = (len(OPERATIONS) * draw(7 + 2 * round_)).long()
        strength = 2 * draw(8 + 2 * round_) - 1  # (B,) in [-1, 1)
        out = pixels.clone()
        for number, operation in enumerate(OPERATIONS):
            where = torch.nonzero(chosen == number)[:, 0]
            if len(where):
                out[where] = _bytes(operation(pixels[where].float(), strength[where]))
        pixels = out
    return pixels


def _bytes(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).byte()


def _by_image(values: Tensor) -> Tensor:
    """(B,) -> (B, 1, 1, 1)"""
    return values[:, None, None, None]


def _brightness(x: Tensor, by: Tensor) -> Tensor:
    return x * (1 + _by_image(by))


def _contrast(x: Tensor, by: Tensor) -> Tensor:
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * (1 + _by_image(by))


def _saturation(x: Tensor, by: Tensor) -> Tensor:
    grey = x.mean(1, keepdim=True)
    return grey + (x - grey) * (1 + _by_image(by))


def _posterized(x: Tensor, by: Tensor) -> Tensor:
    """Fewer levels: 8 to `LEAST_BITS` bits."""
    step = 2 ** ((8 - LEAST_BITS) * by.abs()).round()
    return (x / _by_image(step)).floor() * _by_image(step)


def _solarized(x: Tensor, by: Tensor) -> Tensor:
    """Values above a threshold turned round."""
    return torch.where(x >= _by_image(256 * (1 - by.abs())), 255 - x, x)


def _rotated(x: Tensor, by: Tensor) -> Tensor:
    angle = by * math.radians(MOST_DEGREES)
    return _warped(x, angle.cos(), angle.sin(), -angle.sin(), angle.cos(), torch.zeros_like(by))


def _sheared(x: Tensor, by: Tensor) -> Tensor:
    one = torch.ones_like(by)
    return _warped(x, one, by * MOST_SHEAR, torch.zeros_like(by), one, torch.zeros_like(by))


def _moved(x: Tensor, by: Tensor) -> Tensor:
    one, zero = torch.ones_like(by), torch.zeros_like(by)
    return _warped(x, one, zero, zero, one, 2 * MOST_SHIFT * by)


def _warped(x: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor, right: Tensor) -> Tensor:
    """Each image through the map [[a, b, right], [c, d, 0]] of its coordinates in [-1, 1]; grey comes in."""
    zero = torch.zeros_like(a)
    maps = torch.stack([torch.stack([a, b, right], 1), torch.stack([c, d, zero], 1)], 1)  # (B, 2, 3)
    grid = functional.affine_grid(maps, list(x.shape), align_corners=False)
    return functional.grid_sample(x - GREY, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + GREY


Operation = Callable[[Tensor, Tensor], Tensor]
OPERATIONS: tuple[Operation, ...] = (
    _brightness,
    _contrast,
    _saturation,
    _posterized,
    _solarized,
    _rotated,
    _sheared,
    _moved,
)
LATER: dict[str, Callable[[Tensor, Draw], Tensor]] = {
    "colour": _coloured,
    "randaugment": _randaugmented,
    "cutout": _cut_out,
}
"""In the order in which they are made, behind shifts and flips."""
