"""Heads and neurons that are taken out: which, and that nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sartor.compressors.narrow import Narrow, _cut, importance
from sartor.engine.calibrate import drawn
from sartor.engine.features import outputs
from sartor.errors import BadInput
from sartor.part import part
from sartor.pretrained.passage import passages
from text_samples import labelled
from tiny_runs import begun, recipe

ROWS = labelled(32)


@pytest.fixture(params=["mean", "native"])
def net(request: pytest.FixtureRequest, tiny_encoder: Path):  # type: ignore[no-untyped-def]
    run, _ = begun(recipe(tiny_encoder, ROWS, "full", request.param, max_steps=1), ROWS)
    return run.net.requires_grad_(False), run.recipe


def test_attention_and_feed_forward_are_seen(net) -> None:  # type: ignore[no-untyped-def]
    found = passages(net[0].body)
    assert [(len(p.makers), p.reader.rsplit(".", 2)[-2:]) for p in found] == [
        (3, ["output", "dense"]),
        (1, ["output", "dense"]),
    ] * 2
    heads = net[0].body.config.num_attention_heads
    assert [p.units for p in found] == [heads, net[0].body.config.intermediate_size] * 2


def test_image_transformers_have_the_same_passages() -> None:
    body = part("backbones", "vit:image_size=16,patch_size=8").build("row")  # type: ignore[attr-defined]
    assert {len(p.makers) for p in passages(body)} == {1, 3}
    assert len(passages(body)) == 2 * len(body.blocks())


def test_units_that_say_nothing_go_without_a_trace(net) -> None:  # type: ignore[no-untyped-def]
    """The reader's weights of the second half of all units are zero: they are felt least, and cut without a change."""
    made, told = net
    encoded = told.task.encode(ROWS, made.body)
    found = passages(made.body)
    with torch.no_grad():
        for p in found:
            made.body.get_parameter(f"{p.reader}.weight")[:, p.units // 2 * p.size :] = 0
    before = outputs(made, encoded)
    felt = importance(made, told, drawn(made, told.task, ROWS), found)
    for p in found:
        assert (felt[p.reader][p.units // 2 :] == 0).all() and (felt[p.reader][: p.units // 2] > 0).all()
        _cut(made, p, felt[p.reader], p.units // 2)
    torch.testing.assert_close(outputs(made, encoded), before, rtol=0, atol=1e-5)


def test_importance_is_the_derivative_of_scaling_a_unit(net) -> None:  # type: ignore[no-untyped-def]
    """d L / d m of one neuron scaled by m, at m = 1, by finite differences in the reader's column."""
    made, told = net
    examples = drawn(made, told.task, ROWS)
    found = passages(made.body)
    felt = importance(made, told, examples, found)
    p = found[1]
    weight = made.body.get_parameter(f"{p.reader}.weight")
    unit, by = int(felt[p.reader].argmax()), 1e-2

    def loss(scale: float) -> float:
        kept = weight[:, unit].clone()
        with torch.no_grad():
            weight[:, unit] = kept * scale
            value = float(told.task.loss(made(examples), examples).double().sum())
            weight[:, unit] = kept
        return value

    measured = abs(loss(1 + by) - loss(1 - by)) / (2 * by)
    assert float(felt[p.reader][unit]) == pytest.approx(measured, rel=0.05)


def test_matrices_are_smaller(net) -> None:  # type: ignore[no-untyped-def]
    made, told = net
    before = sum(p.numel() for p in made.body.parameters())
    Narrow(epochs=0).compress(made, told, ROWS)
    for p in passages(made.body):
        assert made.body.get_parameter(f"{p.reader}.weight").shape[1] == p.units * p.size
    assert sum(p.numel() for p in made.body.parameters()) < before
    assert Narrow(epochs=0).facts(made)["multiply_adds"] == sum(
        made.body.get_parameter(f"{n}.weight").numel() for n in made.body.linears()
    )


@pytest.mark.parametrize("settings", [{"heads": 0.0}, {"width": 1.5}, {"heads": 1.0, "width": 1.0}, {"epochs": -1.0}])
def test_what_makes_no_sense_is_said(settings: dict[str, float]) -> None:
    with pytest.raises(BadInput):
        Narrow(**settings)


def test_rows_without_labels_weigh_nothing(net) -> None:  # type: ignore[no-untyped-def]
    from dataclasses import replace

    made, told = net
    with pytest.raises(BadInput, match="narrow weighs units by labels"):
        importance(made, told, replace(drawn(made, told.task, ROWS), targets=None), passages(made.body))
