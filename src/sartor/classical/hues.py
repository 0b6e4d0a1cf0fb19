"""Images as a few hundred numbers that need no network: colours, and a small copy. Legend: N images, V numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sartor.predictions import Floats

if TYPE_CHECKING:
    from collections.abc import Sequence

SIDE = 8
"""Pixels of a side of the small copy."""
LEVELS = 6
"""Of each of the three colours in the histogram."""
DETAIL = 64
"""Pixels of a side that colours are counted on, and edges."""
TURNS = 8
"""Directions of edges."""


def described(media: Sequence[Any]) -> Floats:
    """(N, V) the roots of a histogram of colours (Swain and Ballard 1991), the strengths of edges by direction in each
    sixteenth of the image (Dalal and Triggs 2005), and the image at 8 x 8 pixels."""
    from sartor.data.pictures import each
    from sartor.pretrained.framing import plain

    found = [_of_one(pixels.astype(np.float64) / 255) for pixels in each(media, plain(DETAIL).pixels)]
    return np.stack(found) if found else np.zeros((0, LEVELS**3 + 16 * TURNS + 3 * SIDE**2))


def _of_one(pixels: Floats) -> Floats:
    """(3, H, W) from 0 to 1 -> (V,)"""
    level = np.minimum((pixels * LEVELS).astype(np.int64), LEVELS - 1).reshape(3, -1)
    place = (level[0] * LEVELS + level[1]) * LEVELS + level[2]
    hues = np.sqrt(np.bincount(place, minlength=LEVELS**3) / place.size)
    cell = DETAIL // SIDE
    small = pixels.reshape(3, SIDE, cell, SIDE, cell).mean((2, 4)).ravel()
    return np.concatenate([hues, _edges(pixels.mean(0)), small])


def _edges(grey: Floats) -> Floats:
    """(H, W) -> (16 TURNS,)"""
    down, right = np.gradient(grey)
    strength = np.hypot(down, right)
    turn = ((np.arctan2(down, right) % np.pi) / np.pi * TURNS).astype(np.int64) % TURNS
    quarter = np.arange(DETAIL) * 4 // DETAIL
    cell = (quarter[:, None] * 4 + quarter[None]) * TURNS + turn
    found = np.bincount(cell.ravel(), weights=strength.ravel(), minlength=16 * TURNS)
    return np.asarray(found / max(float(np.linalg.norm(found)), 1e-9))
