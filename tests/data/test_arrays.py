from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sartor.data.pictures import opened
from sartor.data.read import read
from sartor.errors import BadInput

DRAW = np.random.default_rng(0)
GREY = DRAW.integers(0, 256, (30, 8, 8), dtype=np.uint8)
COLOUR = DRAW.integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
LABELS = (np.arange(30) % 3)[:, None]


def saved(folder: Path, **arrays: Any) -> str:
    np.savez(folder / "a.npz", **arrays)
    return str(folder / "a.npz")


@pytest.mark.parametrize("images", [GREY, COLOUR])
def test_pixels_are_images_to_the_last_bit(images: Any, tmp_path: Path) -> None:
    rows = read(saved(tmp_path, images=images, labels=LABELS))
    assert rows.schema.inputs == ("image",)
    assert rows.column("label") == [str(i % 3) for i in range(30)]
    found = np.stack([np.asarray(opened(m)) for m in rows.column("image")])
    assert np.array_equal(found, images if images.ndim == 4 else np.repeat(images[..., None], 3, 3))


def test_of_several_parts_the_training_part_is_read_unless_another_is_named(tmp_path: Path) -> None:
    given = {"train_images": GREY, "train_labels": LABELS, "val_images": GREY[:5], "val_labels": LABELS[:5]}
    path = saved(tmp_path, **given)
    rows = read(path)
    assert len(rows) == 30
    assert len(read(f"{path}:val", like=rows.schema)) == 5
    with pytest.raises(BadInput) as raised:
        read(f"{path}:test")
    fix = "leave it out; it has the parts train, val"
    assert str(raised.value) == f"error[NPZ_PART]: {path}: there is no part 'test'. Fix: {fix}."


def test_several_labels_a_row_are_the_columns_that_are_on(tmp_path: Path) -> None:
    on = np.tile(np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]]), (10, 1))
    rows = read(saved(tmp_path, images=GREY, labels=on))
    assert rows.schema.kind("label") == "labels"
    assert list(rows.column("label"))[:3] == [["0", "2"], [], ["1"]]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "objects": (
        {"images": np.array([{"a": 1}], dtype=object)},
        "error[NPZ_ARRAY]: {path}: 'images.npy' is no array",
    ),
    "lengths": (
        {"images": GREY, "labels": LABELS[:5]},
        "error[NPZ_LENGTHS]: {path}: its arrays have different lengths: images (30, 8, 8), labels (5, 1). ",
    ),
    "shape": (
        {"images": GREY.astype(float), "labels": LABELS},
        "error[NPZ_SHAPE]: {path}: 'images' has the shape ",
    ),
    "no train": ({"val_images": GREY}, "error[NPZ_PART]: {path}: it has the parts val and none called train. "),
    "nothing": ({}, "error[NPZ_NONE]: {path}: there is no array in it. Fix: save it with numpy.savez."),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_one_sentence(name: str, tmp_path: Path) -> None:
    arrays, said = BAD[name]
    path = saved(tmp_path, **arrays)
    with pytest.raises(BadInput) as raised:
        read(path)
    assert str(raised.value).startswith(said.format(path=path))
