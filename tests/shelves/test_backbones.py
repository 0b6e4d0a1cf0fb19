"""What every backbone must do: run over each file on the shelf."""

from __future__ import annotations

import inspect
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from image_samples import pictured
from item_samples import wandering
from sartor.backbone import Backbone
from sartor.data.inputs import CELLS as CELL_KINDS
from sartor.data.rows import KINDS
from sartor.network import Network
from sartor.part import names, part, part_class, part_from_json
from sound_samples import spoken
from table_samples import CELLS, graded

READ = ["a cat", "one dog near the hammer and a very large amount of bread", ""]
COLUMNS = {
    "text": {"text": READ},
    "tokens": {"tokens": [text.split() for text in READ]},
    "image": {"image": list(pictured(3).columns["image"])},
    "audio": {"audio": list(spoken(3).columns["audio"])},
    "items": {"items": [["item 01"], ["item 05", "item 06", "one that nobody had", "item 07"], []], "asked": [1, 2, 1]},
    "row": {"text": READ},
    **{kind: {"cells": CELLS} for kind in CELL_KINDS},
}
"""Three rows of each kind of column, as `Body.encode` takes them."""
LAYOUTS = ("row", "tokens", "items", "frames", "boxes", "sides")
LEARNED = {"items": lambda: wandering(40), "columns": graded}
"""Rows that a backbone has to have learned from."""
NEEDS = {
    "encoder": "path={tiny_encoder}",
    "bundle": "path={tiny_bundle}",
    "fusion": "of=(encoder:path={tiny_encoder})+(convnet:size=tiny,image_size=32),how=cross,width=32",
}
"""Settings that a backbone cannot be built without."""


@pytest.fixture(scope="module", params=names("backbones"))
def backbone(request: pytest.FixtureRequest) -> Backbone:
    given = NEEDS.get(request.param, "")
    for need in ("tiny_encoder", "tiny_bundle"):
        given = given.replace(f"{{{need}}}", str(request.getfixturevalue(need)))
    found = part("backbones", f"{request.param}:{given}")
    assert isinstance(found, Backbone)
    return found.learn(LEARNED[request.param]()) if request.param in LEARNED else found


@pytest.fixture(scope="module", params=LAYOUTS)
def layout(request: pytest.FixtureRequest, backbone: Backbone) -> str:
    if request.param not in backbone.layouts:
        pytest.skip(f"{backbone.name} gives no {request.param}")
    return str(request.param)


@pytest.fixture(scope="module")
def body(backbone: Backbone, layout: str) -> Any:
    return backbone.build(layout).eval()


def columns(body: Any) -> dict[str, Any]:
    found = {name: values for kind in body.reads for name, values in COLUMNS[kind].items()}
    return found | ({"text_pair": READ[::-1]} if getattr(body, "paired", False) else {})


def test_it_says_what_it_reads(backbone: Backbone, body: Any) -> None:
    assert backbone.reads
    assert backbone.reads <= set(KINDS) | {"items"}
    assert body.reads <= backbone.reads | {"row"}


def test_it_is_built_the_same_twice(backbone: Backbone, layout: str, body: Any) -> None:
    again = backbone.build(layout).eval()
    assert again.state_dict().keys() == body.state_dict().keys()
    batch = body.encode(columns(body))
    with torch.no_grad():
        assert torch.equal(again(batch), body(batch))


def test_fresh_weights_are_others(backbone: Backbone, layout: str, body: Any) -> None:
    torch.manual_seed(0)
    fresh = backbone.build(layout, fresh=True).eval()
    assert fresh.state_dict().keys() == body.state_dict().keys()
    batch = body.encode(columns(body))
    with torch.no_grad():
        assert (fresh(batch) - body(batch)).abs().max() > 1e-2


def test_its_anatomy_is_true(body: Any) -> None:
    assert body.blocks()
    assert len({type(block) for block in body.blocks()}) == 1
    inside = [m for block in body.blocks() for m in block.modules()]
    assert body.linears() or not any(isinstance(m, nn.Linear) for m in inside)
    assert all(isinstance(body.get_submodule(name), nn.Linear) for name in body.linears())
    assert set(body.heads) >= {"classifier"}


def test_features_have_its_width_and_do_not_depend_on_the_neighbours(body: Any) -> None:
    batch = body.encode(columns(body))
    with torch.no_grad():
        together = body(batch)
        alone = torch.cat([body(batch.take(torch.tensor([i]))) for i in range(3)])
    assert together.shape == (len(batch.units(torch.arange(3))), body.width)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_saved_and_reopened_it_says_the_same(backbone: Backbone, layout: str, body: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    known = {"items": lambda: body.heads["classifier"], "boxes": lambda: body.finder(2)}
    net = Network(body, known.get(layout, lambda: nn.Linear(body.width, 2))()).eval()
    told = {"num_labels": 2, "id2label": {0: "a", 1: "b"}, "label2id": {"a": 0, "b": 1}}
    net.body.save(tmp_path, net.head, told)
    again = backbone.reopen(tmp_path, layout)
    assert again.linears() == body.linears()
    assert len(again.blocks()) == len(body.blocks())
    other = Network(again, again.heads["classifier"]).eval()
    batch = body.encode(columns(body))
    with torch.no_grad():
        torch.testing.assert_close(other(again.encode(columns(body))), net(batch), rtol=0, atol=1e-5)
    assert not [f for f in tmp_path.rglob("*") if f.suffix in (".bin", ".pt", ".pkl", ".py")]


def test_its_settings_survive(backbone: Backbone) -> None:
    assert part("backbones", backbone.spelled()).spelled() == backbone.spelled()
    assert part_from_json("backbones", json.loads(json.dumps(backbone.to_json()))) == backbone


@pytest.mark.parametrize("name", names("backbones"))
def test_its_file_cites_a_source(name: str) -> None:
    words = inspect.getdoc(sys.modules[part_class("backbones", name).__module__]) or ""
    assert re.search(r"[A-Z]\w+.*(19|20)\d\d|arXiv", words)
