"""Pixels of many images: decoded and framed once, as bytes; in memory within a limit, beyond it mapped from the disk.

Legend: N images, H x W pixels of a frame.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from sartor.data.media import Media
from sartor.data.pictures import each
from sartor.disk import cache_folder
from sartor.pretrained.framing import Frame

SHARE = 0.25
"""Of the machine's memory: what the pixels of one part may take."""


def pixels(media: Sequence[Media], frame: Frame, limit: int | None = None) -> Tensor:
    """(N, 3, H, W) bytes. Raises `BadInput` for the first image that cannot be read."""
    out = _room((len(media), 3, *frame.size), limit if limit is not None else int(SHARE * _memory()))
    for i, found in enumerate(each(media, frame.pixels)):
        out[i] = torch.from_numpy(found)
    return out


def _room(shape: tuple[int, ...], limit: int) -> Tensor:
    """An empty array; one above the limit lies in a file without a name, which goes when the array goes."""
    size = int(torch.tensor(shape).prod())
    if size <= limit:
        return torch.empty(shape, dtype=torch.uint8)
    folder = cache_folder() / "pixels"
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder)
    os.close(handle)
    try:
        return torch.from_file(name, shared=True, size=size, dtype=torch.uint8).view(shape)
    finally:
        Path(name).unlink()


def _memory() -> int:
    import psutil

    return int(psutil.virtual_memory().total)
