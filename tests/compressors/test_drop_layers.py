"""Blocks that are left out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sartor.compressors.drop_layers import DropLayers, influence
from sartor.engine.calibrate import drawn
from sartor.engine.features import outputs
from sartor.errors import BadInput
from text_samples import labelled
from tiny_runs import begun, recipe, steps

ROWS = labelled(48)


def test_a_block_that_changes_nothing_has_no_influence_and_goes(tiny_encoder: Path) -> None:
    run, encoded = begun(recipe(tiny_encoder, ROWS, "full", max_steps=1), ROWS)
    net = run.net.requires_grad_(False)
    block = net.body.blocks()[0]
    with torch.no_grad():  # both halves add nothing, and what a post-norm block reads is normed already
        for name, weight in block.named_parameters():
            if "output" in name and "LayerNorm" not in name:
                weight.zero_()
    found = influence(net, drawn(net, run.recipe.task, ROWS))
    assert found[0] < 1e-3 < found[1]
    before = outputs(net, encoded)
    made = DropLayers(keep=1, epochs=0).compress(net, run.recipe, ROWS)
    assert made.kept == (1,)
    assert len(net.body.blocks()) == 1
    torch.testing.assert_close(outputs(net, encoded), before, rtol=1e-3, atol=1e-3)


def test_what_was_lost_is_learned_again(tiny_encoder: Path) -> None:
    """The distance to what the whole network said falls."""
    run, encoded = begun(recipe(tiny_encoder, ROWS, "full", max_steps=60, learning_rate=1e-3), ROWS)
    list(steps(run, encoded))
    whole = outputs(run.net, encoded)
    errors = []
    for epochs in (0.0, 10.0):
        again, _ = begun(recipe(tiny_encoder, ROWS, "full", max_steps=1), ROWS)
        again.net.load_state_dict(run.net.state_dict())
        net = again.net.requires_grad_(False)
        DropLayers(keep=1, epochs=epochs, learning_rate=1e-3).compress(net, run.recipe, ROWS)
        errors.append(float((outputs(net, encoded).softmax(-1) - whole.softmax(-1)).square().mean()))
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize(("keep", "code"), [(0, "VALUE_RANGE"), (2, "DROP_LAYERS"), (9, "DROP_LAYERS")])
def test_more_than_there_are_or_none(keep: int, code: str, tiny_encoder: Path) -> None:
    run, _ = begun(recipe(tiny_encoder, ROWS, "full", max_steps=1), ROWS)
    with pytest.raises(BadInput) as raised:
        DropLayers(keep=keep).compress(run.net, run.recipe, ROWS)
    assert raised.value.code == code


def test_spread_keeps_the_ends(tiny_encoder: Path) -> None:
    run, _ = begun(recipe(tiny_encoder, ROWS, "full", max_steps=1), ROWS)
    made = DropLayers(keep=1, choose="spread", epochs=0).compress(run.net, run.recipe, ROWS)
    assert made.kept == (0,)
