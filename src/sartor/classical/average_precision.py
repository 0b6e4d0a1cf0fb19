"""Average precision of boxes, as COCO measures it (Lin et al. 2014, arXiv 1405.0312).

Which box was found by which is pycocotools' finding, once; everything else is sums over that, so that resampling images
costs no new matching.

Legend: N images, C classes, T overlaps (0.5, 0.55, ... 0.95), D detections of one class, best first.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.data.boxes import Box
from sartor.errors import BadEnvironment
from sartor.predictions import Floats, Integers, Predictions

OVERLAPS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MOST = 100
"""Detections of a class that count in one image."""


@dataclass(frozen=True)
class OfClass:
    """What was said of a class: score (D,), image (D,) its number, hit and miss (T, D) 1 where a box was found or none
    is there, which a detection of a crowd is neither; there (N,) boxes in each image."""

    score: Floats
    image: Integers
    hit: NDArray[np.bool_]
    miss: NDArray[np.bool_]
    there: Floats


@dataclass(frozen=True)
class Found:
    """The classes of N images."""

    classes: tuple[OfClass, ...]
    images: int

    def value(self, times: Floats, overlaps: slice) -> float:
        """The mean over classes that are there, and over overlaps, where image i counts `times[i]`."""
        each = [_precision(one, times, overlaps) for one in self.classes]
        known = [p for p in each if p is not None]
        return float(np.mean(known)) if known else float("nan")

    def by_image(self) -> Floats:
        """(N,) the average precision of each image by itself, its classes together; of one without boxes how far its
        surest detection is from sure."""
        image, score = (np.concatenate([getattr(c, name) for c in self.classes]) for name in ("image", "score"))
        hit, miss = (np.concatenate([getattr(c, name) for c in self.classes], 1) for name in ("hit", "miss"))
        there = np.sum([c.there for c in self.classes], 0)
        out = np.empty(self.images)
        for i in range(self.images):
            mine = np.flatnonzero(image == i)
            mine = mine[np.argsort(-score[mine], kind="stable")]
            alone = OfClass(score[mine], np.zeros(len(mine), np.int64), hit[:, mine], miss[:, mine], there[i : i + 1])
            said = _precision(alone, np.ones(1), slice(None))
            out[i] = float(said.mean()) if said is not None else 1.0 - float(score[mine].max(initial=0.0))
        return out


def metrics() -> dict[str, slice]:
    """name -> the overlaps that it is the mean of."""
    return {"map": slice(None), "ap50": slice(0, 1), "ap75": slice(5, 6)}


def found(said: Predictions, known: Sequence[Sequence[Box]], labels: Sequence[str]) -> Found:
    """`known`: the boxes of each image, crowds among them."""
    judged = _matched(said, known, labels)
    return Found(tuple(_of_class(judged, k, len(known)) for k in range(len(labels))), len(known))


def require() -> Any:
    """pycocotools' evaluation, or one sentence that says how to get it."""
    try:
        import pycocotools.cocoeval
    except ImportError:
        fix = 'pip install "sartor[detection]"'
        said = "boxes are scored by pycocotools, which is not installed"
        raise BadEnvironment("PYCOCOTOOLS_MISSING", said, fix=fix) from None
    return pycocotools.cocoeval.COCOeval


def _matched(said: Predictions, known: Sequence[Sequence[Box]], labels: Sequence[str]) -> Any:
    """pycocotools after it has compared every image; its numbers begin at 1, since it takes 0 for "none"."""
    evaluation = require()
    number = {label: k for k, label in enumerate(labels, 1)}
    images = [{"id": i} for i in range(1, len(known) + 1)]
    there = [
        _entry(i, number[box.label], box[1:5]) | {"iscrowd": int(box.crowd)}
        for i, boxes in enumerate(known, 1)
        for box in boxes
        if box.label in number
    ]
    assert said.offsets is not None and said.boxes is not None and said.probabilities is not None
    each = np.repeat(np.arange(1, len(known) + 1), np.diff(said.offsets))
    names = [label for value in said.values for label in value]
    scores: Any = said.probabilities[np.arange(len(names)), [number[name] - 1 for name in names]] if names else []
    detected = [
        _entry(int(i), number[name], box) | {"score": float(score)}
        for i, name, box, score in zip(each, names, said.boxes, scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):  # it tells its progress
        made = evaluation(*(_data(images, part, number) for part in (there, detected)), "bbox")
        made.params.areaRng, made.params.areaRngLbl = made.params.areaRng[:1], made.params.areaRngLbl[:1]
        made.params.maxDets, made.params.iouThrs = [MOST], OVERLAPS
        made.evaluate()
    return made


def _entry(image: int, kind: int, box: Sequence[float] | Floats) -> dict[str, Any]:
    left, top, right, bottom = map(float, box)
    wide, high = right - left, bottom - top
    return {"image_id": image, "category_id": kind, "bbox": [left, top, wide, high], "area": wide * high, "iscrowd": 0}


def _data(images: list[dict[str, Any]], entries: list[dict[str, Any]], number: dict[str, int]) -> Any:
    from pycocotools.coco import COCO

    made = COCO()
    numbered = [{**entry, "id": i} for i, entry in enumerate(entries, 1)]
    made.dataset = {"images": images, "annotations": numbered, "categories": [{"id": k} for k in number.values()]}
    made.createIndex()
    return made


def _of_class(judged: Any, k: int, images: int) -> OfClass:
    """The k-th class, of what lies class by class, image by image."""
    mine = judged.evalImgs[k * images : (k + 1) * images]
    there = np.zeros(images)
    parts: list[tuple[Any, ...]] = [(np.empty(0), np.empty(0, np.int64), *(np.empty((len(OVERLAPS), 0), bool),) * 2)]
    for i, one in enumerate(mine):
        if one is None:
            continue
        there[i] = np.count_nonzero(np.asarray(one["gtIgnore"]) == 0)
        hit, left_out = one["dtMatches"] > 0, one["dtIgnore"].astype(bool)
        score = np.asarray(one["dtScores"], dtype=np.float64)
        parts.append((score, np.full(len(score), i), hit & ~left_out, ~hit & ~left_out))
    score, image, hit, miss = (np.concatenate(part, -1) for part in zip(*parts, strict=True))
    order = np.argsort(-score, kind="mergesort")
    return OfClass(score[order], image[order], hit[:, order], miss[:, order], there)


def _precision(one: OfClass, times: Floats, overlaps: slice) -> Floats | None:
    """(T',) the mean precision at 101 recalls, each the highest from that recall on; None where nothing is there."""
    total = float((one.there * times).sum())
    if total == 0:
        return None
    weight = times[one.image]
    right, wrong = ((part[overlaps] * weight).cumsum(1) for part in (one.hit, one.miss))
    precision = right / np.maximum(right + wrong, np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
    out = np.zeros((len(right), len(RECALLS)))
    for t, recall in enumerate(right / total):
        place = np.searchsorted(recall, RECALLS, side="left")
        inside = place < len(recall)
        out[t, inside] = precision[t, place[inside]]
    return np.asarray(out.mean(1))
