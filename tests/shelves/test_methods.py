"""What every method must do: run over each file on the shelf."""

from __future__ import annotations

import inspect
import json
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sartor.bundle import Bundle, save_network
from sartor.engine.features import outputs
from sartor.engine.train import Run, headed
from sartor.errors import BadInput
from sartor.method import Method
from sartor.network import assemble
from sartor.part import names, part, part_from_json
from sartor.recipe import Plan, Recipe
from sartor.saving import Form, is_changed, reopen
from text_samples import labelled, spanned, task_of
from tiny_runs import begun, recipe, same_bits, steps, weights

ROWS, HELD = labelled(48), labelled(24, 1)
SOURCE = re.compile(r"[A-Z]\w+.*(19|20)\d\d|arXiv")


@dataclass
class Trained:
    recipe: Recipe
    run: Run
    before: dict[str, Tensor]
    losses: list[float]


@pytest.fixture(scope="module", params=names("methods"))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def trained(name: str, tiny_encoder: Path) -> Trained:
    """Twelve updates at the method's own rate, after its own start."""
    made = recipe(tiny_encoder, ROWS, name, max_steps=12, head_start="random", dropout=0.1)
    run, encoded = begun(made, ROWS)
    before = weights(run)
    losses = [] if run.state is None else [s.loss for s in steps(run, encoded)]
    return Trained(made, run, before, losses)


def method(name: str) -> Method:
    found = part("methods", name)
    assert isinstance(found, Method)
    return found


def answers(net: Any, made: Recipe) -> Tensor:
    return outputs(net, made.task.encode(HELD, net.body))


def test_something_is_left_to_train(trained: Trained) -> None:
    moving = trained.run.net.trainable()
    assert moving
    assert {"head.weight", "head.bias"} <= set(moving)


def test_frozen_weights_are_the_same_bits_after_training(trained: Trained) -> None:
    """The buffers of the body itself too; what a method remembers in buffers of its own may change."""
    after, moving, made = weights(trained.run), trained.run.net.trainable(), trained.recipe
    own = {f"body.{n}" for n, _ in made.backbone.build(made.task.layout).named_buffers()}
    frozen = ({n for n, _ in trained.run.net.named_parameters()} | (own & after.keys())) - moving.keys()
    assert same_bits({n: trained.before[n] for n in frozen}, {n: after[n] for n in frozen})
    if trained.losses and trained.recipe.plan.head_end == "trained":
        assert all(not torch.equal(trained.before[n], after[n]) for n in moving if n.startswith("head."))


def test_what_moves_and_what_does_not_is_the_whole_network(trained: Trained) -> None:
    assert set(trained.run.net.trainable()) <= {n for n, _ in trained.run.net.named_parameters()}
    assert all(p.grad is None for p in trained.run.net.parameters())


def test_applied_twice_from_the_same_seed_it_gives_the_same_bits(trained: Trained) -> None:
    made = trained.recipe
    nets = [assemble(made.task, made.backbone, made.method, steps=9, seed=3) for _ in range(2)]
    assert same_bits(nets[0].state_dict(), nets[1].state_dict())
    assert list(nets[0].trainable()) == list(nets[1].trainable())


def test_before_training_it_changes_no_feature(trained: Trained) -> None:
    """Unless it puts something before every row, which no network can pass over."""
    made = trained.recipe
    net = assemble(made.task, made.backbone, made.method, steps=9, seed=3)
    plain = made.backbone.build(made.task.layout).eval()
    batch = made.task.encode(HELD, plain)
    with torch.no_grad():
        found, before = net.body(batch), plain(batch)
    if net.body.front == plain.front:
        torch.testing.assert_close(found, before, rtol=0, atol=1e-6)
    else:
        assert found.isfinite().all() and not torch.equal(found, before)


def test_merging_keeps_the_outputs_and_the_anatomy(name: str, tiny_encoder: Path) -> None:
    made = recipe(tiny_encoder, ROWS, name, max_steps=6, head_start="random")
    run, encoded = begun(made, ROWS)
    if run.state is not None:
        list(steps(run, encoded))
    before = answers(run.net, made)
    made.method.merge(run.net)
    torch.testing.assert_close(answers(run.net, made), before, rtol=0, atol=1e-5)
    if not run.net.inserted():
        plain = made.backbone.build(made.task.layout)
        assert run.net.body.state_dict().keys() == plain.state_dict().keys()
    made.method.merge(run.net)
    torch.testing.assert_close(answers(run.net, made), before, rtol=0, atol=1e-5)


@pytest.mark.parametrize("form", [None, "changed"])
@pytest.mark.parametrize("pooling", ["mean", "native"])
def test_saved_and_loaded_it_answers_the_same(
    name: str, pooling: str, form: Form | None, tiny_encoder: Path, tmp_path: Path
) -> None:
    """Merged and whole, or only what changed; what cannot be merged is saved as what changed unasked."""
    made = recipe(tiny_encoder, ROWS, name, pooling, max_steps=6)
    run, encoded = begun(made, ROWS)
    if run.state is not None:
        list(steps(run, encoded))
    before = answers(run.net, made)
    folder = save_network(tmp_path / "bundle", run.net, made, ROWS.schema, {}, "# x\n", form)
    assert is_changed(folder) == (form == "changed" or bool(run.net.inserted()))
    assert is_changed(folder) != (folder / "model.safetensors").exists()
    torch.testing.assert_close(answers(reopen(folder, made), made), before, rtol=0, atol=1e-5)
    said = Bundle.load(folder).answer(HELD)
    expected = torch.softmax(before.double(), -1).numpy()
    np.testing.assert_allclose(said.probabilities, expected, rtol=0, atol=1e-5)
    assert (folder / "adapter_config.json").exists() == (is_changed(folder) and made.method.native(run.net) is not None)


@pytest.mark.parametrize("crf", [False, True])
def test_over_tokens_it_trains_and_is_loaded_as_it_was(
    name: str, crf: bool, tiny_encoder: Path, tmp_path: Path
) -> None:
    rows, held = spanned(40, length=None), spanned(12, 1, length=None)
    learned = part("objectives", method(name).objective).predicts  # type: ignore[attr-defined]
    if learned and "tags" not in learned:
        with pytest.raises(BadInput, match=r"error\[OBJECTIVE_TASK\]: .* token_classification"):
            list(steps(*begun(recipe(tiny_encoder, rows, name, max_steps=1), rows)))
        return
    made = recipe(tiny_encoder, rows, name, task=task_of(rows, crf=crf), max_steps=6, head_start="solved")
    run, encoded = begun(made, rows)
    if run.state is not None:
        losses = [s.loss for s in steps(run, encoded)]
        assert np.isfinite(losses).all()
    batch = made.task.encode(held, run.net.body)
    before = made.task.answer(outputs(run.net, batch), held)
    folder = save_network(tmp_path / "bundle", run.net, made, rows.schema, {}, "# x\n")
    said = Bundle.load(folder).answer(held)
    assert list(said.values) == list(before.values)
    np.testing.assert_allclose(said.probabilities, before.probabilities, rtol=0, atol=1e-5)


def test_the_loss_falls(name: str, tiny_encoder: Path) -> None:
    """At a rate well above the method's own, for a random network of 40 updates."""
    rate = max(3e-3, 20 * part("methods", name).learning_rate)
    made = recipe(tiny_encoder, ROWS, name, max_steps=40, head_start="random", learning_rate=rate)
    run, encoded = begun(made, ROWS)
    if run.state is None:
        loss = float(made.task.loss(outputs(run.net, encoded), encoded).mean())
        assert loss < 0.9 * np.log(3)
        return
    losses = [s.loss for s in steps(run, encoded)]
    assert np.mean(losses[-6:]) < 0.9 * np.mean(losses[:6])


def test_the_loss_falls_on_real_texts(name: str) -> None:
    """The packaged encoder on docstrings of installed packages, labelled by package."""
    from sartor.data.hints import Hints
    from sartor.data.read import read

    rows = read("example:docstrings", Hints(target="label"))
    labels = sorted(set(rows.targets() or ()))[:2]
    places = [np.flatnonzero(np.array(rows.targets()) == label)[:12] for label in labels]
    few = rows.take(np.concatenate(places))
    made = recipe(Path("unused"), few, name, max_steps=10, head_start="random", learning_rate=None)
    made = replace(made, backbone=part("backbones", "minilm:max_length=32")).settled()  # type: ignore[arg-type]
    run, encoded = begun(made, few)
    start = np.log(2)
    if run.state is not None:
        start = float(made.task.loss(outputs(run.net, encoded), encoded).mean())
        list(steps(run, encoded))
    with headed(run):
        assert float(made.task.loss(outputs(run.net, encoded), encoded).mean()) < 0.95 * start


def test_its_own_rate_is_in_the_plan_unless_another_is_given(name: str) -> None:
    found = method(name)
    assert 0 < found.learning_rate < 1
    assert found.plan(Plan()).learning_rate == found.learning_rate
    assert found.plan(Plan(learning_rate=0.125)).learning_rate == 0.125
    settled = found.plan(Plan())
    assert found.plan(settled) == settled


def test_its_settings_survive(name: str) -> None:
    found = method(name)
    assert part("methods", found.spelled()) == found
    assert part_from_json("methods", json.loads(json.dumps(found.to_json()))) == found


def test_its_file_says_in_one_line_what_it_is_and_cites_a_source(name: str) -> None:
    words = inspect.getdoc(sys.modules[type(method(name)).__module__]) or ""
    assert words.splitlines()[0].rstrip().endswith(".")
    assert SOURCE.search(words)
    assert inspect.getdoc(type(method(name)))
