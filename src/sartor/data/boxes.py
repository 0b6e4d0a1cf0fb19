"""Boxes in cells: the objects in an image, each with a label, as every form that the field writes becomes one.

    [{"label": "cat", "box": [xmin, ymin, xmax, ymax]}, ...]         `box`, `xyxy`: corners
    [{"category": "cat", "bbox": [x, y, width, height]}, ...]        `bbox`, `xywh`: as COCO has them
    [{"name": "cat", "xmin": 3, "ymin": 4, "xmax": 9, "ymax": 9}]    or left, top, right, bottom; or x, y, width, height
    {"bbox": [[x, y, width, height], ...], "category": [...]}        as `datasets` has them

All in pixels. A table with a box in every row (`filename, class, xmin, ymin, xmax, ymax`) becomes one with an image in
every row.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sartor.errors import BadInput, one_line

if TYPE_CHECKING:
    from sartor.data.table import Table

OBJECTS = ("objects", "annotations", "boxes", "bboxes")
"""Names of columns of boxes, the usual one first."""
PICTURES = ("image", "filename", "file_name", "image_path", "img", "path", "file", "image_id", "imageid")
LABELS = ("label", "category", "class", "name", "category_name", "class_name", "label_name", "category_id")
CORNERS = ("box", "xyxy")
SIZED = ("bbox", "xywh")
SPELLED = (
    (("xmin", "ymin", "xmax", "ymax"), False),
    (("left", "top", "right", "bottom"), False),
    (("x1", "y1", "x2", "y2"), False),
    (("x_min", "y_min", "x_max", "y_max"), False),
    (("x", "y", "width", "height"), True),
    (("x", "y", "w", "h"), True),
    (("left", "top", "width", "height"), True),
    (("bbox_x", "bbox_y", "bbox_width", "bbox_height"), True),
)
"""Four keys or columns, and whether the last two are a width and a height."""
ONLY = "object"
"""The label where none is given."""
IMAGES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff")


class Box(NamedTuple):
    """Corners in pixels from the upper left; `crowd`: many objects under one box, which are neither learned nor
    counted."""

    label: str
    left: float
    top: float
    right: float
    bottom: float
    crowd: bool = False


def recognised(cell: Any) -> bool:
    """Whether a cell holds boxes: a list of objects that have one each, or lists of boxes and of labels."""
    if isinstance(cell, list | tuple):
        return bool(cell) and all(isinstance(one, Mapping) and _keys(one) is not None for one in cell)
    return isinstance(cell, Mapping) and any(isinstance(cell.get(name), list) for name in (*CORNERS, *SIZED))


def box_lists(table: Table, name: str, declared: Sequence[str] = ()) -> list[list[Box] | None]:
    """Each cell as boxes; a number in place of a label is the place of one in `declared`. Raises `BadInput`."""
    return [_boxes(cell, table.place(i), declared) for i, cell in enumerate(table.columns[name])]


def labels_of(values: Collection[Any]) -> list[str]:
    """Every label, once for each box of rows; crowds are left out."""
    return [box.label for boxes in values for box in boxes or () if not box.crowd]


def _boxes(cell: Any, where: str, declared: Sequence[str]) -> list[Box] | None:
    if cell is None or cell == "":
        return None
    objects = _objects(_parsed(cell, where), where)
    return [
        one if isinstance(one, Box) else _box(one, f"object {i}", where, declared) for i, one in enumerate(objects, 1)
    ]


def _parsed(cell: Any, where: str) -> Any:
    if not isinstance(cell, str):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        raise _unlike(where) from None


def _objects(cell: Any, where: str) -> list[Any]:
    """The objects of a cell one by one."""
    if isinstance(cell, Mapping):
        lists = {key: value for key, value in cell.items() if isinstance(value, list | tuple)}
        lengths = {len(value) for value in lists.values()}
        if len(lengths) > 1:
            said = f"there are {' and '.join(f'{len(v)} {k}' for k, v in lists.items())}"
            raise BadInput("BOX_LISTS", said, fix="give every box one label", where=where)
        if not lists:
            raise _unlike(where)
        return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
    if not isinstance(cell, list | tuple) or not all(isinstance(one, Mapping | Box) for one in cell):
        raise _unlike(where)
    return list(cell)


def _unlike(where: str) -> BadInput:
    fix = 'write a list such as [{"label": "cat", "box": [xmin, ymin, xmax, ymax]}]; [] for an image without any'
    return BadInput("BOX_LIST", "the cell holds no list of boxes", fix=fix, where=where)


def _box(one: Mapping[str, Any], what: str, where: str, declared: Sequence[str]) -> Box:
    keys = _keys(one)
    if keys is None:
        found = ", ".join(f"'{one_line(str(k))[:20]}'" for k in one) or "nothing"
        fix = "give it 'box' (xmin, ymin, xmax, ymax) or 'bbox' (x, y, width, height), in pixels"
        raise BadInput("BOX_KEYS", f"{what} has no box, only {found}", fix=fix, where=where)
    named, sized = keys
    values = list(one[named[0]]) if len(named) == 1 else [one[key] for key in named]
    if len(values) != 4:
        raise BadInput("BOX_NUMBERS", f"the box of {what} has {len(values)} numbers", fix="give four", where=where)
    a, b, c, d = (_number(v, what, where) for v in values)
    corners = (a, b, a + c, b + d) if sized else (a, b, c, d)
    crowd = one.get("iscrowd", one.get("crowd", False))
    return Box(_label(one, what, where, declared), *corners, crowd=bool(crowd))


def _keys(one: Mapping[str, Any]) -> tuple[tuple[str, ...], bool] | None:
    """The keys that a box stands under, and whether it is given by a width and a height."""
    for name in (*CORNERS, *SIZED):
        if isinstance(one.get(name), list | tuple):
            return (name,), name in SIZED
    return next(((names, sized) for names, sized in SPELLED if set(names) <= one.keys()), None)


def _number(value: Any, what: str, where: str) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found) or isinstance(value, bool):
        shown = f"'{one_line(str(value))[:20]}' in the box of {what} is no number"
        said = f"a number of the box of {what} is missing" if value in (None, "") else shown
        raise BadInput("BOX_NUMBERS", said, fix="give four numbers, in pixels", where=where)
    return found


def _label(one: Mapping[str, Any], what: str, where: str, declared: Sequence[str]) -> str:
    key = next((key for key in LABELS if key in one), None)
    value = ONLY if key is None else one[key]
    if value is None or value == "":
        raise BadInput("BOX_LABEL", f"{what} has no label", fix="name what is in the box", where=where)
    if isinstance(value, int) and not isinstance(value, bool) and declared:
        if not 0 <= value < len(declared):
            said = f"{what} has the label number {value}, and {len(declared)} labels are named"
            raise BadInput("BOX_LABEL", said, fix="name every label in order with --labels", where=where)
        return declared[value]
    if not isinstance(value, str | int):
        said = f"the label of {what} is no text"
        raise BadInput("BOX_LABEL", said, fix="name what is in the box with a text", where=where)
    return str(value)


def gathered(table: Table) -> Table:
    """A table that has a box in every row, with an image in every row; any other as it is."""
    known = {name.strip().casefold(): name for name in table.columns}
    picture = next((known[name] for name in PICTURES if name in known and _names_pictures(table, known[name])), None)
    spelled = next((s for s in SPELLED if set(s[0]) <= known.keys()), None)
    if picture is None or spelled is None or any(name in known for name in OBJECTS):
        return table
    label = next((known[name] for name in LABELS if name in known and known[name] != picture), None)
    sides = [known[name] for name in spelled[0]]
    objects: dict[str, list[Any]] = {}
    first: dict[str, int] = {}
    for i, name in enumerate(table.columns[picture]):
        values = [table.columns[side][i] for side in sides]
        first.setdefault(name, i)
        objects.setdefault(name, [])
        if any(v is not None and v != "" for v in values):
            said = dict(zip(spelled[0], values, strict=True)) | (
                {} if label is None else {"label": table.columns[label][i]}
            )
            objects[name].append(_box(said, "the row", table.place(i), ()))
    kept = [name for name in table.columns if name not in {picture, label, *sides, *_of_images(known)}]
    places = list(first.values())
    columns: dict[str, list[Any]] = {picture: list(first)}
    columns |= {name: [table.columns[name][i] for i in places] for name in kept}
    return replace(
        table, columns={**columns, OBJECTS[0]: list(objects.values())}, lines=np.asarray(table.lines)[places]
    )


def _of_images(known: Mapping[str, str]) -> list[str]:
    """Columns with the sizes of images, which the images themselves say."""
    return [known[name] for name in ("width", "height") if name in known]


def _names_pictures(table: Table, column: str) -> bool:
    values = table.columns[column]
    return bool(values) and all(isinstance(v, str) and v.lower().endswith(IMAGES) for v in values)
