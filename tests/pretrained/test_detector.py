"""Bodies that find boxes: places and queries, opened and saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from image_samples import boxed
from sartor.batch import Batch
from sartor.errors import BadInput
from sartor.network import Network
from sartor.part import part
from sartor.pretrained.finding import PlaceHead, QueryHead, places
from sartor.tasks.object_detection import ObjectDetection

ROWS = boxed(6)
TASK = ObjectDetection().learn(ROWS)


def built(spelled: str) -> Any:
    made: Any = part("backbones", spelled)
    return made.build("boxes").eval()


def test_places_are_the_middles_of_cells_and_cover_the_image() -> None:
    grid = places([(2, 4), (1, 2)])
    assert grid[0].tolist() == [0.125, 0.25, 0.25, 0.5]
    assert grid[-1].tolist() == [0.75, 0.5, 0.5, 1.0]
    assert float(grid[:8, 2].mul(grid[:8, 3]).sum()) == pytest.approx(1.0)


def test_a_head_of_places_says_boxes_around_them_and_where_it_stands() -> None:
    grid = places([(4, 4)])
    head = PlaceHead(8, 3, grid)
    said = head(torch.zeros(32, 8)).detach()
    assert said.shape == (32, 3 + 7)
    torch.testing.assert_close(said[:16, 3:7], torch.cat([grid[:, :2] - 0.5, grid[:, :2] + 0.5], 1))
    torch.testing.assert_close(said[16:, 7:9], grid[:, :2])
    assert said[:, :3].sigmoid().max() == pytest.approx(0.01, rel=1e-4)


def test_maps_of_an_eighth_and_coarser_speak() -> None:
    body = built("detector:image_size=64")
    batch = TASK.encode(ROWS, body)
    assert body.count == 8 * 8 + 4 * 4 + 2 * 2
    assert batch.counts.tolist() == [body.count] * 6
    assert body(batch).shape == (6 * body.count, body.width)


def test_what_a_place_sees_is_where_it_stands() -> None:
    """A bright spot changes the features of the places near it most: the order of maps and places is one."""
    body = built("detector:image_size=64")
    pixels = torch.full((2, 3, 64, 64), 128, dtype=torch.uint8)
    pixels[1, :, 40:56, 8:24] = 255
    batch = Batch(torch.arange(2), torch.arange(3), dense={"pixels": pixels}, counts=torch.full((2,), body.count))
    with torch.no_grad():
        one, other = body(batch).view(2, body.count, -1)
    change = (one - other).norm(dim=1)[:64]
    x, y = body.grid[int(change.argmax()), :2].tolist()
    assert 8 / 64 - 0.1 <= x <= 24 / 64 + 0.1
    assert 40 / 64 - 0.1 <= y <= 56 / 64 + 0.1


@pytest.mark.parametrize("kind", ["yolos", "detr"])
def test_queries_say_what_plain_transformers_says(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The bundle's model, opened by transformers alone, gives the same classes and boxes."""
    from transformers import AutoModelForObjectDetection

    body = built(f"detector:path={request.getfixturevalue(f'tiny_{kind}')}")
    batch = TASK.encode(ROWS, body)
    torch.manual_seed(0)
    net = Network(body, TASK.head(body)).eval()
    body.save(tmp_path, net.head, TASK.describe())
    plain = AutoModelForObjectDetection.from_pretrained(tmp_path).eval()
    assert plain.config.id2label == {0: "bar", 1: "disc", 2: "frame"}
    with torch.no_grad():
        said = net(batch).view(6, body.count, -1)
        seen = batch.dense["pixels"].float() * body.scale - body.shift
        theirs = plain(pixel_values=seen)
    torch.testing.assert_close(said[..., :4], theirs.logits, rtol=1e-4, atol=1e-5)
    middle, size = theirs.pred_boxes[..., :2], theirs.pred_boxes[..., 2:]
    torch.testing.assert_close(said[..., 4:8], torch.cat([middle - size / 2, middle + size / 2], -1))
    assert not said[..., 8:].any()


def test_boxes_of_a_pretrained_model_are_kept_for_new_classes(tiny_yolos: Path) -> None:
    body = built(f"detector:path={tiny_yolos}")
    known = body.heads["classifier"]
    made = body.finder(5)
    assert isinstance(known, QueryHead) and isinstance(made, QueryHead)
    for one, other in zip(made.box.parameters(), known.box.parameters(), strict=True):
        assert torch.equal(one, other)
    assert made(torch.zeros(2, body.width)).shape == (2, 5 + 1 + 7)
    assert known(torch.zeros(2, body.width)).shape == (2, 3 + 1 + 7)


def test_the_trunk_of_places_opens_in_plain_transformers(tmp_path: Path) -> None:
    from transformers import AutoModel

    body = built("detector:image_size=64")
    body.save(tmp_path, TASK.head(body), TASK.describe())
    opened = AutoModel.from_pretrained(tmp_path).eval()
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(opened(x).last_hidden_state, body.model(x).feature_maps[-1])


def test_a_model_that_is_no_detection_transformer_is_refused(tiny_yolos: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "other"
    shutil.copytree(tiny_yolos, folder)
    config = json.loads((folder / "config.json").read_text("utf-8")) | {"model_type": "rt_detr"}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(BadInput, match=r"DETECTOR_TYPE.*'rt_detr' .* Fix: give one of the types detr, yolos"):
        built(f"detector:path={folder}")


@pytest.mark.parametrize("size", [32, 100, 4096])
def test_a_size_that_does_not_fit_the_maps_is_refused(size: int) -> None:
    with pytest.raises(BadInput, match="VALUE_RANGE"):
        part("backbones", f"detector:image_size={size}")


def test_only_training_rows_with_boxes_are_moved() -> None:
    body = built("detector:image_size=64,augment=flip")
    batch = TASK.encode(ROWS, body)
    changed = body.augment(batch, 3)
    assert not torch.equal(changed.dense["boxes"], batch.dense["boxes"])
    bare = Batch(batch.rows, batch.offsets, dense={"pixels": batch.dense["pixels"]}, counts=batch.counts)
    assert body.augment(bare, 3) is bare
