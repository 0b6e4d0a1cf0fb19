"""OFT against the paper's formula in 64 bits: W diag(R_1, ..., R_n)^T x with R_i = (1 - Q_i)(1 + Q_i)^-1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sartor import wrapping
from sartor.errors import BadInput
from text_samples import labelled
from tiny_runs import begun, recipe, steps

ROWS = labelled(24)


def layers(run: Any) -> dict[str, Any]:
    from peft.tuners.oft import OFTLayer

    return wrapping.wrapped(run.net, OFTLayer)


def trained(folder: Path, method: str) -> Any:
    run, encoded = begun(recipe(folder, ROWS, method, max_steps=5, learning_rate=2e-2), ROWS)
    list(steps(run, encoded))
    return run


def rotations(layer: Any, size: int) -> list[Tensor]:
    """R_i from the stored upper triangles, written out."""
    found = []
    for upper in layer.oft_R["default"].weight.detach():
        q = torch.zeros(size, size, dtype=torch.float64)
        q[tuple(torch.triu_indices(size, size, 1))] = upper
        q = q - q.T
        found.append((torch.eye(size) - q) @ torch.linalg.inv(torch.eye(size).double() + q))
    return found


@pytest.mark.parametrize("shared", ["false", "true"])
def test_the_forward_pass_is_the_formula(shared: str, tiny_encoder: Path) -> None:
    run = trained(tiny_encoder, f"oft:oft_block_size=8,block_share={shared}")
    for layer in layers(run).values():
        layer.double()
        found = rotations(layer, 8)
        count = layer.in_features // 8
        whole = torch.block_diag(*(found * count if shared == "true" else found))
        assert whole.shape == (layer.in_features, layer.in_features)
        torch.testing.assert_close(whole @ whole.T, torch.eye(len(whole)).double(), rtol=0, atol=1e-10)
        assert float((whole - torch.eye(len(whole))).abs().max()) > 1e-3
        x = torch.randn(7, layer.in_features, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        base = layer.get_base_layer()
        torch.testing.assert_close(layer(x), x @ whole @ base.weight.T + base.bias, rtol=1e-9, atol=1e-9)


def test_the_merged_neurons_keep_their_angles(tiny_encoder: Path) -> None:
    run = trained(tiny_encoder, "oft:oft_block_size=32,target_modules=query")
    plain = run.recipe.backbone.build(run.recipe.task.layout)
    names = list(layers(run))
    run.recipe.method.merge(run.net)
    for name in names:
        before, after = plain.get_submodule(name).weight, run.net.body.get_submodule(name).weight
        assert not torch.allclose(before, after, atol=1e-3)
        torch.testing.assert_close(after @ after.T, before @ before.T, rtol=1e-4, atol=1e-4)


def test_the_sum_of_powers_comes_near_the_rotation(tiny_encoder: Path) -> None:
    """Its sign is the other way round: the series of (1 + Q)(1 - Q)^-1."""
    run = trained(tiny_encoder, "oft:oft_block_size=8,use_cayley_neumann=true,num_cayley_neumann_terms=9")
    layer = next(iter(layers(run).values())).double()
    exact = torch.block_diag(*[r.T for r in rotations(layer, 8)])
    torch.testing.assert_close(layer.get_delta_weight("default").detach(), exact, rtol=0, atol=1e-4)


def test_blocks_that_do_not_fill_a_layer_are_refused(tiny_encoder: Path) -> None:
    with pytest.raises(BadInput) as raised:
        begun(recipe(tiny_encoder, ROWS, "oft:oft_block_size=24", max_steps=1), ROWS)
    assert str(raised.value) == (
        "error[OFT_BLOCK]: oft.oft_block_size is 24 and the layer 'model.encoder.layer.0.attention.self.query' reads "
        "32 numbers. Fix: give a divisor of 32: 2, 4, 8, 16."
    )
