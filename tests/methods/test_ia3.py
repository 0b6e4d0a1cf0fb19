"""(IA)^3: which elements are scaled, and networks where they cannot be found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import tiny_models
from sartor import wrapping
from sartor.errors import BadInput
from sartor.methods.ia3 import IA3
from text_samples import labelled
from tiny_runs import begun, recipe, steps

ROWS = labelled(24)


def layers(run: Any) -> dict[str, Any]:
    from peft.tuners.ia3 import IA3Layer

    return wrapping.wrapped(run.net, IA3Layer)


def run_of(folder: Path, method: str, pooling: str = "native") -> Any:
    return begun(recipe(folder, ROWS, method, pooling, max_steps=4, learning_rate=2e-2), ROWS)


@pytest.mark.parametrize(
    ("model", "behind", "front"),
    [
        ("bert", ["key", "value"], ["output.dense"]),
        ("roberta", ["key", "value"], ["output.dense"]),
        ("distilbert", ["k_lin", "v_lin"], ["lin2"]),
        ("modernbert", ["Wqkv"], ["mlp.Wo"]),
    ],
)
def test_keys_values_and_the_feed_forward_layer_are_found(
    model: str, behind: list[str], front: list[str], tmp_path: Path
) -> None:
    """By what attention reads, not by what layers are called; one that makes queries too is scaled whole."""
    run, _ = run_of(getattr(tiny_models, model)(tmp_path / "model"), "ia3")
    for ends, inner in ((behind, False), (front, True)):
        found = [name for name, layer in layers(run).items() if layer.is_feedforward is inner]
        assert len(found) == 2 * len(ends)
        assert all(any(wrapping.is_end(name, end) for end in ends) for name in found)


def test_the_forward_pass_is_the_formula(tiny_encoder: Path) -> None:
    run, encoded = run_of(tiny_encoder, "ia3")
    list(steps(run, encoded))
    for layer in layers(run).values():
        layer.double()
        x = torch.randn(7, layer.in_features, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        base, scale = layer.get_base_layer(), layer.ia3_l["default"].flatten()
        assert float((scale - 1).detach().abs().max()) > 1e-3
        read, given = (x * scale, 1.0) if layer.is_feedforward else (x, scale)
        torch.testing.assert_close(layer(x), (read @ base.weight.T + base.bias) * given, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("words", "behind", "front"),
    [
        ("last=1", 2, 1),
        ("target_modules=query+intermediate.dense", 4, 0),
        ("target_modules=query+value,feedforward_modules=value", 2, 2),
    ],
)
def test_layers_can_be_named(words: str, behind: int, front: int, tiny_encoder: Path) -> None:
    found = [layer.is_feedforward for layer in layers(run_of(tiny_encoder, f"ia3:{words}")[0]).values()]
    assert (found.count(False), found.count(True)) == (behind, front)


def test_a_network_whose_attention_cannot_be_seen_is_refused() -> None:
    net: Any = torch.nn.Module()
    net.body = torch.nn.Sequential(torch.nn.Linear(3, 3))
    net.body.few = None
    with pytest.raises(BadInput) as raised:
        IA3().apply(net, 1)
    assert str(raised.value) == (
        "error[IA3_ATTENTION]: ia3 scales keys and values, and this network's cannot be seen. "
        "Fix: name the layers, such as ia3:target_modules=key+value+dense, or use lora."
    )
