"""What every compressor must do, on every kind of network: run over each file on the shelf."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from image_samples import boxed, pictured
from pair_samples import described
from sartor.bundle import Bundle, save_network
from sartor.compressing import compress
from sartor.compressor import Compressor
from sartor.data.rows import Rows
from sartor.errors import BadInput
from sartor.part import names, part, part_from_json
from sartor.recipe import Plan, Recipe
from text_samples import labelled, spanned, task_of
from tiny_runs import begun, steps

REFUSED = re.compile(r"error\[\w+\]: .+ Fix: .+\.$")
PARTS = {"labels": (labelled(32), labelled(16, 1)), "tokens": (spanned(24), spanned(12, 1))}
PARTS |= {"images": (pictured(24), pictured(12, 1)), "boxes": (boxed(24), boxed(12, 1))}
PARTS |= {"both": (described(32), described(16, 1))}
NETWORKS = {
    "mean": ("labels", "encoder:path={},pooling=mean"),
    "native": ("labels", "encoder:path={},pooling=native"),
    "tokens": ("tokens", "encoder:path={}"),
    "vit": ("images", "vit:image_size=16,patch_size=8"),
    "convnet": ("images", "convnet:size=tiny,image_size=32"),
    "places": ("boxes", "detector:image_size=64"),
    "queries": ("boxes", "detector:path={}"),
    "fusion": ("both", "fusion:of=(encoder:path={})+(convnet:size=tiny,image_size=32),how=cross,width=32"),
}
CANNOT = {(n, name) for n in ("convnet", "places", "fusion") for name in ("drop_layers", "narrow", "prune", "quantize")}
CANNOT |= {("queries", "narrow")}
"""A network of convolutions has no linear layers in its blocks, each of another shape; YOLOS counts its own heads; a
joint network is saved as several."""


@dataclass
class Made:
    before: Bundle
    after: Bundle
    held: Rows
    compressor: Compressor


def compressor(name: str) -> Compressor:
    found = part("compressors", name)
    assert isinstance(found, Compressor)
    return found


def trained(folder: Path, network: str, encoder: Path) -> tuple[Bundle, Rows, Rows]:
    """A bundle after four updates, the rows it was trained on, and others."""
    kind, spelled = NETWORKS[network]
    rows, held = PARTS[kind]
    plan = Plan(per_device_train_batch_size=8, max_steps=4, precision="fp32", learning_rate=1e-3)
    parts: Any = {"backbone": part("backbones", spelled.format(encoder)), "method": part("methods", "full")}
    made = Recipe(task=task_of(rows), objective=part("objectives", "supervised"), plan=plan, **parts).settled()  # type: ignore[arg-type]
    run, encoded = begun(made, rows)
    list(steps(run, encoded))
    return Bundle.load(save_network(folder, run.net, run.recipe, rows.schema, {}, "")), rows, held


@pytest.fixture(
    scope="module", params=[(n, c) for n in NETWORKS for c in names("compressors")], ids=lambda pair: "-".join(pair)
)
def made(
    request: pytest.FixtureRequest, tiny_encoder: Path, tiny_yolos: Path, tmp_path_factory: pytest.TempPathFactory
) -> Made:
    network, name = request.param
    folder = tmp_path_factory.mktemp("compressed")
    before, rows, held = trained(folder / "whole", network, tiny_yolos if network == "queries" else tiny_encoder)
    if (network, name) in CANNOT:
        with pytest.raises(BadInput) as refused:
            compress(before, [compressor(name)], rows, folder / "small")
        assert REFUSED.search(str(refused.value))
        assert not (folder / "small").exists()
        pytest.skip(f"refused: {refused.value}")
    return Made(before, compress(before, [compressor(name)], rows, folder / "small"), held, compressor(name))


def said(bundle: Bundle, rows: Rows) -> np.ndarray[Any, Any]:
    found = bundle.answer(rows)
    return found.values if found.probabilities is None else found.probabilities


def test_it_answers_what_was_asked(made: Made) -> None:
    before, after = made.before.answer(made.held), made.after.answer(made.held)
    assert after.labels == before.labels
    assert len(after) == len(before)
    if after.probabilities is not None and after.boxes is None:  # of a box the rest is that there is nothing
        np.testing.assert_allclose(after.probabilities.sum(1), 1, atol=1e-6)


def test_opened_again_it_says_the_same(made: Made, tmp_path: Path) -> None:
    """Once more from the disk, and from a copy of the folder elsewhere."""
    import shutil

    copy = shutil.copytree(made.after.path, tmp_path / "elsewhere")
    first, again = said(made.after, made.held), said(Bundle.load(copy), made.held)
    assert np.array_equal(first, again)


def test_the_recipe_says_what_was_cut_and_makes_it_again(made: Made) -> None:
    (told,) = made.after.recipe["compress"]
    again = part_from_json("compressors", told)
    assert again.name == made.compressor.name
    assert Recipe.from_json(made.after.recipe).to_json()["compress"] == [told]
    assert made.compressor.spelled() in made.after.card["compression"]


def test_every_file_is_as_large_as_it_says(made: Made) -> None:
    """The weights are in the one file, and none is kept a second time."""
    weights = {f.relative_to(made.after.path).as_posix() for f in made.after.path.rglob("*.safetensors")}
    assert weights <= {"sartor/compressed.safetensors", "sartor/outline.safetensors", "sartor/chain.safetensors"}
    assert not (made.after.path / "model.safetensors").exists()


def test_a_damaged_file_is_found(made: Made, tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(made.after.path, tmp_path / "damaged")
    file = copy / "sartor/compressed.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\0\1")
    with pytest.raises(BadInput, match=r"compressed\.safetensors"):
        Bundle.load(copy)


@pytest.mark.parametrize("name", names("compressors"))
def test_it_names_its_source(name: str) -> None:
    import sys

    assert re.search(r"arXiv|(19|20)\d\d", sys.modules[type(compressor(name)).__module__].__doc__ or "")


@pytest.mark.parametrize("name", names("compressors"))
def test_the_same_rows_make_the_same_network(name: str, tiny_encoder: Path, tmp_path: Path) -> None:
    before, rows, held = trained(tmp_path / "whole", "mean", tiny_encoder)
    one, two = (compress(before, [compressor(name)], rows, tmp_path / place) for place in ("one", "two"))
    assert np.array_equal(said(one, held), said(two, held))


@pytest.mark.parametrize("name", names("compressors"))
def test_the_whole_bundle_stays_as_it_was(name: str, tiny_encoder: Path, tmp_path: Path) -> None:
    before, rows, held = trained(tmp_path / "whole", "mean", tiny_encoder)
    first = said(before, held)
    compress(before, [compressor(name)], rows, tmp_path / "small")
    assert np.array_equal(first, said(Bundle.load(tmp_path / "whole"), held))


def test_one_after_the_other(tiny_encoder: Path, tmp_path: Path) -> None:
    before, rows, held = trained(tmp_path / "whole", "mean", tiny_encoder)
    chain = [compressor("drop_layers:epochs=0"), compressor("narrow:epochs=0"), compressor("quantize")]
    at_once = compress(before, chain, rows, tmp_path / "once")
    step = before
    for number, one in enumerate(chain):
        step = compress(step, [one], rows, tmp_path / str(number))
    assert torch.allclose(torch.from_numpy(said(at_once, held)), torch.from_numpy(said(step, held)), atol=1e-6)
