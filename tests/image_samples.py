"""Small images for the tests: coloured shapes whose shape is the label."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sartor.data.boxes import Box
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


def by_class(folder: Path, count: int = 12, seed: int = 0) -> Path:
    """`folder/SHAPE/0.png` and so on, `count` of each shape."""
    draw = np.random.default_rng(seed)
    for shape in SHAPES:
        (folder / shape).mkdir(parents=True)
        for i in range(count):
            picture(shape, draw).save(folder / shape / f"{i}.png")
    return folder


def boxed(count: int = 40, seed: int = 0, size: int = 64) -> Rows:
    """Images of none, one or two shapes that lie apart, each with its box and its name."""
    draw = np.random.default_rng(seed)
    images, objects = [], []
    for i in range(count):
        ground = Image.fromarray(draw.integers(0, 60, (size, size, 3)).astype(np.uint8))
        boxes = []
        for k in range(0 if i == 1 else int(draw.integers(1, 3))):
            label = SHAPES[int(draw.integers(len(SHAPES)))]
            side = int(draw.integers(16, 28))
            left, top = int(draw.integers(0, size // 2 - side + 1)) + k * size // 2, int(draw.integers(0, size - side))
            ground.paste(_filling(label, side, draw), (left, top))
            boxes.append(Box(label, float(left), float(top), float(left + side), float(top + side)))
        images.append(ground)
        objects.append(boxes)
    held = [Media(f"{i}.png", Held(encoded(image))) for i, image in enumerate(images)]
    schema = Schema((Column("image", "image", "given"), Column("objects", "boxes", "given")), "objects", ("image",))
    numbers = np.arange(count)
    return Rows(schema, {"image": held, "objects": objects}, numbers + 7, numbers + 8, "sample")


def _filling(label: str, side: int, draw: np.random.Generator) -> Image.Image:
    """A patch that a shape fills from border to border, each in a colour of its own."""
    y, x = np.mgrid[:side, :side]
    inside = {
        "disc": (y - side / 2) ** 2 + (x - side / 2) ** 2 < side**2 / 4,
        "bar": (y + x) >= 0,
        "frame": ~((y > 3) & (y < side - 4) & (x > 3) & (x < side - 4)),
    }[label]
    patch = draw.integers(0, 60, (side, side, 3))
    patch[inside] = np.array({"disc": (230, 60, 60), "bar": (60, 230, 60), "frame": (80, 80, 240)}[label])
    return Image.fromarray(patch.astype(np.uint8))


def write_boxed(folder: Path, rows: Rows) -> list[dict[str, Any]]:
    """The images below `folder`, and what a JSONL file says of each."""
    folder.mkdir(parents=True, exist_ok=True)
    said = []
    for media, boxes in zip(rows.columns["image"], rows.columns["objects"], strict=True):
        (folder / media.name).write_bytes(media.read())
        said.append({"image": media.name, "objects": [{"label": b.label, "box": list(b[1:5])} for b in boxes]})
    return said


PICTURED = {
    "pictures, one label": pictured,
    "pictures, several labels": tinted,
    "pictures, a number": shaded,
    "pictures, boxes": boxed,
}
