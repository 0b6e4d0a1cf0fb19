"""Object detection: the objects in an image, each with a class and a box.

Scored as COCO is (Lin et al. 2014, arXiv 1405.0312): average precision over ten overlaps, by pycocotools.

Legend: N rows, B batch, P places or queries of an image, U = B P, M boxes that are there, padded, C classes, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from sartor.classical import average_precision, boxing
from sartor.data.boxes import OBJECTS, PICTURES, labels_of
from sartor.data.hints import Hints
from sartor.data.inputs import inputs
from sartor.errors import BadInput
from sartor.part import learned
from sartor.predictions import Integers, Predictions, Scores
from sartor.reading import Reading
from sartor.task import Task
from sartor.telling import Telling

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sartor.batch import Batch
    from sartor.body import Body
    from sartor.data.rows import Rows

STEPS, AT_ONCE, RATE = 150, 8, 5e-3
"""Updates of a head on frozen features, images in each, and their highest rate."""
CANDIDATES = 300
"""Boxes of an image that are looked at, before those that overlap better ones go."""


class _Boxed(Reading):
    """A column of images and one of boxes, under the names that the field gives them."""

    def claims(self, columns: Collection[str], hints: Hints) -> bool:
        boxes = _named(columns, OBJECTS)
        unlike = hints.target not in (None, boxes) or hints.kinds.get(str(boxes), "boxes") != "boxes"
        return bool(boxes and _named(columns, PICTURES)) and not unlike

    def hinted(self, columns: Collection[str], hints: Hints) -> Hints:
        target = hints.target or _named(columns, OBJECTS)
        if target is None or target in hints.kinds:
            return replace(hints, target=target)
        ignored = [name for name in columns if name.strip().casefold() in ("width", "height")]
        known = {target, hints.group, hints.time, *hints.text, *hints.kinds, *hints.ignore}
        ignore = (*hints.ignore, *(name for name in ignored if name not in known))
        reasons = {**hints.reasons, target: "the objects in each image"}
        return replace(hints, target=target, kinds={**hints.kinds, target: "boxes"}, reasons=reasons, ignore=ignore)


class _Boxes(Telling):
    """Boxes in pixels of the image as it was given, set upright."""

    def notes(self, task: Task) -> tuple[str, ...]:
        return (
            f"Boxes are left, top, right, bottom in pixels; those with a score of at least {boxing.SHOWN:g} are told.",
            "Where the model is no DETR or YOLOS, plain transformers opens its trunk alone: what stands behind it lies "
            "in sartor/finder.safetensors, and Sartor reads it.",
        )

    def told(self, predictions: Predictions, rows: Rows) -> list[dict[str, Any]]:
        """`prediction`: the boxes that are sure enough, the surest first; `image`: which they are in."""
        media = inputs(rows, {"image"})["image"]
        return [
            {
                "prediction": [{"label": o.label, "score": round(o.score, 4), "box": _rounded(o.box)} for o in each],
                "image": str(one),
            }
            for each, one in zip(boxing.told(predictions), media, strict=True)
        ]

    def mistakes(self, predictions: Predictions, rows: Rows, most: int) -> list[dict[str, Any]]:
        """The images whose boxes were found worst, each with a small picture and both sets of boxes."""
        return boxing.worst(predictions, rows, most)

    def by_label(self, predictions: Predictions, rows: Rows) -> list[dict[str, Any]]:
        """Each class: how many boxes there are, how many were told, and how well."""
        return boxing.by_class(predictions, rows)


@dataclass(frozen=True, kw_only=True)
class ObjectDetection(Task):
    """Which objects there are, and where.

    The loss of an image is summed over its boxes, in units of the boxes of a usual training image."""

    layout: ClassVar[str] = "boxes"
    reading: ClassVar[Reading] = _Boxed(frozenset({"boxes"}))
    telling: ClassVar[Telling] = _Boxes("object-detection")

    overlap: float = 0.6
    """Of two boxes of one class that overlap more (intersection over union), the surer one alone is an answer."""
    labels: tuple[str, ...] = learned(())
    """The classes."""
    mean_boxes: float = learned(1.0)
    """Boxes in a training image."""

    def __post_init__(self) -> None:
        if not 0 < self.overlap <= 1:
            fix = "give a number above 0 and at most 1"
            raise BadInput("VALUE_RANGE", f"object_detection.overlap is {self.overlap:g}", fix=fix)

    def metrics(self) -> tuple[str, ...]:
        return (*average_precision.metrics(), "image_ap")

    def learn(self, rows: Rows) -> Self:
        average_precision.require()
        targets = rows.targets()
        if targets is None:
            said = "the rows have no target column"
            raise BadInput("LABEL_COLUMN", said, fix="pass --target NAME", where=rows.source)
        every = labels_of(targets)
        if not every:
            fix = "add images with boxes, or pass another --target"
            raise BadInput("LABEL_SINGLE", "no image has a box", fix=fix, where=rows.source)
        labels = rows.schema.labels or tuple(sorted(set(every)))
        return self.with_settings(labels=labels, mean_boxes=max(1.0, len(every) / len(rows)))

    def encode(self, rows: Rows, body: Body) -> Batch:
        import torch

        batch = replace(body.encode(inputs(rows, body.reads)), rows=torch.from_numpy(rows.numbers))
        if rows.targets() is None:
            return batch
        there = torch.from_numpy(boxing.shares(rows, self.labels).astype(np.float32))
        return replace(batch, dense={**batch.dense, "boxes": there})

    def head(self, body: Body) -> nn.Module:
        return body.finder(len(self.labels))

    def solve(self, features: Tensor, batch: Batch, head: nn.Module, seed: int) -> dict[str, Any]:
        """The loss itself, descended by the head alone: which place answers which box changes on the way, so that
        there is no one optimum to solve for."""
        from sartor.engine import boxes
        from sartor.engine.box_head import descend

        known, each = batch.dense["boxes"], features.view(len(batch), -1, features.shape[-1])

        def loss(where: Tensor) -> Tensor:
            said = head(each[where].flatten(0, 1))
            return boxes.losses(said, known[where], len(self.labels), self.mean_boxes).mean()

        return {"steps": STEPS, "loss": descend(head, loss, len(batch), STEPS, AT_ONCE, RATE, seed)}

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """(B,)"""
        from sartor.engine import boxes

        known = batch.dense["boxes"].to(outputs.device)
        return boxes.losses(outputs, known, len(self.labels), self.mean_boxes)

    def answer(self, outputs: Tensor, rows: Rows) -> Predictions:
        """The surest boxes of each image, each with how probable every class is in it."""
        from sartor.engine.boxes import Said

        said = Said.of(outputs, len(rows))
        scores = said.scores(len(self.labels))
        most = 1.0 if said.queries else self.overlap  # a set repeats nothing
        found = [_finding(scores[b], said.boxes[b], most) for b in range(len(rows))]
        return boxing.answers(rows, self.labels, found)

    def score(self, predictions: Predictions, rows: Rows) -> Scores:
        """Average precision first: over all overlaps, then at 0.5 and at 0.75; `image_ap` is the mean over images of
        what each has by itself, and what runs are judged by."""
        judged = self._judged(predictions, rows)
        everywhere, each = np.ones(len(rows)), judged.by_image()
        values = {name: judged.value(everywhere, part) for name, part in average_precision.metrics().items()}
        return Scores({**values, "image_ap": float(each.mean())}, {"image_ap": each}, 1.0 - each)

    def metric(self, name: str, predictions: Predictions, rows: Rows) -> Callable[[Integers], float]:
        judged, part = self._judged(predictions, rows), average_precision.metrics().get(name)
        if part is None:
            each = judged.by_image()
            return lambda where: float(each[where].mean())
        return lambda where: judged.value(np.bincount(where, minlength=judged.images).astype(np.float64), part)

    def describe(self) -> dict[str, Any]:
        return {
            "num_labels": len(self.labels),
            "id2label": dict(enumerate(self.labels)),
            "label2id": {label: i for i, label in enumerate(self.labels)},
        }

    def _judged(self, predictions: Predictions, rows: Rows) -> average_precision.Found:
        return average_precision.found(predictions, boxing.known(rows), self.labels)


def _finding(scores: Tensor, boxes: Tensor, most: float) -> boxing.Finding:
    """(P, C) scores, (P, 4) boxes -> the answers of one image: a place may answer with several classes."""
    from sartor.engine.boxes import apart

    classes = scores.shape[-1]
    best = scores.flatten().topk(min(CANDIDATES, scores.numel()))
    best_at = best.indices[best.values >= boxing.LEAST]
    place, kind = best_at // classes, best_at % classes
    kept = apart(boxes[place], scores[place, kind], kind, most)[: average_precision.MOST]
    corners, chances = (values[place[kept]].double().numpy() for values in (boxes, scores))
    return corners, chances, kind[kept].numpy()


def _rounded(box: tuple[float, ...]) -> list[float]:
    return [round(v, 1) for v in box]


def _named(columns: Collection[str], names: Collection[str]) -> str | None:
    """The column of one of these names, the first of them first."""
    known = {column.strip().casefold(): column for column in columns}
    return next((known[name] for name in names if name in known), None)
