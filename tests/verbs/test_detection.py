"""Boxes through the verbs: from check to predict, with files as people have them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from image_samples import boxed, write_boxed

Sartor = Callable[..., Any]
NETWORK = "detector:image_size=64,augment=flip"
FAST = ("--set", "plan.max_steps=60", "--set", "plan.per_device_train_batch_size=8", "--set", "plan.precision=fp32")


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    """`shapes/train.jsonl` with its images beside it."""
    folder = tmp_path / "shapes"
    said = write_boxed(folder, boxed(90))
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in said), "utf-8")
    return folder


def test_check_and_init_know_a_file_of_boxes(sartor: Sartor, shapes: Path) -> None:
    found = json.loads(sartor("check", "shapes/train.jsonl", "--json").out)["result"]
    assert found["ok"]
    assert found["schema"]["target"] == "objects"
    assert found["schema"]["inputs"] == ["image"]
    assert found["classes"] == {
        label: sum(box.label == label for row in boxed(90).columns["objects"] for box in row)
        for label in ("bar", "disc", "frame")
    }
    drafted = sartor("init", "shapes/train.jsonl", "--dry-run").out
    assert "task: object_detection" in drafted
    assert "target: objects" in drafted


def test_a_drafted_configuration_is_checked_alike(sartor: Sartor, shapes: Path) -> None:
    assert sartor("init", "shapes/train.jsonl", "--out", "boxes.yaml").code == 0
    assert sartor("check", "--config", "boxes.yaml").code == 0


def test_a_wrong_box_stops_a_run_and_may_be_left_out(sartor: Sartor, shapes: Path) -> None:
    lines = (shapes / "train.jsonl").read_text("utf-8").splitlines()
    lines[4] = json.dumps({"image": "4.png", "objects": [{"label": "bar", "box": [30, 2, 9, 12]}]})
    (shapes / "train.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    refused = sartor("finetune", "shapes/train.jsonl", "--backbone", NETWORK, "--method", "full", "--out", "run")
    assert refused.code == 2
    assert refused.err == (
        "error[BOX_INVERTED]: shapes/train.jsonl:5: the box [30, 2, 9, 12] of 'bar' ends before it begins. "
        "Fix: correct the box, or leave it out; --skip-bad 1 leaves such rows out.\n"
    )
    assert not Path("run").exists()
    done = sartor("check", "shapes/train.jsonl", "--skip-bad", "1", "--json")
    assert done.code == 0
    assert json.loads(done.out)["result"]["rows"] == 89


def test_finetune_predict_and_evaluate(sartor: Sartor, shapes: Path) -> None:
    made = ("--backbone", NETWORK, "--method", "full", "--out", "run")
    done = sartor("finetune", "shapes/train.jsonl", *made, *FAST, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)["result"]
    assert told["task"] == "object_detection"
    assert told["losses"][-1][1] < told["losses"][0][1]
    assert told["metrics"]["ap50"] > 0.3
    readme = Path("run/bundle/README.md").read_text("utf-8")
    assert "pipeline_tag: object-detection" in readme
    assert sartor("predict", "run/bundle", "shapes", "--out", "said.jsonl").code == 0
    said = [json.loads(line) for line in Path("said.jsonl").read_text("utf-8").splitlines()]
    assert len(said) == 90
    found = [box for row in said for box in row["prediction"]]
    assert found
    assert all(0.3 <= box["score"] <= 1 and min(box["box"]) >= 0 and max(box["box"]) <= 64 for box in found)
    scored = json.loads(sartor("evaluate", "run/bundle", "shapes/train.jsonl", "--json").out)["result"]
    assert list(scored["metrics"]) == ["map", "ap50", "ap75", "image_ap"]
    assert scored["intervals"]["ap50"]["low"] <= scored["metrics"]["ap50"] <= scored["intervals"]["ap50"]["high"]


def test_a_bundle_answers_images_that_a_program_holds(sartor: Sartor, shapes: Path) -> None:
    from sartor import Bundle

    sartor("finetune", "shapes/train.jsonl", "--backbone", NETWORK, "--method", "full", "--out", "run", *FAST)
    bundle = Bundle.load("run/bundle")
    rows = boxed(3)
    by_path = bundle.predict(["shapes/0.png", "shapes/2.png"])
    by_row = bundle.predict(rows)
    assert [row["prediction"] for row in by_path] == [by_row[i]["prediction"] for i in (0, 2)]


def test_position_needs_no_flag_and_draws_the_boxes(sartor: Sartor, shapes: Path) -> None:
    candidates = ("--candidates", "usual_boxes", "--candidates", "colour_blobs")
    done = sartor("position", "shapes/train.jsonl", *candidates, "--budget", "20s", "--out", "run", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)["result"]
    assert told["headline"] == "map"
    assert told["pick"]["name"] == "colour_blobs"
    assert told["data"]["counted"] == "boxes"
    page = Path("run/report.html").read_text("utf-8")
    assert page.count('<image id="picture-') == len(told["pick"]["wrong"])
    assert 'class="box k' in page
    assert "Found worst" in page
