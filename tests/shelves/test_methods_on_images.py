"""What every method must do on networks that read images or the columns of a table: run over each file on the shelf."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from image_samples import boxed, pictured
from sartor.bundle import Bundle, save_network
from sartor.engine.features import outputs
from sartor.engine.train import Run
from sartor.errors import BadInput
from sartor.part import names, part
from sartor.recipe import Plan, Recipe
from table_samples import graded
from text_samples import task_of
from tiny_runs import begun, same_bits, steps, weights

REFUSED = re.compile(r"error\[\w+\]: .+ Fix: .+\.$")
NEED_WORDS = {"prefix_tuning", "prompt_tuning"}
"""Methods that put words in front of others; a network without linear layers is refused by more."""
SAMPLES = {"vit": pictured, "convnet": pictured, "columns": graded, "places": boxed, "queries": boxed}
NEED_TRANSFORMERS = {"columns": {"adapter", "ia3"}}
ROWS, HELD = ({network: sample(*asked) for network, sample in SAMPLES.items()} for asked in ((24, 0), (12, 1)))
NETWORKS = {
    "vit": "vit:image_size=16,patch_size=8,augment=crop+flip",
    "convnet": "convnet:size=tiny,image_size=32,augment=crop",
    "columns": "columns:width=32,members=4",
    "places": "detector:image_size=64",
    "queries": "detector:path={tiny_yolos},augment=flip",
}


@dataclass
class Trained:
    network: str
    recipe: Recipe
    run: Run
    before: dict[str, torch.Tensor]
    losses: list[float]


def made(network: str, method: str, tiny_yolos: Path) -> Recipe:
    rows, spelled = ROWS[network], NETWORKS[network].replace("{tiny_yolos}", str(tiny_yolos))
    parts = {"backbone": part("backbones", spelled).learn(rows), "method": part("methods", method)}  # type: ignore[attr-defined]
    plan = Plan(per_device_train_batch_size=8, max_steps=4, precision="fp32", learning_rate=1e-3)
    return Recipe(task=task_of(rows), objective=part("objectives", "supervised"), plan=plan, **parts).settled()  # type: ignore[arg-type]


@pytest.fixture(
    scope="module", params=[(n, m) for n in NETWORKS for m in names("methods")], ids=lambda pair: "-".join(pair)
)
def trained(request: pytest.FixtureRequest, tiny_yolos: Path) -> Trained:
    network, method = request.param
    recipe = made(network, method, tiny_yolos)
    said = ""
    try:
        run, encoded = begun(recipe, ROWS[network])
    except BadInput as refused:
        said = str(refused)
    if said:
        assert REFUSED.search(said)
        assert network in ("convnet", "places") or method in NEED_WORDS | NEED_TRANSFORMERS.get(network, set())
        pytest.skip(said)
    before = weights(run)
    losses = [] if run.state is None else [s.loss for s in steps(run, encoded)]
    return Trained(network, recipe, run, before, losses)


def test_it_trains(trained: Trained) -> None:
    assert all(np.isfinite(trained.losses))
    assert trained.run.net.trainable()


COUNTED = ("running_mean", "running_var", "num_batches_tracked")
"""What a norm over the batch counts while its scale moves."""


def test_what_does_not_move_is_the_same_bits(trained: Trained) -> None:
    """The statistics of norms over the batch too, where their scale does not move."""
    after, moving = weights(trained.run), trained.run.net.trainable()
    counted = {f"{n.removesuffix('.weight')}.{kind}" for n in moving for kind in COUNTED}
    frozen = {n for n in after if n not in moving} - counted
    assert same_bits({n: trained.before[n] for n in frozen}, {n: after[n] for n in frozen})


def test_saved_and_loaded_it_answers_the_same(trained: Trained, tmp_path: Path) -> None:
    net, recipe, held = trained.run.net, trained.recipe, HELD[trained.network]
    expected = recipe.task.answer(outputs(net, recipe.task.encode(held, net.body)), held)
    folder = save_network(tmp_path / "bundle", net, recipe, held.schema, {}, "# x\n")
    said = Bundle.load(folder).answer(held)
    np.testing.assert_allclose(said.probabilities, expected.probabilities, rtol=0, atol=1e-5)
    if expected.boxes is not None:
        np.testing.assert_allclose(said.boxes, expected.boxes, rtol=0, atol=1e-2)
