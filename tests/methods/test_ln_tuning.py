"""LN-tuning: which weights move, and networks that have none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sartor.errors import BadInput
from sartor.methods.ln_tuning import LNTuning, norms
from text_samples import labelled
from tiny_runs import begun, recipe, steps, weights

ROWS = labelled(24)


@pytest.mark.parametrize(
    ("words", "count"), [("", 5), (":last=1", 2), (":target_modules=attention.output.LayerNorm", 2)]
)
def test_the_norms_and_the_head_move_and_nothing_else(words: str, count: int, tiny_encoder: Path) -> None:
    run, encoded = begun(recipe(tiny_encoder, ROWS, f"ln_tuning{words}", max_steps=4, learning_rate=1e-2), ROWS)
    before = weights(run)
    list(steps(run, encoded))
    moved = {name for name, value in weights(run).items() if not torch.equal(value, before[name])}
    assert moved == set(run.net.trainable())
    assert len(moved) == 2 * count + 2
    assert run.depth == (1 if words == ":last=1" else 0)


def test_norms_over_a_batch_stay_as_they_are() -> None:
    body: Any = nn.Sequential(nn.BatchNorm1d(3), nn.LayerNorm(3), nn.LayerNorm(3, elementwise_affine=False))
    body.append(nn.RMSNorm(3))
    assert norms(body) == ["1", "3"]


def test_a_network_without_norms_is_refused() -> None:
    net: Any = nn.Module()
    net.body = nn.Sequential(nn.Linear(3, 3))
    with pytest.raises(BadInput) as raised:
        LNTuning().apply(net, 1)
    assert str(raised.value) == (
        "error[NORMS_NONE]: this network has no norms with weights of their own. "
        "Fix: use a method that moves other weights: lora or bitfit."
    )


def test_an_unknown_norm_is_answered_with_the_nearest(tiny_encoder: Path) -> None:
    with pytest.raises(BadInput) as raised:
        begun(recipe(tiny_encoder, ROWS, "ln_tuning:target_modules=LayerNrom", max_steps=1), ROWS)
    assert str(raised.value) == (
        "error[LN_TUNING_TARGET]: no norm is called 'LayerNrom'. Fix: did you mean 'LayerNorm'? Known: LayerNorm."
    )
