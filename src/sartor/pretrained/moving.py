"""Moving: what may be done to an image in training when its boxes must move with it.

    scale    the image is seen at 0.7 to 1.4 times its size, what is then outside is lost and what is missing is grey
    crop     shifted by up to a fifth of a side both ways
    flip     left and right exchanged, one time in two (not for letters, digits, or what has a side)
    upturn   the same with top and bottom, for what has no up: seen through a microscope, or from above
    colour   brightness and contrast, each by up to three tenths

A box of which less than three tenths is left in the image is dropped. What is drawn for an image is a pure function of
the seed and of the row's number (see augment.py).

Legend: B images, H x W pixels, all bytes; M boxes, padded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from sartor.pretrained.augment import GREY, Draw, augmented

Movement = Literal["scale", "crop", "flip", "upturn", "colour"]

ZOOM = 1.4
SHIFT = 0.2
LEFT = 0.3
"""Share of a box that has to be left."""


def moved(pixels: Tensor, known: Tensor, names: Sequence[Movement], draw: Draw) -> tuple[Tensor, Tensor]:
    """(B, 3, H, W), and boxes (B, M, 5) as engine/boxes.py has them -> both as training sees them this time."""
    if set(names) - {"colour"}:
        zoom, shift = _drawn(names, draw)
        pixels, known = _pixels(pixels, zoom, shift), _boxes(known, zoom, shift)
    return augmented(pixels, ["colour"], draw) if "colour" in names else pixels, known


def _drawn(names: Sequence[Movement], draw: Draw) -> tuple[Tensor, Tensor]:
    """(B, 2) the factor of x and of y, below zero where flipped, and (B, 2) the shift, in half sides.

    A point u of the image, from -1 to 1, is seen at (u - shift) * zoom."""
    size = torch.exp((2 * draw(20) - 1) * math.log(ZOOM)) if "scale" in names else torch.ones(len(draw.rows))
    turned = [
        torch.where(draw(k) < 0.5, -1.0, 1.0) if name in names else torch.ones(len(draw.rows))
        for k, name in ((21, "flip"), (22, "upturn"))
    ]
    far = 2 * SHIFT if "crop" in names else 0.0
    shift = torch.stack([far * (2 * draw(k) - 1) for k in (23, 24)], 1)
    return size[:, None] * torch.stack(turned, 1), shift


def _pixels(pixels: Tensor, zoom: Tensor, shift: Tensor) -> Tensor:
    maps = torch.zeros(len(pixels), 2, 3)
    maps[:, 0, 0], maps[:, 1, 1], maps[:, :, 2] = 1 / zoom[:, 0], 1 / zoom[:, 1], shift
    grid = functional.affine_grid(maps, list(pixels.shape), align_corners=False)
    seen = functional.grid_sample(pixels.float() - GREY, grid, padding_mode="zeros", align_corners=False) + GREY
    return seen.round().clamp(0, 255).byte()


def _boxes(known: Tensor, zoom: Tensor, shift: Tensor) -> Tensor:
    """The same map on corners; what is outside is cut off."""
    corners = 2 * known[..., 1:].reshape(*known.shape[:2], 2, 2) - 1  # (B, M, 2 corners, xy)
    seen = (corners - shift[:, None, None]) * zoom[:, None, None] / 2 + 0.5
    whole = torch.stack([seen.amin(2), seen.amax(2)], 2)
    inside = whole.clamp(0, 1)
    areas = [(b[:, :, 1] - b[:, :, 0]).prod(-1) for b in (inside, whole)]
    kept = areas[0] > LEFT * areas[1]
    kinds = known[..., 0].where(kept, torch.tensor(-1.0))
    return torch.cat([kinds[..., None], inside.flatten(2)], -1)
