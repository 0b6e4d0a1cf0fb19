"""What every task that answers with boxes must do; test_tasks.py has those that answer rows as wholes or by tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from image_samples import boxed
from sartor.data.rows import Rows
from sartor.errors import BadInput
from sartor.part import part, part_from_json
from sartor.predictions import Predictions, better
from sartor.tasks.object_detection import ObjectDetection
from text_samples import served

ROWS = boxed(30)
TASK = ObjectDetection().learn(ROWS)


@pytest.fixture(scope="module", params=["places", "queries"])
def body(request: pytest.FixtureRequest, tiny_yolos: Path) -> Any:
    spelled = {"places": "detector:image_size=64", "queries": f"detector:path={tiny_yolos}"}[request.param]
    made: Any = part("backbones", spelled)
    return made.build("boxes").eval()


def perfect(rows: Rows = ROWS) -> Predictions:
    """Every box that is there, as sure as can be."""
    boxes = [b for row in rows.targets() or () for b in row]
    values = np.empty(len(rows), dtype=object)
    values[:] = [tuple(b.label for b in row) for row in rows.targets() or ()]
    chances = np.eye(len(TASK.labels))[[TASK.labels.index(b.label) for b in boxes]]
    ends = np.append(0, np.cumsum([len(v) for v in values])).astype(np.int64)
    return Predictions(rows.numbers, values, TASK.labels, chances, ends, np.array([b[1:5] for b in boxes]))


def shuffled() -> Predictions:
    turned = perfect().take(np.random.default_rng(1).permutation(len(ROWS)))
    return Predictions(ROWS.numbers, turned.values, turned.labels, turned.probabilities, turned.offsets, turned.boxes)


def noise(body: Any, rows: Rows) -> torch.Tensor:
    count = len(TASK.encode(rows, body).units(torch.arange(len(rows))))
    return torch.randn(count, body.width, generator=torch.Generator().manual_seed(0))


def test_a_perfect_answer_scores_the_best_there_is_and_a_shuffled_one_does_not() -> None:
    best, worse = TASK.score(perfect(), ROWS), TASK.score(shuffled(), ROWS)
    assert all(value == pytest.approx(1.0) for value in best.metrics.values())
    assert all(better(name, best.metrics[name], worse.metrics[name]) for name in best.metrics)
    assert best.metrics["map"] - worse.metrics["map"] > 0.5


def test_the_headline_comes_first_and_the_evidence_averages_to_its_metric() -> None:
    said = TASK.score(shuffled(), ROWS)
    assert tuple(said.metrics) == TASK.metrics()
    assert said.headline == "map"
    assert said.items[said.evidence].shape == said.losses.shape == (len(ROWS),)
    assert said.items[said.evidence].mean() == pytest.approx(said.metrics[said.evidence])


@pytest.mark.parametrize("name", TASK.metrics())
def test_a_metric_of_all_rows_is_the_score_and_resampled_rows_count_as_often_as_drawn(name: str) -> None:
    said = shuffled()
    metric = TASK.metric(name, said, ROWS)
    assert metric(np.arange(len(ROWS))) == pytest.approx(TASK.score(said, ROWS).metrics[name])
    drawn = np.random.default_rng(3).integers(0, len(ROWS), len(ROWS))
    assert metric(drawn) == pytest.approx(TASK.score(said.take(drawn), ROWS.take(drawn)).metrics[name], abs=1e-9)


def test_rows_are_encoded_and_answered_without_a_target(body: Any) -> None:
    without, with_boxes = TASK.encode(served(ROWS), body), TASK.encode(ROWS, body)
    assert "boxes" not in without.dense
    assert with_boxes.dense["boxes"].shape == (len(ROWS), 2, 5)
    assert torch.equal(without.dense["pixels"], with_boxes.dense["pixels"])
    said = TASK.answer(TASK.head(body)(noise(body, ROWS)).detach(), served(ROWS))
    assert said.rows.tolist() == ROWS.numbers.tolist()
    assert len(said.values) == len(ROWS)
    assert (said.boxes >= 0).all()
    assert (said.boxes <= 64).all()


def test_rows_without_a_target_are_neither_scored_nor_learned_from() -> None:
    with pytest.raises(BadInput, match=r"EVAL_NO_LABELS.* Fix: use `sartor predict`"):
        TASK.score(perfect(), served(ROWS))
    with pytest.raises(BadInput) as raised:
        ObjectDetection().learn(served(ROWS))
    said = "error[LABEL_COLUMN]: sample.csv: the rows have no target column. Fix: pass --target NAME."
    assert str(raised.value) == said


def test_predictions_survive_the_file(tmp_path: Path) -> None:
    said = shuffled()
    said.save(tmp_path / "said.parquet")
    again = Predictions.load(tmp_path / "said.parquet")
    assert list(again.values) == list(said.values)
    for name in ("rows", "probabilities", "offsets", "boxes"):
        np.testing.assert_array_equal(getattr(again, name), getattr(said, name))
    assert TASK.score(again, ROWS).metrics == TASK.score(said, ROWS).metrics


def test_the_loss_is_one_number_for_each_image_whatever_stands_beside_it(body: Any) -> None:
    batch, head = TASK.encode(ROWS, body), TASK.head(body)
    outputs = head(noise(body, ROWS)).detach()
    losses = TASK.loss(outputs, batch)
    assert losses.shape == (len(ROWS),)
    assert losses.isfinite().all()
    few = torch.tensor([4, 1, 7])
    torch.testing.assert_close(TASK.loss(outputs[batch.units(few)], batch.take(few)), losses[few])


def test_the_solved_head_is_better_than_the_head_as_it_is_made(body: Any) -> None:
    batch = TASK.encode(ROWS, body)
    with torch.no_grad():
        features = body(batch)
    head = TASK.head(body)
    before = float(TASK.loss(head(features), batch).detach().mean())
    chosen = TASK.solve(features, batch, head, 0)
    assert set(chosen) == {"steps", "loss"}
    assert float(TASK.loss(head(features), batch).detach().mean()) < 0.8 * before


def test_what_it_learned_survives_the_disk() -> None:
    assert part_from_json("tasks", json.loads(json.dumps(TASK.to_json()))) == TASK
    assert TASK.labels == ("bar", "disc", "frame")
    assert TASK.describe()["num_labels"] == 3


def test_what_is_told_are_the_surest_boxes_in_pixels() -> None:
    told = TASK.telling.told(perfect(), ROWS)
    first = ROWS.targets()[0]
    assert [o["label"] for o in told[0]["prediction"]] == [b.label for b in first]
    assert [o["box"] for o in told[0]["prediction"]] == [list(b[1:5]) for b in first]
    assert told[1] == {"prediction": [], "image": "1.png"}


def test_the_worst_images_come_with_a_picture_and_both_sets_of_boxes() -> None:
    wrong = TASK.telling.mistakes(shuffled(), ROWS, 50)
    assert 0 < len(wrong) <= 12
    assert wrong[0]["picture"]["uri"].startswith("data:image/jpeg;base64,")
    assert wrong[0]["score"] <= wrong[-1]["score"]
    assert len(wrong[0]["label"][0]) == 5
    assert json.loads(json.dumps(wrong)) == wrong


def test_each_class_is_told_of() -> None:
    found = {one["label"]: one for one in TASK.telling.by_label(perfect(), ROWS)}
    assert set(found) == set(TASK.labels)
    assert all(one["precision"] == one["recall"] == one["f1"] == one["ap50"] == 1.0 for one in found.values())
    assert sum(one["count"] for one in found.values()) == sum(map(len, ROWS.targets()))
