"""Small images for the tests: coloured shapes whose shape is the label."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from sartor.data.media import Held, Media
from sartor.data.rows import Column, Rows, Schema

SHAPES = ("bar", "disc", "frame")


def picture(label: str, draw: np.random.Generator, size: int = 24) -> Image.Image:
    """One shape, somewhere, in a light colour on a dark, noisy ground."""
    ground = draw.integers(0, 60, (size, size, 3))
    top, left, side = (int(v) for v in (*draw.integers(0, size // 3, 2), draw.integers(size // 3, size // 2 + 2)))
    y, x = np.mgrid[:size, :size]
    inside = (y >= top) & (y < top + side) & (x >= left) & (x < left + side)
    if label == "disc":
        inside = (y - top - side / 2) ** 2 + (x - left - side / 2) ** 2 < side**2 / 4
    elif label == "bar":
        inside &= (y - top) < max(2, side // 3)
    else:
        inside &= ~((y > top + 1) & (y < top + side - 2) & (x > left + 1) & (x < left + side - 2))
    ground[inside] = draw.integers(150, 255, 3)
    return Image.fromarray(ground.astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def pictured(count: int = 60, seed: int = 0) -> Rows:
    """Rows of an image and the name of its shape."""
    draw = np.random.default_rng(seed)
    said = [SHAPES[i] for i in draw.integers(len(SHAPES), size=count)]
    images = [Media(f"{s}/{i}.png", Held(encoded(picture(s, draw)))) for i, s in enumerate(said)]
    schema = Schema((Column("image", "image", "given"), Column("label", "category", "given")), "label", ("image",))
    return Rows(schema, {"image": images, "label": said}, np.arange(count) + 7, np.arange(count) + 8, "sample")


def by_class(folder: Path, count: int = 12, seed: int = 0) -> Path:
    """`folder/SHAPE/0.png` and so on, `count` of each shape."""
    draw = np.random.default_rng(seed)
    for shape in SHAPES:
        (folder / shape).mkdir(parents=True)
        for i in range(count):
            picture(shape, draw).save(folder / shape / f"{i}.png")
    return folder
