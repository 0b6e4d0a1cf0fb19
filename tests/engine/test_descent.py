"""Recomputed activations: the same bits, and nothing left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from sartor.engine.descent import recomputed
from text_samples import labelled
from tiny_runs import begun, recipe, same_bits, steps, weights

ROWS = labelled(37)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", ["full", "lora:r=4", "lora:r=4,lora_dropout=0.2"])
def test_recomputing_changes_no_bit(tiny_encoder: Path, method: str, precision: str) -> None:
    """With dropout: the second pass draws what the first one drew."""
    found = []
    for on in (False, True):
        plan = {"max_steps": 6, "dropout": 0.3, "precision": precision, "gradient_checkpointing": on}
        run, encoded = begun(recipe(tiny_encoder, ROWS, method, **plan), ROWS)
        found.append(([s.loss for s in steps(run, encoded)], weights(run)))
    assert found[0][0] == found[1][0]
    assert same_bits(found[0][1], found[1][1])


def test_the_blocks_run_twice_and_are_as_before_afterwards(tiny_encoder: Path) -> None:
    run, encoded = begun(recipe(tiny_encoder, ROWS, max_steps=1, gradient_checkpointing=True), ROWS)
    blocks, calls = run.net.body.blocks(), []
    blocks[0].get_submodule("intermediate").register_forward_hook(lambda *_: calls.append(1))
    before = [vars(block).copy() for block in blocks]
    list(steps(run, encoded))
    assert len(calls) == 2
    assert ["forward" in vars(block) for block in blocks] == ["forward" in known for known in before]


def test_a_forward_of_its_own_comes_back_after_an_error() -> None:
    class Block(nn.Module):
        def forward(self, x: Any) -> Any:
            return x

    plain, own = Block(), Block()
    kept = vars(own)["forward"] = lambda x: x
    with pytest.raises(KeyError), recomputed([plain, own]):
        raise KeyError
    assert "forward" not in vars(plain)
    assert vars(own)["forward"] is kept
