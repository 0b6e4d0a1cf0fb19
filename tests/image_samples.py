"""Small images for the tests: coloured shapes whose shape is the label."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sartor.data.media import Held, Media
from sartor.data.rows import Column, Kind, Rows, Schema

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


def rows_of(images: list[Image.Image], label: list[Any], kind: Kind) -> Rows:
    held = [Media(f"{i}.png", Held(encoded(image))) for i, image in enumerate(images)]
    schema = Schema((Column("image", "image", "given"), Column("label", kind, "given")), "label", ("image",))
    numbers = np.arange(len(images))
    return Rows(schema, {"image": held, "label": label}, numbers + 7, numbers + 8, "sample")


def pictured(count: int = 60, seed: int = 0, labels: tuple[str, ...] = SHAPES) -> Rows:
    """Images of one shape; its name is the label."""
    draw = np.random.default_rng(seed)
    said = [labels[i] for i in draw.integers(len(labels), size=count)]
    return rows_of([picture(s, draw) for s in said], said, "category")


def tinted(count: int = 60, seed: int = 0) -> Rows:
    """Images whose colours decide which labels they have: none, one or several."""
    draw = np.random.default_rng(seed)
    said = [[c for c in ("red", "green", "blue") if draw.random() < 0.4] for _ in range(count)]
    images = []
    for labels in said:
        pixels = draw.integers(0, 60, (24, 24, 3))
        pixels[:, :, [("red", "green", "blue").index(c) for c in labels]] += 150
        images.append(Image.fromarray(pixels.astype(np.uint8)))
    return rows_of(images, said, "labels")


def shaded(count: int = 60, seed: int = 0) -> Rows:
    """Images whose brightness decides a number, from 1000 to 1020."""
    draw = np.random.default_rng(seed)
    light = draw.random(count)
    images = [Image.fromarray((draw.integers(0, 55, (24, 24, 3)) + 200 * v).astype(np.uint8)) for v in light]
    return rows_of(images, [1000 + 20 * float(v) for v in light], "number")


PICTURED = {"pictures, one label": pictured, "pictures, several labels": tinted, "pictures, a number": shaded}


def by_class(folder: Path, count: int = 12, seed: int = 0) -> Path:
    """`folder/SHAPE/0.png` and so on, `count` of each shape."""
    draw = np.random.default_rng(seed)
    for shape in SHAPES:
        (folder / shape).mkdir(parents=True)
        for i in range(count):
            picture(shape, draw).save(folder / shape / f"{i}.png")
    return folder
