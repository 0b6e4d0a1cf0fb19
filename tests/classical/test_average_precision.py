"""Average precision: against pycocotools' own summary, with crowds, empty images and classes that are absent."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest

from sartor.classical import average_precision
from sartor.classical.average_precision import found, metrics, require
from sartor.data.boxes import Box
from sartor.errors import BadEnvironment
from sartor.predictions import Predictions

LABELS = ("a", "b", "c", "absent")


def sample(images: int, seed: int) -> tuple[Predictions, list[list[Box]]]:
    """Boxes with jittered copies, misses and inventions among what was said."""
    draw = np.random.default_rng(seed)
    known, labels, boxes, chances, counts = [], [], [], [], []
    for i in range(images):
        there = [] if i == 2 else [_box(draw, LABELS[int(draw.integers(3))]) for _ in range(int(draw.integers(1, 7)))]
        known.append([b._replace(crowd=bool(draw.random() < 0.1)) for b in there])
        said = [(b.label, np.array(b[1:5]) + draw.normal(0, 2, 4)) for b in there if draw.random() < 0.8]
        said += [
            (LABELS[int(draw.integers(4))], np.array(_box(draw, "x")[1:5])) for _ in range(int(draw.integers(0, 4)))
        ]
        counts.append(len(said))
        labels.append(tuple(label for label, _ in said))
        boxes += [box for _, box in said]
        chances += [np.eye(4)[LABELS.index(label)] * draw.random() for label, _ in said]
    values = np.empty(images, dtype=object)
    values[:] = labels
    ends = np.append(0, np.cumsum(counts)).astype(np.int64)
    return Predictions(np.arange(images), values, LABELS, np.array(chances), ends, np.array(boxes)), known


def _box(draw: np.random.Generator, label: str) -> Box:
    left, top = (float(v) for v in draw.uniform(0, 60, 2))
    wide, high = (float(v) for v in draw.uniform(10, 40, 2))
    return Box(label, left, top, left + wide, top + high)


def summary(said: Predictions, known: list[list[Box]]) -> dict[str, float]:
    """What pycocotools itself says, from its own loading to its own summary."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth: Any = COCO()
    place = {label: k for k, label in enumerate(LABELS, 1)}
    entries = [(i, b) for i, boxes in enumerate(known, 1) for b in boxes]
    truth.dataset = {
        "images": [{"id": i} for i in range(1, len(known) + 1)],
        "categories": [{"id": k} for k in place.values()],
        "annotations": [
            {
                "id": n,
                "image_id": i,
                "category_id": place[b.label],
                "bbox": [b.left, b.top, b.right - b.left, b.bottom - b.top],
                "area": (b.right - b.left) * (b.bottom - b.top),
                "iscrowd": int(b.crowd),
            }
            for n, (i, b) in enumerate(entries, 1)
        ],
    }
    assert said.offsets is not None and said.boxes is not None and said.probabilities is not None
    each = np.repeat(np.arange(1, len(known) + 1), np.diff(said.offsets))
    names = [label for value in said.values for label in value]
    detections = [
        {
            "image_id": int(i),
            "category_id": place[name],
            "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
            "score": float(p.max()),
        }
        for i, name, box, p in zip(each, names, said.boxes, said.probabilities, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        judged = COCOeval(truth, truth.loadRes(detections), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return dict(zip(("map", "ap50", "ap75"), judged.stats[:3], strict=True))


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_pycocotools_says(seed: int) -> None:
    said, known = sample(25, seed)
    judged, expected = found(said, known, LABELS), summary(said, known)
    for name, part in metrics().items():
        assert judged.value(np.ones(25), part) == pytest.approx(expected[name], abs=1e-12), name


def test_images_that_count_several_times_are_as_if_they_were_there_several_times() -> None:
    said, known = sample(12, 5)
    times = np.random.default_rng(0).integers(0, 3, 12)
    drawn = np.repeat(np.arange(12), times)
    expected = summary(said.take(drawn), [known[i] for i in drawn])
    judged = found(said, known, LABELS)
    for name, part in metrics().items():
        assert judged.value(times.astype(float), part) == pytest.approx(expected[name], abs=1e-12), name


def test_an_image_by_itself_is_judged_by_its_own_boxes() -> None:
    box = [0.0, 0.0, 10.0, 10.0]
    known = [[Box("a", *box)], [Box("a", *box)], [], []]
    values = np.empty(4, dtype=object)
    values[:] = [("a",), ("b",), (), ("a",)]
    chances = np.array([[0.9, 0.0], [0.0, 0.9], [0.7, 0.0]])
    said = Predictions(np.arange(4), values, ("a", "b"), chances, np.array([0, 1, 2, 2, 3]), np.array([box] * 3))
    assert found(said, known, ("a", "b")).by_image().tolist() == pytest.approx([1.0, 0.0, 1.0, 0.3])


def test_nothing_said_of_anything_is_worth_nothing() -> None:
    values = np.empty(2, dtype=object)
    values[:] = [(), ()]
    said = Predictions(np.arange(2), values, ("a",), np.empty((0, 1)), np.zeros(3, np.int64), np.empty((0, 4)))
    judged = found(said, [[Box("a", 0.0, 0.0, 9.0, 9.0)], []], ("a",))
    assert judged.value(np.ones(2), slice(None)) == 0.0
    assert judged.by_image().tolist() == [0.0, 1.0]
    assert np.isnan(found(said, [[], []], ("a",)).value(np.ones(2), slice(None)))


def test_without_pycocotools_a_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pycocotools.cocoeval", None)
    with pytest.raises(BadEnvironment) as raised:
        require()
    said = "error[PYCOCOTOOLS_MISSING]: boxes are scored by pycocotools, which is not installed. "
    assert str(raised.value) == said + 'Fix: pip install "sartor[detection]".'


def test_its_thresholds_are_cocos() -> None:
    from pycocotools.cocoeval import Params

    asked = Params(iouType="bbox")
    np.testing.assert_allclose(average_precision.OVERLAPS, asked.iouThrs)
    np.testing.assert_allclose(average_precision.RECALLS, asked.recThrs)
