"""Layers in 8 bits against the formula in 64 bits."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sartor.engine import int8
from sartor.engine.int8 import Int8Embedding, Int8Linear


@pytest.fixture
def layer() -> nn.Linear:
    torch.manual_seed(3)
    return nn.Linear(48, 40)


def formula(x: torch.Tensor, layer: nn.Linear) -> torch.Tensor:
    """The weights rounded to 255 levels an output, the inputs to 256 levels, multiplied exactly."""
    w, x = layer.weight.detach().double(), x.double()
    s = w.abs().amax(1, keepdim=True) / 127
    low, high = min(float(x.min()), 0), max(float(x.max()), 0)
    step = (high - low) / 255
    zero = round(-low / step)
    levels = torch.floor(x / step + zero + 0.5).clamp(0, 255)
    return ((levels - zero) * step) @ ((w / s).round() * s).T + layer.bias.detach().double()


@pytest.mark.skipif(not int8.multiplies_bytes(), reason="this build of torch has no product of 8-bit numbers")
def test_dynamic_ranges_give_the_formula(layer: nn.Linear) -> None:
    x = torch.randn(7, 3, 48) * 2 + 0.5
    found = Int8Linear.of(layer, "dynamic")(x)
    assert found.shape == (7, 3, 40)
    torch.testing.assert_close(found.double(), formula(x, layer), rtol=0, atol=2e-2 * float(x.abs().max()) / 255)


@pytest.mark.skipif(not int8.multiplies_bytes(), reason="this build of torch has no product of 8-bit numbers")
def test_static_ranges_cut_off_what_they_have_not_seen(layer: nn.Linear) -> None:
    made = Int8Linear.of(layer, "static", torch.tensor([-1.0, 1.0]))
    inside, outside = torch.full((1, 48), 1.0), torch.full((1, 48), 5.0)
    torch.testing.assert_close(made(inside), made(outside))
    assert (made(inside) - made(-inside)).abs().max() > 0.1


def test_weights_alone_are_exact_in_their_inputs(layer: nn.Linear) -> None:
    made = Int8Linear.of(layer, "none")
    x = torch.randn(5, 48)
    torch.testing.assert_close(made(x), x @ made.spread().T + layer.bias)
    assert (made.spread() - layer.weight).abs().max() <= layer.weight.abs().amax(1).max() / 127 / 2 * 1.001


def test_where_bytes_cannot_be_multiplied_answers_are_the_same_to_rounding(
    layer: nn.Linear, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.randn(6, 48)
    fast = Int8Linear.of(layer, "dynamic")(x)
    monkeypatch.setattr(int8, "multiplies_bytes", lambda: False)
    slow = Int8Linear.of(layer, "dynamic")(x)
    assert (fast - slow).norm() / slow.norm() < 0.02


def test_constant_inputs_and_rows_of_zeros(layer: nn.Linear) -> None:
    with torch.no_grad():
        layer.weight[3] = 0
    made = Int8Linear.of(layer, "dynamic")
    found = made(torch.zeros(2, 48))
    torch.testing.assert_close(found, layer.bias.detach().expand(2, -1))
    assert torch.isfinite(made(torch.full((2, 48), 1e-20))).all()


def test_a_table_keeps_each_row_to_a_level() -> None:
    table = nn.Embedding(1200, 16)
    made = Int8Embedding.of(table)
    ids = torch.tensor([[0, 5], [1199, 7]])
    bound = table.weight.abs().amax(1)[ids][..., None] / 127 / 2
    assert ((made(ids) - table(ids)).abs() <= bound * 1.001).all()
    assert made.weight.dtype == torch.int8


def test_levels_hold_zero_exactly() -> None:
    scale, zero = int8.steps(torch.tensor([2.0, 6.0]))
    assert int8.as_bytes(torch.zeros(1), scale, zero).item() == zero == 0
    scale, zero = int8.steps(torch.tensor([-6.0, -2.0]))
    assert int8.as_bytes(torch.zeros(1), scale, zero).item() == zero == 255
