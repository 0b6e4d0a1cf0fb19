"""LoRA against its formula, W + alpha / r B A, written out independently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sartor import wrapping
from sartor.errors import BadInput
from sartor.methods.lora import LoRA, wrapped
from text_samples import labelled
from tiny_runs import begun, recipe, steps

ROWS = labelled(24)


def trained(folder: Path, method: str, pooling: str = "mean") -> Any:
    made = recipe(folder, ROWS, method, pooling, max_steps=5, learning_rate=5e-3)
    run, encoded = begun(made, ROWS)
    list(steps(run, encoded))
    return run


@pytest.mark.parametrize(("r", "alpha"), [(1, 4.0), (4, 32.0), (8, 2.0)])
def test_the_merged_weight_is_the_formula(tiny_encoder: Path, r: int, alpha: float) -> None:
    run = trained(tiny_encoder, f"lora:r={r},lora_alpha={alpha}")
    plain = run.recipe.backbone.build(run.recipe.task.layout)
    state = {name: value.clone() for name, value in run.net.body.state_dict().items()}
    run.recipe.method.merge(run.net)
    for name in plain.linears():
        frozen = plain.get_submodule(name).weight
        a, b = state[f"{name}.lora_A.default.weight"], state[f"{name}.lora_B.default.weight"]
        assert a.shape == (r, frozen.shape[1])
        assert b.shape == (frozen.shape[0], r)
        assert float(b.abs().max()) > 0
        expected = frozen + alpha / r * b @ a
        torch.testing.assert_close(run.net.body.get_submodule(name).weight, expected, rtol=1e-5, atol=1e-6)
        assert torch.equal(run.net.body.get_submodule(name).bias, plain.get_submodule(name).bias)


def test_the_forward_pass_is_the_formula(tiny_encoder: Path) -> None:
    run = trained(tiny_encoder, "lora:r=3,lora_alpha=6")
    name = run.recipe.backbone.build(run.recipe.task.layout).linears()[0]
    layer = run.net.body.get_submodule(name)
    x = torch.randn(7, layer.in_features, generator=torch.Generator().manual_seed(0))
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    base = layer.get_base_layer()
    torch.testing.assert_close(layer(x), x @ base.weight.T + base.bias + 2.0 * (x @ a.T) @ b.T, rtol=1e-5, atol=1e-5)


def test_only_the_low_rank_weights_and_the_head_move(tiny_encoder: Path) -> None:
    run = trained(tiny_encoder, "lora:r=4")
    moving = run.net.trainable()
    assert sum(p.numel() for p in moving.values()) == 2 * 4 * (4 * 2 * 32 + 2 * (32 + 64)) + 3 * 32 + 3
    assert all(".lora_A." in n or ".lora_B." in n or n.startswith("head.") for n in moving)


@pytest.mark.parametrize(
    ("wanted", "count"), [("query", 2), ("query+value", 4), ("attention.output.dense", 2), ("dense", 6)]
)
def test_targets_are_names_or_ends_of_names(tiny_encoder: Path, wanted: str, count: int) -> None:
    run, _ = begun(recipe(tiny_encoder, ROWS, f"lora:r=2,target_modules={wanted}", max_steps=1), ROWS)
    assert len([n for n in run.net.trainable() if ".lora_A." in n]) == count
    plain = run.recipe.backbone.build(run.recipe.task.layout).linears()
    assert wrapping.targets(plain, "lora", [plain[3]]) == [plain[3]]


def test_a_target_is_found_in_another_anatomy(tiny_distilbert: Path) -> None:
    run = trained(tiny_distilbert, "lora:r=2,target_modules=q_lin+v_lin", "native")
    assert len([n for n in run.net.trainable() if ".lora_A." in n]) == 4


def test_an_unknown_target_is_answered_with_the_nearest(tiny_encoder: Path) -> None:
    made = recipe(tiny_encoder, ROWS, "lora:target_modules=qeury", max_steps=1)
    with pytest.raises(BadInput) as raised:
        begun(made, ROWS)
    assert str(raised.value) == (
        "error[LORA_TARGET]: no linear layer is called 'qeury'. "
        "Fix: did you mean 'query'? Known: dense, key, query, value."
    )


def test_part_of_a_word_is_no_target() -> None:
    with pytest.raises(BadInput, match="LORA_TARGET"):
        wrapping.targets(["model.layer.0.query"], "lora", ["ery"])


def test_a_rank_below_one_is_refused() -> None:
    with pytest.raises(BadInput) as raised:
        LoRA(r=0)
    assert str(raised.value) == "error[VALUE_RANGE]: lora.r is 0. Fix: give at least 1."


def test_its_own_dropout_stays_where_the_plan_sets_none(tiny_encoder: Path) -> None:
    run, _ = begun(recipe(tiny_encoder, ROWS, "lora:lora_dropout=0.35", max_steps=1, dropout=None), ROWS)
    inside = [m.p for n, m in run.net.named_modules() if "lora_dropout.default" in n]
    assert len(inside) == 12
    assert set(inside) == {0.35}


def test_its_own_dropout_stays_where_the_plan_sets_the_bodys(tiny_encoder: Path) -> None:
    run, _ = begun(recipe(tiny_encoder, ROWS, "lora:lora_dropout=0.35", max_steps=1, dropout=0.0), ROWS)
    shares = {n: m.p for n, m in run.net.named_modules() if isinstance(m, torch.nn.Dropout)}
    assert {p for n, p in shares.items() if "lora_dropout" in n} == {0.35}
    assert {p for n, p in shares.items() if "lora_dropout" not in n} == {0.0}


def test_a_rank_above_a_layers_width_is_refused(tiny_encoder: Path) -> None:
    with pytest.raises(BadInput) as raised:
        begun(recipe(tiny_encoder, ROWS, "lora:r=64", max_steps=1), ROWS)
    assert str(raised.value) == (
        "error[RANK_WIDTH]: lora.r is 64 and the layer 'model.encoder.layer.0.attention.self.query' is 32 wide. "
        "Fix: give at most 32."
    )


def test_a_network_without_linear_layers_is_refused() -> None:
    net: Any = torch.nn.Module()
    net.body = torch.nn.Sequential()
    net.body.linears = list
    with pytest.raises(BadInput) as raised:
        LoRA().apply(net, 1)
    assert str(raised.value) == (
        "error[LINEARS_NONE]: lora wraps linear layers, and this network's blocks have none. "
        "Fix: use a method that wraps nothing: full, bitfit or probe."
    )


@pytest.mark.parametrize(("rslora", "scale"), [("false", 8.0 / 4), ("true", 8.0 / 2)])
def test_a_stabilised_rank_is_scaled_by_its_root(rslora: str, scale: float, tiny_encoder: Path) -> None:
    run = trained(tiny_encoder, f"lora:r=4,lora_alpha=8,use_rslora={rslora}")
    for layer in wrapped(run.net).values():
        a, b, base = layer.lora_A["default"].weight, layer.lora_B["default"].weight, layer.get_base_layer()
        x = torch.randn(5, layer.in_features, generator=torch.Generator().manual_seed(0))
        expected = x @ base.weight.T + base.bias + scale * (x @ a.T) @ b.T
        torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)


def test_dora_is_the_papers_formula(tiny_encoder: Path) -> None:
    """m (W + s B A) / ||W + s B A||, norms of rows, in 64 bits; merged too."""
    run = trained(tiny_encoder, "lora:r=3,lora_alpha=6,use_dora=true")
    assert {n.split(".lora_")[1].split(".")[0] for n in run.net.trainable() if ".lora_" in n} == {
        "A",
        "B",
        "magnitude_vector",
    }
    expected = {}
    for name, layer in wrapped(run.net).items():
        layer.double()
        a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        base, m = layer.get_base_layer(), layer.lora_magnitude_vector["default"].weight
        assert not torch.allclose(m, base.weight.norm(dim=1), atol=1e-3)
        direction = base.weight + 2.0 * b @ a
        expected[name] = m[:, None] * direction / direction.norm(dim=1, keepdim=True)
        x = torch.randn(5, layer.in_features, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(layer(x), x @ expected[name].T + base.bias, rtol=1e-9, atol=1e-9)
    run.recipe.method.merge(run.net)
    for name, weight in expected.items():
        torch.testing.assert_close(run.net.body.get_submodule(name).weight, weight, rtol=1e-9, atol=1e-9)
