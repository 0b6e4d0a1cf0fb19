"""What every method must do on networks that hear: run over each file on the shelf, for heads of both layouts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from sartor.bundle import Bundle, save_network
from sartor.data.rows import Rows
from sartor.engine.features import outputs
from sartor.engine.train import Run
from sartor.errors import BadInput
from sartor.part import names, part
from sartor.recipe import Plan, Recipe
from sartor.task import Task
from sartor.tasks.speech_recognition import SpeechRecognition
from sound_samples import sounded, spoken
from text_samples import task_of
from tiny_runs import begun, same_bits, steps, weights

REFUSED = re.compile(r"error\[\w+\]: .+ Fix: .+\.$", re.DOTALL)
NEED_WORDS = {"prefix_tuning", "prompt_tuning"}
"""Methods that put words in front of others."""
NEED_CLASSES = {"contrastive"}
"""Methods that bring rows of one class together."""
SAMPLES = {"classes": (sounded(24), sounded(12, 1)), "texts": (spoken(24), spoken(12, 1))}


@dataclass
class Trained:
    recipe: Recipe
    run: Run
    rows: Rows
    held: Rows
    before: dict[str, torch.Tensor]
    losses: list[float]


def task(rows: Rows) -> Task:
    return SpeechRecognition().learn(rows) if rows.schema.kind("label") == "text" else task_of(rows)


def made(rows: Rows, method: str) -> Recipe:
    moving = part("methods", method)
    named = {"backbone": part("backbones", "speech:size=micro"), "method": moving}
    named |= {"objective": part("objectives", moving.objective)}  # type: ignore[attr-defined]
    plan = Plan(per_device_train_batch_size=8, max_steps=4, precision="fp32", learning_rate=1e-3)
    return Recipe(task=task(rows), plan=plan, **named).settled()  # type: ignore[arg-type]


@pytest.fixture(
    scope="module", params=[(k, m) for k in SAMPLES for m in names("methods")], ids=lambda pair: "-".join(pair)
)
def trained(request: pytest.FixtureRequest) -> Trained:
    kind, method = request.param
    rows, held = SAMPLES[kind]
    said = ""
    try:
        recipe = made(rows, method)
        run, encoded = begun(recipe, rows)
        before = weights(run)
        losses = [] if run.state is None else [s.loss for s in steps(run, encoded)]
    except BadInput as refused:
        said = str(refused)
    if said:
        assert REFUSED.search(said)
        assert method in NEED_WORDS or (kind == "texts" and method in NEED_CLASSES)
        pytest.skip(said)
    return Trained(recipe, run, rows, held, before, losses)


def test_it_trains(trained: Trained) -> None:
    assert all(np.isfinite(trained.losses))
    assert trained.run.net.trainable()


def test_what_does_not_move_is_the_same_bits(trained: Trained) -> None:
    after, moving = weights(trained.run), trained.run.net.trainable()
    inside = {n for n, _ in trained.run.net.named_parameters()}
    frozen = inside - moving.keys()
    assert same_bits({n: trained.before[n] for n in frozen}, {n: after[n] for n in frozen})


def test_saved_and_loaded_it_answers_the_same(trained: Trained, tmp_path: Path) -> None:
    net, recipe = trained.run.net, trained.recipe
    batch = recipe.task.encode(trained.held, net.body)
    expected = recipe.task.answer(outputs(net, batch, say=recipe.task.say), trained.held)
    folder = save_network(tmp_path / "bundle", net, recipe, trained.rows.schema, {}, "# x\n")
    said = Bundle.load(folder).answer(trained.held)
    np.testing.assert_allclose(said.probabilities, expected.probabilities, rtol=0, atol=2e-5)
    assert list(said.values) == list(expected.values)
