"""What every method must do on networks over what users did: run over each file on the shelf."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from item_samples import learned, wandering
from sartor.bundle import Bundle, save_network
from sartor.engine.features import outputs
from sartor.engine.train import Run
from sartor.errors import BadInput
from sartor.part import names, part
from sartor.recipe import Plan, Recipe
from sartor.saving import Form
from tiny_runs import begun, same_bits, steps, weights

REFUSED = re.compile(r"error\[\w+\]: .+ Fix: .+\.$")
REFUSE = {"prefix_tuning", "prompt_tuning", "probe", "contrastive", "ia3"}
"""Items are no words to put others before, a head that is the body's table leaves nothing to fit alone, and only named
layers can be scaled where attention cannot be seen."""
ROWS, HELD = wandering(40, asked=5), wandering(12, 1)
NETWORKS = {kind: f"items:kind={kind},width=32,layers=2,dropout=0.1" for kind in ("sasrec", "bert4rec")}


@dataclass
class Trained:
    recipe: Recipe
    run: Run
    before: dict[str, torch.Tensor]
    losses: list[float]


@pytest.fixture(
    scope="module", params=[(n, m) for n in NETWORKS for m in names("methods")], ids=lambda pair: "-".join(pair)
)
def trained(request: pytest.FixtureRequest) -> Trained:
    network, method = request.param
    said = ""
    try:
        recipe = made(network, method)
        run, encoded = begun(recipe, ROWS)
    except BadInput as refused:
        said = str(refused)
    if said:
        assert REFUSED.search(said)
        assert method in REFUSE
        pytest.skip(said)
    assert method not in REFUSE
    before = weights(run)
    return Trained(recipe, run, before, [s.loss for s in steps(run, encoded)])


def made(network: str, method: str) -> Recipe:
    backbone: Any = part("backbones", NETWORKS[network])
    moving: Any = part("methods", method)
    aim: Any = part("objectives", moving.objective)
    plan = Plan(per_device_train_batch_size=8, max_steps=4, learning_rate=1e-3)
    return Recipe(task=learned(ROWS), backbone=backbone.learn(ROWS), method=moving, objective=aim, plan=plan).settled()


def test_it_trains(trained: Trained) -> None:
    assert all(np.isfinite(trained.losses))
    assert trained.run.net.trainable()


def test_what_does_not_move_is_the_same_bits(trained: Trained) -> None:
    after, moving = weights(trained.run), trained.run.net.trainable()
    frozen = {name for name, _ in trained.run.net.named_parameters()} - moving.keys()
    assert same_bits({n: trained.before[n] for n in frozen}, {n: after[n] for n in frozen})


@pytest.mark.parametrize("form", [None, "changed"])
def test_saved_and_loaded_it_answers_the_same(trained: Trained, form: Form | None, tmp_path: Path) -> None:
    net, recipe = copy.deepcopy(trained.run.net), trained.recipe
    expected = recipe.task.answer(outputs(net, recipe.task.encode(HELD, net.body)), HELD)
    folder = save_network(tmp_path / "bundle", net, recipe, ROWS.schema, {}, "# x\n", form)
    said = Bundle.load(folder).answer(HELD)
    np.testing.assert_allclose(said.probabilities, expected.probabilities, rtol=0, atol=1e-5)
    assert list(said.values) == list(expected.values)
