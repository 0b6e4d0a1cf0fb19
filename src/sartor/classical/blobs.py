"""Blobs: connected pixels whose colours are those of a class: how objects were found before networks.

How likely a pixel of a colour is to be inside a box of a class (histogram backprojection: Swain and Ballard 1991),
smoothed; what is likely enough and hangs together is an object.

Legend: N images of S x S pixels, C classes, V colours, K blobs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sartor.predictions import Floats

LEVELS = 12
"""Of each of red, green and blue."""
SMOOTH = (1.0, 2.0, 4.0)
"""Widths in pixels that chances are smoothed by; the best on training images is taken."""
CUTS = (0.3, 0.5, 0.7)
"""Chances above which a pixel belongs to an object; likewise."""
MEETS = 0.5

Images = NDArray[np.uint8]
"""(N, 3, S, S)"""


@dataclass(frozen=True)
class Colours:
    """How likely a pixel of each colour is one of each class: (V, C); and how it is smoothed and cut, (C,) each."""

    chances: Floats
    smooth: Floats
    cut: Floats
    least: Floats
    """(C,) The smallest area of a training box, as a share of the image: half of it is the smallest blob."""

    def blobs(self, image: NDArray[np.uint8], kind: int) -> tuple[Floats, Floats]:
        """(3, S, S) -> (K, 4) corners in shares of the image, (K,) how likely each is."""
        seen = self.chances[codes(image), kind]
        return _blobs(seen, float(self.smooth[kind]), float(self.cut[kind]), float(self.least[kind]) / 2)


def codes(image: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(3, S, S) -> (S, S) the number of each pixel's colour."""
    level = image.astype(np.int64) * LEVELS // 256
    return np.asarray(level[0] * LEVELS * LEVELS + level[1] * LEVELS + level[2])


def learn(images: Images, known: Floats, classes: int) -> Colours:
    """`known` (N, M, 5): class, -1 where padded, and corners in shares of the image."""
    inside, everywhere = np.zeros((LEVELS**3, classes)), np.zeros(LEVELS**3)
    for image, boxes in zip(images, known, strict=True):
        colour = codes(image)
        everywhere += np.bincount(colour.ravel(), minlength=LEVELS**3)
        for k in range(classes):
            there = _filled(boxes[boxes[:, 0] == k][:, 1:], image.shape[-1])
            inside[:, k] += np.bincount(colour[there], minlength=LEVELS**3)
    chances = (inside + inside.sum(0) / max(1.0, everywhere.sum())) / (everywhere[:, None] + 1.0)
    kinds, boxes = known[..., 0], known[..., 1:]
    areas = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    least = np.array([areas[kinds == k].min() if (kinds == k).any() else 0.0 for k in range(classes)])
    chosen = np.array([_chosen(images, known, chances, k, float(least[k])) for k in range(classes)])
    return Colours(chances, chosen[:, 0], chosen[:, 1], least)


def _chosen(images: Images, known: Floats, chances: Floats, kind: int, least: float) -> tuple[float, float]:
    """The smoothing and the cut whose blobs meet the training boxes best, by F1."""
    best = (-1.0, SMOOTH[0], CUTS[0])
    for smooth in SMOOTH:
        for cut in CUTS:
            right = said = there = 0
            for image, boxes in zip(images, known, strict=True):
                found, _ = _blobs(chances[codes(image), kind], smooth, cut, least / 2)
                true = boxes[boxes[:, 0] == kind][:, 1:]
                right += int((overlaps(true, found).max(1, initial=0) > MEETS).sum())
                said, there = said + len(found), there + len(true)
            best = max(best, (2 * right / max(1, said + there), smooth, cut))
    return best[1], best[2]


def _blobs(seen: Floats, smooth: float, cut: float, least: float) -> tuple[Floats, Floats]:
    from scipy import ndimage

    seen = ndimage.gaussian_filter(seen, smooth)
    marked, count = ndimage.label(seen > cut)
    side = seen.shape[0]
    boxes, scores = [np.empty((0, 4))], [np.empty(0)]
    if count:
        likely = ndimage.mean(seen, marked, np.arange(1, count + 1))
        for (down, right), chance in zip(ndimage.find_objects(marked), likely, strict=True):
            box = np.array([right.start, down.start, right.stop, down.stop]) / side
            if (box[2] - box[0]) * (box[3] - box[1]) >= least:
                boxes.append(box[None])
                scores.append(np.array([chance]))
    return np.concatenate(boxes), np.concatenate(scores)


def _filled(boxes: Floats, side: int) -> NDArray[np.bool_]:
    """(S, S) what is inside an ellipse in one of the boxes: their corners mostly show something else."""
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    out = np.zeros((side, side), dtype=bool)
    for left, top, right, bottom in boxes:
        wide, high = max(right - left, 1 / side), max(bottom - top, 1 / side)
        out |= ((x - (left + right) / 2) / wide) ** 2 + ((y - (top + bottom) / 2) / high) ** 2 < 0.25
    return out


def overlaps(one: Floats, other: Floats) -> Floats:
    """(A, 4), (B, 4) corners -> (A, B) intersection over union."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    both = (high - low).clip(min=0).prod(-1)
    areas = [(b[:, 2:] - b[:, :2]).clip(min=0).prod(-1) for b in (one, other)]
    return np.asarray(both / np.maximum(areas[0][:, None] + areas[1][None] - both, 1e-12))
