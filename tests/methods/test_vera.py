"""VeRA against the paper's formula in 64 bits: W x + b ∘ (B (d ∘ (A x)))."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sartor import wrapping
from sartor.errors import BadInput
from sartor.methods.vera import VeRA
from text_samples import labelled
from tiny_runs import begun, recipe, steps

ROWS = labelled(24)


def layers(run: Any) -> dict[str, Any]:
    from peft.tuners.vera import VeraLayer

    return wrapping.wrapped(run.net, VeraLayer)


def trained(folder: Path, method: str) -> Any:
    run, encoded = begun(recipe(folder, ROWS, method, max_steps=5, learning_rate=2e-2), ROWS)
    list(steps(run, encoded))
    return run


def test_the_forward_pass_is_the_formula(tiny_encoder: Path) -> None:
    run = trained(tiny_encoder, "vera:r=40")
    pairs = set()
    for layer in layers(run).values():
        layer.double()
        x = torch.randn(7, layer.in_features, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        a = layer.vera_A["default"][:, : layer.in_features]
        b = layer.vera_B["default"][: layer.out_features]
        d, scale = layer.vera_lambda_d["default"], layer.vera_lambda_b["default"]
        assert float(scale.detach().abs().min()) > 0
        base = layer.get_base_layer()
        expected = x @ base.weight.T + base.bias + scale * ((d * (x @ a.T)) @ b.T)
        torch.testing.assert_close(layer(x), expected, rtol=1e-10, atol=1e-10)
        pairs.add(layer.vera_A["default"].data_ptr())
    assert len(pairs) == 1


def test_two_vectors_for_each_layer_and_the_head_move(tiny_encoder: Path) -> None:
    run = trained(tiny_encoder, "vera:r=40")
    moving = run.net.trainable()
    assert sum(p.numel() for p in moving.values()) == 2 * (6 * 40 + 5 * 32 + 64) + 3 * 32 + 3
    assert all(".vera_lambda_" in n or n.startswith("head.") for n in moving)


def test_the_random_pair_is_a_function_of_its_seed(tiny_encoder: Path) -> None:
    nets = [trained(tiny_encoder, f"vera:r=8,projection_prng_key={key}") for key in (1, 1, 2)]
    first, same, other = (next(iter(layers(run).values())).vera_A["default"] for run in nets)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert not any("vera_A" in name for name in nets[0].net.state_dict())


def test_a_rank_below_one_is_refused() -> None:
    with pytest.raises(BadInput) as raised:
        VeRA(r=0)
    assert str(raised.value) == "error[VALUE_RANGE]: vera.r is 0. Fix: give at least 1."
