"""Boxes as answers: sizes of images, what was found in each, and how it is told. Legend: N rows, C classes, K boxes of
a row, U of all rows."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sartor.classical.average_precision import Found, found
from sartor.data import pictures
from sartor.data.boxes import Box
from sartor.data.inputs import inputs
from sartor.errors import BadInput
from sartor.predictions import Floats, Integers, Predictions

if TYPE_CHECKING:
    from sartor.data.rows import Rows

SHOWN = 0.3
"""How sure a box is at least that is told to people; scores are over all."""
LEAST = 0.01
"""Boxes that are less sure are no answers at all."""
THUMB = 360
"""Pixels of the longer side of an image in a report."""
PICTURED = 12
"""Images in a report."""

Finding = tuple[Floats, Floats, Integers]
"""Of one row: (K, 4) corners in shares of the image, (K, C) probabilities, (K,) the class that each box is said of."""


def sizes(rows: Rows) -> Floats:
    """(N, 2) width and height of each image, in pixels."""
    media = inputs(rows, {"image"})["image"]
    return np.array([pictures.size(one) for one in media], dtype=np.float64).reshape(-1, 2)


def known(rows: Rows) -> list[list[Box]]:
    """The boxes of each row. Raises `BadInput` where rows have none at all."""
    targets = rows.targets()
    if targets is None:
        fix = "use `sartor predict` for images without boxes"
        raise BadInput("EVAL_NO_LABELS", "the rows have no boxes to score against", fix=fix, where=rows.source)
    return [list(boxes or ()) for boxes in targets]


def shares(rows: Rows, labels: Sequence[str]) -> Floats:
    """(N, M, 5) class, -1 where padded, and corners in shares of each image, cut at its borders; without crowds."""
    place = {label: i for i, label in enumerate(labels)}
    each = [[box for box in boxes if not box.crowd] for boxes in known(rows)]
    out = np.full((len(rows), max(1, *map(len, each)) if each else 1, 5), -1.0)
    for i, (boxes, size) in enumerate(zip(each, sizes(rows), strict=True)):
        for j, box in enumerate(boxes):
            if box.label not in place:
                shown = ", ".join(labels[:10]) + (", ..." if len(labels) > 10 else "")
                fix = "correct the row, or train with rows that have this class"
                said = f"the class '{box.label}' is not one of: {shown}"
                raise BadInput("LABEL_UNKNOWN", said, fix=fix, where=rows.place(i))
            corners = np.asarray(box[1:5], dtype=np.float64) / np.tile(size, 2)
            out[i, j] = [place[box.label], *corners.clip(0, 1)]
    return out


def answers(rows: Rows, labels: tuple[str, ...], findings: Sequence[Finding]) -> Predictions:
    """What was found, in pixels, the surest box of each row first."""
    values = np.empty(len(rows), dtype=object)
    boxes, chances = [np.empty((0, 4))], [np.empty((0, len(labels)))]
    for i, ((corners, p, kinds), size) in enumerate(zip(findings, sizes(rows), strict=True)):
        order = np.argsort(-p[np.arange(len(p)), kinds], kind="stable")
        values[i] = tuple(labels[k] for k in kinds[order])
        boxes.append(corners[order].clip(0, 1) * np.tile(size, 2))
        chances.append(p[order])
    ends = np.append(0, np.cumsum([len(value) for value in values])).astype(np.int64)
    return Predictions(rows.numbers, values, labels, np.concatenate(chances), ends, np.concatenate(boxes))


@dataclass(frozen=True)
class Told:
    """One box that was found: corners in pixels, and how sure it is."""

    label: str
    score: float
    box: tuple[float, ...]


def told(said: Predictions, least: float = SHOWN) -> list[list[Told]]:
    """(N,) the boxes of each row that are sure enough, the surest first."""
    assert said.offsets is not None and said.boxes is not None and said.probabilities is not None
    place = {label: k for k, label in enumerate(said.labels)}
    out = []
    for i, labels in enumerate(said.values):
        start = said.offsets[i]
        each = [
            Told(label, float(said.probabilities[start + j, place[label]]), tuple(said.boxes[start + j].tolist()))
            for j, label in enumerate(labels)
        ]
        out.append([one for one in each if one.score >= least])
    return out


def by_class(said: Predictions, rows: Rows) -> list[dict[str, Any]]:
    """Each class: how many boxes there are, how many were said that a person is told, and how well."""
    judged = found(said, known(rows), said.labels)
    out = []
    for label, one in zip(said.labels, judged.classes, strict=True):
        sure = one.score >= SHOWN
        hits, count = int(one.hit[0, sure].sum()), int((one.hit | one.miss)[0, sure].sum())
        there = int(one.there.sum())
        precision, recall = hits / max(1, count), hits / max(1, there)
        f1 = 2 * hits / max(1, count + there)
        out.append({"label": label, "count": there, "said": count, "precision": precision, "recall": recall, "f1": f1})
        alone = Found((one,), len(rows)).value(np.ones(len(rows)), slice(0, 1))
        out[-1] |= {"ap50": alone if alone == alone else None}
    return out


def worst(said: Predictions, rows: Rows, most: int) -> list[dict[str, Any]]:
    """The images whose boxes were found worst: a small picture, and both sets of boxes in its pixels."""
    judged = found(said, known(rows), said.labels).by_image()
    media, each = inputs(rows, {"image"})["image"], told(said)
    out = []
    for i in np.argsort(judged, kind="stable")[: min(most, PICTURED)].tolist():
        picture, scale = thumbnail(media[i])
        there = [[box.label, *(scale * v for v in box[1:5])] for box in known(rows)[i]]
        mine = [[one.label, one.score, *(scale * v for v in one.box)] for one in each[i]]
        row: dict[str, Any] = {
            "text": str(media[i]),
            "picture": picture,
            "label": there,
            "prediction": mine,
            "probability": None,
        }
        row["score"] = round(float(judged[i]), 3)
        out.append(row | {"row": int(rows.numbers[i]), "line": int(rows.lines[i])})
    return out


def thumbnail(media: Any) -> tuple[dict[str, Any], float]:
    """A small JPEG as a data URI with its size, and how many of its pixels one of the image's is."""
    image = pictures.opened(media)
    scale = min(1.0, THUMB / max(image.size))
    small = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=70)
    uri = "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode("ascii")
    return {"uri": uri, "width": small.width, "height": small.height}, scale
