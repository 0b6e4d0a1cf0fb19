"""NumPy archives (.npz) of pixels and labels -> a table: `images` and `labels`, or `train_images` and so on.

Plain numbers alone are read, never objects. Of several parts `FILE.npz` is the training part, `FILE.npz:val` another.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.data import pictures
from sartor.data.archive import Archive
from sartor.data.media import Media
from sartor.data.table import Table, numbered
from sartor.errors import BadInput

PARTS = ("train", "val", "valid", "validation", "dev", "test")
SINGULAR = {"images": "image", "labels": "label"}
CHANNELS = (3, 4)
PLAIN = ("L", "RGB", "RGBA")
"""Modes of Pillow's whose arrays are bytes."""


@dataclass(frozen=True)
class Drawn:
    """Pixels (H, W) or (H, W, 3 or 4) as the bytes of a PNG."""

    pixels: NDArray[np.uint8] = field(repr=False)

    def read(self, name: str) -> bytes:
        out = io.BytesIO()
        pictures.pillow().fromarray(self.pixels).save(out, "PNG", compress_level=1)
        return out.getvalue()


def drawn(value: Any, name: str) -> Media:
    """A picture that a program made: an array of bytes, or an image of Pillow's."""
    pixels = np.asarray(value if isinstance(value, np.ndarray) or value.mode in PLAIN else value.convert("RGB"))
    grey = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in CHANNELS)
    if pixels.dtype != np.uint8 or not grey:
        said = f"'{name}' is a picture of shape {pixels.shape} and type {pixels.dtype}"
        fix = "give bytes (uint8), (height, width) or (height, width, 3)"
        raise BadInput("IMG_ARRAY", said, fix=fix)
    return Media(name, Drawn(pixels))


def read(path: Path, source: str, part: str) -> Table:
    """The rows of one part; `part` empty: the training part, or all there is."""
    archive = Archive(path, source)
    names = {name.removesuffix(".npy"): name for name in archive.members if name.endswith(".npy")}
    chosen = _of_part(names, part, source)
    arrays = {name: _array(archive, names[whole], source) for name, whole in chosen.items()}
    lengths = {len(a) if a.ndim else 0 for a in arrays.values()}
    if len(lengths) != 1 or lengths == {0}:
        said = f"its arrays have different lengths: {', '.join(f'{n} {a.shape}' for n, a in arrays.items())}"
        fix = "save arrays with one entry a row, such as images and labels"
        raise BadInput("NPZ_LENGTHS", said, fix=fix, where=source)
    return numbered(source, {SINGULAR.get(n, n): _cells(n, a, source) for n, a in arrays.items()})


def _of_part(names: dict[str, str], part: str, source: str) -> dict[str, str]:
    """Name without its part -> whole name."""
    there = [p for p in PARTS if any(name.startswith(f"{p}_") for name in names)]
    wanted = part or ("train" if "train" in there else "")
    if wanted and wanted not in there:
        known = f"it has the parts {', '.join(there)}" if there else "it has no parts"
        raise BadInput("NPZ_PART", f"there is no part '{wanted}'", fix=f"leave it out; {known}", where=source)
    if not wanted and there:
        fix = f"say which part: {source}:{there[0]}"
        raise BadInput("NPZ_PART", f"it has the parts {', '.join(there)} and none called train", fix=fix, where=source)
    found = {name.removeprefix(f"{wanted}_"): name for name in names if not wanted or name.startswith(f"{wanted}_")}
    if not found:
        raise BadInput("NPZ_NONE", "there is no array in it", fix="save it with numpy.savez", where=source)
    return found


def _array(archive: Archive, name: str, source: str) -> NDArray[Any]:
    try:
        found: NDArray[Any] = np.lib.format.read_array(io.BytesIO(archive.read(name)), allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError):
        fix = "save plain numbers with numpy.savez; objects are never opened"
        raise BadInput("NPZ_ARRAY", f"'{name}' is no array of plain numbers", fix=fix, where=source) from None
    return found


def _cells(name: str, array: NDArray[Any], source: str) -> list[Any]:
    """One cell a row: images, numbers or words, or the labels that are on."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 1:
        return list(array.tolist())
    if array.dtype == np.uint8 and (array.ndim == 3 or (array.ndim == 4 and array.shape[3] in CHANNELS)):
        return [Media(f"{name}[{i}]", Drawn(pixels)) for i, pixels in enumerate(array)]
    if array.ndim == 2 and array.shape[1] <= 1000 and set(np.unique(array).tolist()) <= {0, 1}:
        return [[str(k) for k in np.flatnonzero(row)] for row in array]
    said = f"'{name}' has the shape {array.shape} and the type {array.dtype}"
    fix = "save images as bytes (rows, height, width) or (rows, height, width, 3), and one label a row"
    raise BadInput("NPZ_SHAPE", said, fix=fix, where=source)
