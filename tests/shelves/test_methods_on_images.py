"""What every method must do on networks that read images: run over each file on the shelf."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from image_samples import pictured
from sartor.bundle import Bundle, save_network
from sartor.engine.features import outputs
from sartor.engine.train import Run
from sartor.errors import BadInput
from sartor.part import names, part
from sartor.recipe import Plan, Recipe
from text_samples import task_of
from tiny_runs import begun, same_bits, steps, weights

REFUSED = re.compile(r"error\[\w+\]: .+ Fix: .+\.$")
NEED_WORDS = {"prefix_tuning", "prompt_tuning"}
"""Methods that put words in front of others; a network without linear layers is refused by more."""
ROWS, HELD = pictured(24), pictured(12, 1)
NETWORKS = {
    "vit": "vit:image_size=16,patch_size=8,augment=crop+flip",
    "convnet": "convnet:size=tiny,image_size=32,augment=crop",
}


@dataclass
class Trained:
    recipe: Recipe
    run: Run
    before: dict[str, torch.Tensor]
    losses: list[float]


def made(network: str, method: str) -> Recipe:
    parts = {shelf: part(f"{shelf}s", name) for shelf, name in (("backbone", network), ("method", method))}
    plan = Plan(per_device_train_batch_size=8, max_steps=4, precision="fp32", learning_rate=1e-3)
    return Recipe(task=task_of(ROWS), objective=part("objectives", "supervised"), plan=plan, **parts).settled()  # type: ignore[arg-type]


@pytest.fixture(
    scope="module", params=[(n, m) for n in NETWORKS for m in names("methods")], ids=lambda pair: "-".join(pair)
)
def trained(request: pytest.FixtureRequest) -> Trained:
    network, method = request.param
    recipe = made(NETWORKS[network], method)
    said = ""
    try:
        run, encoded = begun(recipe, ROWS)
    except BadInput as refused:
        said = str(refused)
    if said:
        assert REFUSED.search(said)
        assert network == "convnet" or method in NEED_WORDS
        pytest.skip(said)
    before = weights(run)
    losses = [] if run.state is None else [s.loss for s in steps(run, encoded)]
    return Trained(recipe, run, before, losses)


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
    net, recipe = trained.run.net, trained.recipe
    expected = torch.softmax(outputs(net, recipe.task.encode(HELD, net.body)).double(), -1).numpy()
    folder = save_network(tmp_path / "bundle", net, recipe, ROWS.schema, {}, "# x\n")
    said = Bundle.load(folder).answer(HELD)
    np.testing.assert_allclose(said.probabilities, expected, rtol=0, atol=1e-5)
