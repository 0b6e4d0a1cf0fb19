"""Feature reuse: what its head reads, how it is solved, and that both are there again in a bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from image_samples import pictured
from sartor.bundle import Bundle, save_network
from sartor.engine.features import features, outputs
from sartor.engine.heads import solve_logistic
from sartor.engine.train import headed, prepare, restore_best, train
from sartor.errors import BadInput
from sartor.part import part
from sartor.position.entry import Candidate
from sartor.position.ground import views
from sartor.recipe import Plan, Recipe
from sartor.saving import is_changed, reopen
from text_samples import labelled, measured, tagged, task_of
from tiny_runs import begun, examples, recipe, same_bits, steps, weights

ROWS, HELD = labelled(48), labelled(24, 1)
IMAGES = pictured(16)
LAYERS = ("concat", "mean", "mix")


@pytest.mark.parametrize("pooling", ["mean", "native"])
@pytest.mark.parametrize("layer", LAYERS)
def test_saved_and_loaded_it_answers_the_same(layer: str, pooling: str, tiny_encoder: Path, tmp_path: Path) -> None:
    made = recipe(tiny_encoder, ROWS, f"probe:layer={layer}", pooling, max_steps=8)
    run, encoded = begun(made, ROWS)
    list(train(run, encoded, examples(made, HELD), HELD))
    before = outputs(run.net, examples(made, HELD))
    folder = save_network(tmp_path / "bundle", run.net, made, ROWS.schema, {}, "# x\n")
    assert is_changed(folder)
    torch.testing.assert_close(outputs(reopen(folder, made), examples(made, HELD)), before, rtol=0, atol=1e-5)
    said = Bundle.load(folder).answer(HELD)
    np.testing.assert_allclose(said.probabilities, torch.softmax(before.double(), -1).numpy(), rtol=0, atol=1e-5)
    assert sum(f.stat().st_size for f in folder.rglob("*.safetensors")) < 3000  # the head and the levels alone


def test_the_last_layer_is_a_plain_model(tiny_encoder: Path, tmp_path: Path) -> None:
    run, _ = begun(recipe(tiny_encoder, ROWS, "probe"), ROWS)
    folder = save_network(tmp_path / "bundle", run.net, run.recipe, ROWS.schema, {}, "# x\n")
    assert not is_changed(folder)
    assert run.net.inserted() == set()


def test_all_blocks_side_by_side_make_a_wider_head(tiny_encoder: Path) -> None:
    """And their head is the optimum on them."""
    run, encoded = begun(recipe(tiny_encoder, ROWS, "probe:layer=concat"), ROWS)
    assert run.net.head.weight.shape == (3, 2 * 32)
    frozen = features(run.net.body, encoded)
    known = torch.nn.functional.one_hot(encoded.targets, 3).float()
    best = solve_logistic(frozen, known, torch.ones(len(ROWS)), 0, None)
    torch.testing.assert_close(run.net.head.weight, best.weight)
    assert set(run.net.trainable()) == {"head.weight", "head.bias"}
    assert run.state is None


def test_the_mix_descends_the_loss_and_begins_as_the_mean(tiny_encoder: Path) -> None:
    made = recipe(tiny_encoder, ROWS, "probe:layer=mix", max_steps=60, learning_rate=3e-3)
    run, encoded = begun(made, ROWS)
    mean, _ = begun(recipe(tiny_encoder, ROWS, "probe:layer=mean"), ROWS)
    held = examples(made, HELD)
    assert torch.equal(outputs(run.net, held), outputs(mean.net, held))
    assert set(run.net.trainable()) == {"head.weight", "head.bias", "body.levels"}
    before = weights(run)
    losses = [step.loss for step in steps(run, encoded)]
    after = weights(run)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"head.weight", "head.bias", "body.levels"}
    assert np.mean(losses[-6:]) < np.mean(losses[:6])


def test_the_gradient_of_the_mix_is_that_of_finite_differences(tiny_encoder: Path) -> None:
    made = recipe(tiny_encoder, ROWS, "probe:layer=mix", max_steps=1)
    run, encoded = begun(made, ROWS)
    levels = run.net.body.get_parameter("levels")

    def loss() -> torch.Tensor:
        return made.task.loss(run.net(encoded), encoded).mean()

    loss().backward()
    assert levels.grad is not None
    with torch.no_grad():
        levels[0] += 0.1
        above = float(loss())
        levels[0] -= 0.2
        below = float(loss())
    assert float(levels.grad[0]) == pytest.approx((above - below) / 0.2, rel=2e-2, abs=1e-4)


@pytest.mark.parametrize("rows", [labelled(60), tagged(60), measured(60)], ids=["one", "several", "number"])
def test_ridge_is_as_good_a_head(rows: object, tiny_encoder: Path) -> None:
    made = recipe(tiny_encoder, rows, "probe:solver=ridge")  # type: ignore[arg-type]
    run, encoded = begun(made, rows)  # type: ignore[arg-type]
    usual, _ = begun(recipe(tiny_encoder, rows, "probe"), rows)  # type: ignore[arg-type]
    mine, theirs = (float(made.task.loss(outputs(r.net, encoded), encoded).mean()) for r in (run, usual))
    assert mine < theirs + 0.15
    assert run.start["penalty"] > 0


SENTENCES = {
    "probe:solver=knn": (
        "error[PROBE_KNN]: neighbours are rows of the data, which no head can hold. "
        "Fix: use the baseline embedding_knn, as in sartor position DATA --candidates embedding_knn."
    ),
    "probe:solver=rigde": (
        "error[SOLVER]: classification has no solver 'rigde'. Fix: did you mean 'ridge'? Known: logistic, ridge."
    ),
}


@pytest.mark.parametrize("spelled", SENTENCES)
def test_what_a_head_cannot_be_solved_by_is_refused(spelled: str, tiny_encoder: Path) -> None:
    with pytest.raises(BadInput) as raised:
        begun(recipe(tiny_encoder, ROWS, spelled), ROWS)
    assert str(raised.value) == SENTENCES[spelled]


def test_a_number_has_no_logistic_head(tiny_encoder: Path) -> None:
    with pytest.raises(BadInput) as raised:
        begun(recipe(tiny_encoder, measured(20), "probe:solver=logistic"), measured(20))
    assert str(raised.value).startswith("error[SOLVER]: regression has no solver 'logistic'. Fix: ")
    assert str(raised.value).endswith("ridge.")


def test_a_network_without_blocks_has_no_levels(tiny_encoder: Path) -> None:
    body = recipe(tiny_encoder, ROWS).backbone.build("row")
    body.blocks = list  # type: ignore[method-assign]
    with pytest.raises(BadInput) as raised:
        part("methods", "probe:layer=mean").read(body)  # type: ignore[attr-defined]
    assert str(raised.value) == (
        "error[PROBE_BLOCKS]: probe:layer=mean reads blocks, and this network has none. "
        "Fix: use probe, which reads the last layer."
    )


def test_in_a_race_other_views_have_a_start_of_their_own(tiny_encoder: Path) -> None:
    methods = ("full", "probe", "probe:layer=concat", "lora:r=2", "probe:layer=concat", "probe:solver=ridge")
    made = [Candidate(m, m, recipe(tiny_encoder, ROWS, m)) for m in methods]
    assert [r.method.spelled() for r in views(made).values()] == [
        "full",
        "probe:layer=concat",
        "probe:solver=ridge",
    ]


def of_images(network: str, layer: str) -> Recipe:
    parts: Any = {"backbone": part("backbones", network), "method": part("methods", f"probe:layer={layer}")}
    parts |= {"task": task_of(IMAGES), "objective": part("objectives", "supervised")}
    return Recipe(plan=Plan(precision="fp32", max_steps=2), **parts).settled()


@pytest.mark.parametrize("layer", LAYERS)
def test_it_reads_the_blocks_of_an_image_network_too(layer: str, tmp_path: Path) -> None:
    made = of_images("vit:image_size=16,patch_size=8", layer)
    run, _ = begun(made, IMAGES)
    before = outputs(run.net, examples(made, IMAGES))
    folder = save_network(tmp_path / "bundle", run.net, made, IMAGES.schema, {}, "# x\n")
    torch.testing.assert_close(outputs(reopen(folder, made), examples(made, IMAGES)), before, rtol=0, atol=1e-5)


@pytest.mark.parametrize("layer", LAYERS)
def test_blocks_that_narrow_are_refused(layer: str) -> None:
    with pytest.raises(BadInput) as raised:
        begun(of_images("convnet:size=tiny,image_size=32", layer), IMAGES)
    assert str(raised.value) == (
        "error[LEVELS_SHAPE]: the blocks of this network return values of different shapes. "
        "Fix: read the last layer alone."
    )


def test_its_looks_leave_the_run_as_it_was(tiny_encoder: Path) -> None:
    made = recipe(tiny_encoder, ROWS, "probe:layer=mix", max_steps=4)
    run, encoded = begun(made, ROWS)
    list(train(run, encoded, examples(made, HELD), HELD))
    kept = weights(run)
    restore_best(run)
    assert same_bits(weights(run), kept)
    with headed(prepare(replace(made), encoded)):
        pass
