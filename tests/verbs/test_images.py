"""Images through the verbs: a folder by class from check to predict."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from image_samples import by_class

Sartor = Callable[..., Any]
NETWORK = "convnet:size=tiny,image_size=16,augment=crop"
FAST = ("--set", "plan.max_steps=24", "--set", "plan.per_device_train_batch_size=16")


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    return by_class(tmp_path / "shapes", 40)


def test_check_and_init_know_a_folder_of_images(sartor: Sartor, shapes: Path) -> None:
    found = json.loads(sartor("check", "shapes", "--json").out)["result"]
    assert found["ok"]
    assert found["rows"] == 120
    assert found["schema"]["inputs"] == ["image"]
    assert found["classes"] == {"bar": 40, "disc": 40, "frame": 40}
    drafted = sartor("init", "shapes", "--dry-run").out
    assert "data: shapes" in drafted
    assert "target: label" in drafted


def test_a_bad_image_stops_a_run_and_may_be_left_out(sartor: Sartor, shapes: Path) -> None:
    (shapes / "bar" / "3.png").write_bytes(b"")
    done = sartor("check", "shapes")
    assert done.code == 2
    assert "the image 'bar/3.png' has no bytes" in " ".join(done.out.split())
    refused = sartor("finetune", "shapes", "--out", "run")
    assert refused.code == 2
    assert refused.err == (
        "error[IMG_EMPTY]: shapes:24: the image 'bar/3.png' has no bytes. "
        "Fix: copy it again, or leave its row out; --skip-bad 1 leaves such rows out.\n"
    )
    done = sartor("check", "shapes", "--skip-bad", "1", "--json")
    assert done.code == 0
    found = json.loads(done.out)["result"]
    assert found["rows"] == 119
    assert [p["code"] for p in found["problems"]] == ["MEDIA_SKIPPED"]


def test_a_network_is_trained_saved_and_asked(sartor: Sartor, shapes: Path) -> None:
    done = sartor("finetune", "shapes", "--backbone", NETWORK, "--out", "run", *FAST, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["result"]["steps"] == 24
    assert Path("run/bundle/preprocessor_config.json").is_file()
    assert sartor("predict", "run/bundle", "shapes", "--out", "a.csv").code == 0
    content = base64.b64encode((shapes / "disc" / "1.png").read_bytes()).decode()
    Path("one.jsonl").write_text(json.dumps({"image": {"bytes": content, "path": "1.png"}}) + "\n", "utf-8")
    assert sartor("predict", "run/bundle", "one.jsonl", "--out", "b.csv").code == 0
    names = sorted(str(p.relative_to(shapes)) for p in shapes.rglob("*.png"))
    ((said, *one),), (again, *same) = lines("b.csv"), lines("a.csv")[names.index("disc/1.png")]
    assert said == again
    assert [float(p) for p in one] == pytest.approx([float(p) for p in same], abs=1e-5)


def lines(name: str) -> list[list[str]]:
    return [line.split(",") for line in Path(name).read_text("utf-8").splitlines()[1:]]


def test_python_takes_paths_and_pictures(sartor: Sartor, shapes: Path) -> None:
    from PIL import Image

    import sartor as library

    plan = {"max_steps": 4, "per_device_train_batch_size": 16}
    bundle = library.finetune("shapes", backbone=NETWORK, out="run", plan=plan).bundle
    path = str(shapes / "bar" / "0.png")
    by_path, by_picture = bundle.predict([path]), bundle.predict([{"image": Image.open(path).copy()}])
    assert by_path == by_picture


def test_images_have_a_usual_backbone(sartor: Sartor, shapes: Path) -> None:
    done = sartor("finetune", "shapes", "--out", "run", "--dry-run", "--json")
    assert done.code == 0, done.err
    recipe = json.loads(done.out)["result"]["recipe"]
    assert recipe["backbone"]["part"] == "convnet"
    assert recipe["plan"]["learning_rate"] == recipe["backbone"]["learning_rate"]


def test_position_races_what_reads_images(sartor: Sartor, shapes: Path) -> None:
    words = [w for name in ("majority", "pixels:side=8", f"{NETWORK}+full@1e-2") for w in ("--candidates", name)]
    done = sartor("position", "shapes", "--out", "run", "--budget", "30s", *words, *FAST, "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)["result"]
    assert {c["status"] for c in result["candidates"]} <= {"finished", "eliminated", "out of time"}
    assert result["data"]["longest_tokens"] is None
    assert all("/" in row["text"] for row in result["pick"]["wrong"])


def test_without_candidates_everything_that_fits_images_enters(sartor: Sartor, shapes: Path) -> None:
    done = sartor("position", "shapes", "--out", "run", "--dry-run", "--json")
    names = {c["name"].split(" @")[0] for c in json.loads(done.out)["result"]["candidates"]}
    assert names == {"majority", "pixels", "pixels:model=forest", "convnet + full"}
