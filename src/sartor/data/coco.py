"""COCO files -> a table: images, their boxes and the names of their classes (Lin et al. 2014, arXiv 1405.0312).

    {"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 3, "name": "cat"}],
     "annotations": [{"image_id": 1, "category_id": 3, "bbox": [x, y, width, height], "iscrowd": 0}]}

The images lie beside the file, in a folder `images` there, or in a zip archive there. An image without annotations is
one without boxes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sartor.data import files
from sartor.data.boxes import OBJECTS
from sartor.data.table import Table
from sartor.errors import BadInput, one_line

PARTS = ("images", "annotations", "categories")
GLANCE = 4096
NAMES = ("_annotations.coco.json", "annotations.json", "instances.json")
"""What such a file is called where it lies among its images."""


def recognised(path: Path, source: str) -> bool:
    """Whether a .json file holds one object with images and annotations, not one object a line."""
    if not path.name.lower().removesuffix(".gz").endswith(".json"):
        return False
    files.refuse_path(path, source)
    with files.opened(path, source, "jsonl") as stream:
        head = stream.read(GLANCE).decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if not head.startswith("{"):
        return False
    first = head.splitlines()[0].strip()
    alone = first.endswith("}") and "\n" in head.strip()
    return not alone and any(f'"{name}"' in head for name in (*PARTS, "info", "licenses"))


def inside(folder: Path) -> Path | None:
    """The file of annotations in a folder of images, where there is one."""
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)


def read(path: Path, source: str) -> Table:
    """A row for each image; raises `BadInput` for what refers to nothing."""
    found = _parsed(path, source)
    images = _by_id(found["images"], "image", source)
    categories = _by_id(found["categories"], "category", source)
    objects: dict[Any, list[dict[str, Any]]] = {number: [] for number in images}
    for i, one in enumerate(found["annotations"], 1):
        where = f"{source}: annotation {i}"
        image, category = one.get("image_id"), one.get("category_id")
        _known(image, images, "image", where)
        _known(category, categories, "category", where)
        if not isinstance(one.get("bbox"), list):
            raise BadInput("BOX_KEYS", "the annotation has no 'bbox'", fix="give it x, y, width, height", where=where)
        name = str(categories[category].get("name", category))
        objects[image].append({"label": name, "bbox": one["bbox"], "iscrowd": one.get("iscrowd", 0)})
    names = _placed([_name(image, source) for image in images.values()], path.parent)
    columns = {"image": names, OBJECTS[0]: list(objects.values())}
    return Table(source, columns, np.arange(1, len(names) + 1))


def _parsed(path: Path, source: str) -> dict[str, list[Any]]:
    with files.opened(path, source, "jsonl") as stream:
        content = b"".join(files.blocks(stream, source))
    try:
        found = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        said = f"this is no valid JSON ({one_line(str(error))[:80]})"
        raise BadInput("JSON_SYNTAX", said, fix="write the file again", where=source) from None
    for name in PARTS:
        part = found.get(name) if isinstance(found, Mapping) else None
        if not isinstance(part, list) or not all(isinstance(one, Mapping) for one in part):
            fix = "give images, annotations and categories, as COCO has them; or one object a line"
            raise BadInput("COCO_PARTS", f"the file has no list of {name}", fix=fix, where=source)
    if not found["images"]:
        raise BadInput("DATA_NO_ROWS", "the file names no image", fix="add images", where=source)
    return {name: found[name] for name in PARTS}


def _by_id(parts: list[Any], what: str, source: str) -> dict[Any, Any]:
    known = {one.get("id"): one for one in parts}
    if None in known:
        raise BadInput("COCO_ID", f"one {what} has no id", fix="give every one its own", where=source)
    if len(known) < len(parts):
        twice = next(number for number, count in Counter(one["id"] for one in parts).items() if count > 1)
        raise BadInput("COCO_ID", f"the {what} id {twice} stands twice", fix="give every one its own", where=source)
    return known


def _known(number: Any, known: Mapping[Any, Any], what: str, where: str) -> None:
    if number not in known:
        fix = f"correct its {what}_id, or add the {what}"
        raise BadInput("COCO_UNKNOWN", f"there is no {what} with the id {number}", fix=fix, where=where)


def _name(image: Mapping[str, Any], source: str) -> str:
    name = image.get("file_name")
    if not isinstance(name, str) or not name:
        said = f"the image {image['id']} has no file_name"
        raise BadInput("COCO_FILE", said, fix="name its file", where=source)
    return name


def _placed(names: list[str], folder: Path) -> list[Any]:
    """The names as they lead from the file's folder: some keep their images in a folder beside it."""
    if not (folder / names[0]).is_file() and (folder / "images" / names[0]).is_file():
        return [f"images/{name}" for name in names]
    return list(names)
