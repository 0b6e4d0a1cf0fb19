"""Framing: an image of any size -> the pixels a model was trained on, exactly as its `preprocessor_config.json` says.

The resizing is Pillow's, which transformers uses too where torchvision is not installed, so that both see the same.

Legend: H, W height and width of a frame.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.data.media import Media
from sartor.data.pictures import opened
from sartor.errors import BadInput
from sartor.pretrained.gate import read_json

FILE = "preprocessor_config.json"
HALF = (0.5, 0.5, 0.5)
BILINEAR = 2
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
"""Mean and deviation that detectors are trained with where they say nothing else."""
DETECTED = 512
"""Pixels of a side that a detector reads where nobody says."""
WARPED_FROM = 384
"""ConvNeXT's frames of this size and larger are warped, smaller ones are cut out of the middle."""


@dataclass(frozen=True)
class Frame:
    """Resized to `warped` (H, W), or until the shorter side is `edge`; then the middle `cut` (H, W) of it.

    A pixel p of 0..255 becomes p * scale - shift, channel by channel. `said`: the configuration it came from.
    """

    warped: tuple[int, int] | None
    edge: int | None
    cut: tuple[int, int] | None
    resample: int
    scale: tuple[float, ...]
    shift: tuple[float, ...]
    said: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)"""
        found = self.cut or self.warped
        assert found is not None
        return found

    def pixels(self, media: Media) -> NDArray[np.uint8]:
        """(3, H, W)"""
        from PIL.Image import Resampling

        image = opened(media)
        width, height = image.size
        rows, columns = self.warped or _by_edge(height, width, int(self.edge or 0))
        if (rows, columns) != (height, width):
            image = image.resize((columns, rows), Resampling(self.resample))
        whole = np.asarray(image)
        if self.cut is not None:
            top, left = (rows - self.cut[0]) // 2, (columns - self.cut[1]) // 2
            whole = whole[top : top + self.cut[0], left : left + self.cut[1]]
        return np.ascontiguousarray(whole.transpose(2, 0, 1))

    def save(self, folder: Path) -> None:
        (folder / FILE).write_text(json.dumps(dict(self.said), indent=1) + "\n", "utf-8")


def plain(size: int) -> Frame:
    """Warped to `size` x `size`, -1 to 1: what a network that is drawn anew reads."""
    square = {"height": size, "width": size}
    return framed(
        {
            "image_processor_type": "ViTImageProcessor",
            "do_resize": True,
            "size": square,
            "resample": BILINEAR,
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(HALF),
            "image_std": list(HALF),
        }
    )


def of_folder(folder: Path) -> Frame:
    """The frame that a model's folder asks for. Raises `BadInput` for a folder that says nothing of it."""
    if not (folder / FILE).is_file():
        fix = "save the image processor into the same folder with save_pretrained"
        raise BadInput("IMAGE_PROCESSOR", f"the model folder has no {FILE}", fix=fix, where=str(folder))
    try:
        return framed(read_json(folder / FILE))
    except (TypeError, ValueError, KeyError):
        fix = "save the image processor again with save_pretrained"
        said = f"{FILE} describes no resizing that is known"
        raise BadInput("IMAGE_PROCESSOR", said, fix=fix, where=str(folder)) from None


def whole(folder: Path, size: int | None) -> Frame:
    """The frame of a detector: all of an image warped to one size, so that boxes in shares of its sides stay; `size`
    where the folder says only the shorter edge."""
    said = read_json(folder / FILE) if (folder / FILE).is_file() else {}
    given = said.get("size")
    square = isinstance(given, Mapping) and "height" in given
    edge = given.get("shortest_edge") if isinstance(given, Mapping) else None
    if not square:
        side = size or edge or DETECTED
        given = {"height": side, "width": side}
    kept = {key: value for key, value in said.items() if key not in ("do_center_crop", "crop_size", "pad_size")}
    usual = {"image_mean": IMAGENET[0], "image_std": IMAGENET[1], "do_rescale": True, "do_normalize": True}
    return framed({**usual, **kept, "do_resize": True, "size": given, "do_pad": False})


def framed(said: Mapping[str, Any]) -> Frame:
    """The frame of an image processor's configuration."""
    kind = str(said.get("image_processor_type") or said.get("feature_extractor_type") or "")
    size = said.get("size", 224)
    warped, edge, cut = _convnext(size, said) if kind.startswith("ConvNext") else _usual(size, said)
    factor = float(said.get("rescale_factor", 1 / 255)) if said.get("do_rescale", True) else 1.0
    normal = said.get("do_normalize", True)
    mean, std = (said.get("image_mean", HALF), said.get("image_std", HALF)) if normal else ((0.0,) * 3, (1.0,) * 3)
    scale = tuple(factor / float(s) for s in std)
    shift = tuple(float(m) / float(s) for m, s in zip(mean, std, strict=True))
    return Frame(warped, edge, cut, int(said.get("resample", BILINEAR)), scale, shift, said)


Steps = tuple[tuple[int, int] | None, int | None, tuple[int, int] | None]


def _usual(size: Any, said: Mapping[str, Any]) -> Steps:
    cut = _square(said.get("crop_size")) if said.get("do_center_crop") else None
    if isinstance(size, Mapping) and "shortest_edge" in size:
        if cut is None:
            raise ValueError("images of one size are needed")
        return None, int(size["shortest_edge"]), cut
    return _square(size), None, cut


def _convnext(size: Any, said: Mapping[str, Any]) -> Steps:
    edge = int(size["shortest_edge"] if isinstance(size, Mapping) else size)
    if edge >= WARPED_FROM:
        return (edge, edge), None, None
    return None, int(edge / float(said.get("crop_pct", 224 / 256))), (edge, edge)


def _square(size: Any) -> tuple[int, int]:
    if isinstance(size, Mapping):
        return int(size["height"]), int(size["width"])
    return int(size), int(size)


def _by_edge(height: int, width: int, edge: int) -> tuple[int, int]:
    """(H, W) with the shorter side `edge`, the longer one in proportion, cut to whole pixels as transformers does."""
    if height <= width:
        return edge, int(edge * width / height)
    return int(edge * height / width), edge
