"""Adapters against the papers' formulas, in 64 bits, on the layers that they stand beside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sartor.errors import BadInput
from sartor.methods.adapter import Adapter, norms, places
from sartor.network import assemble
from sartor.saving import is_changed
from text_samples import labelled
from tiny_runs import begun, recipe, steps

ROWS = labelled(24)
S = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def net(folder: Path, method: str, pooling: str = "mean") -> Any:
    """Assembled, and moved away from its zero start, in 64 bits."""
    made = recipe(folder, ROWS, method, pooling)
    found = assemble(made.task, made.backbone, made.method, steps=1, seed=0, dropout=0.0).double()
    with torch.no_grad():
        for name, weight in found.body.named_parameters():
            if ".adapter." in name:
                weight.normal_(0.0, 0.3, generator=torch.Generator().manual_seed(len(name)))
    return found


def bottleneck(layer: Any, x: Tensor, f: Callable[[Tensor], Tensor] = torch.relu) -> Tensor:
    """U f(D x + d) + u, written out."""
    a = layer.adapter
    return f(x @ a.down.weight.T + a.down.bias) @ a.up.weight.T + a.up.bias


def linear(layer: Any, x: Tensor) -> Tensor:
    return x @ layer.weight.T + layer.bias


def normed(norm: Any, x: Tensor) -> Tensor:
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
    return (x - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias


def passed(block: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """(what the block gives for x, what its own attention gave before its output layer)."""
    seen: list[Tensor] = []
    handle = block.attention.output.dense.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        out = block(x)
    handle.remove()
    return (out[0] if isinstance(out, tuple) else out), seen[0]


@pytest.fixture
def x() -> Tensor:
    return torch.randn(1, 7, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_houlsby_is_the_formula(tiny_encoder: Path, x: Tensor) -> None:
    block = net(tiny_encoder, "adapter:reduction_factor=4,non_linearity=gelu").body.blocks()[1]
    found, context = passed(block, x)
    a = linear(block.attention.output.dense, context)
    y = normed(block.attention.output.LayerNorm, x + a + bottleneck(block.attention.output.dense, a, functional.gelu))
    h = linear(block.output.dense, functional.gelu(linear(block.intermediate.dense, y)))
    expected = normed(block.output.LayerNorm, y + h + bottleneck(block.output.dense, h, functional.gelu))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_pfeiffer_is_the_formula_behind_a_norm(tiny_encoder: Path, x: Tensor) -> None:
    block = net(tiny_encoder, "adapter:placement=pfeiffer,reduction_factor=4").body.blocks()[1]
    found, context = passed(block, x)
    y = normed(block.attention.output.LayerNorm, x + linear(block.attention.output.dense, context))
    total = y + linear(block.output.dense, functional.gelu(linear(block.intermediate.dense, y)))
    norm = block.output.LayerNorm
    expected = normed(norm, total + bottleneck(norm, normed(norm, total)))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_parallel_is_the_formula(tiny_encoder: Path, x: Tensor) -> None:
    block = net(tiny_encoder, "adapter:placement=parallel,reduction_factor=4").body.blocks()[0]
    found, context = passed(block, x)
    y = normed(block.attention.output.LayerNorm, x + linear(block.attention.output.dense, context))
    h = linear(block.output.dense, functional.gelu(linear(block.intermediate.dense, y)))
    expected = normed(block.output.LayerNorm, y + h + 4.0 * bottleneck(block.output.dense, y))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_where_norms_come_first_the_blocks_sum_is_read(tmp_path: Path) -> None:
    """ModernBERT: what a block gave before, h, becomes h + A(h)."""
    import tiny_models

    folder = tiny_models.modernbert(tmp_path / "model")
    with_it = net(folder, "adapter:placement=pfeiffer,reduction_factor=4", "native")
    block = with_it.body.blocks()[1]
    seen: list[Tensor] = []
    handle = block.mlp.Wo.register_forward_hook(lambda _, __, out: seen.append(out))
    given: list[Any] = []
    norm = block.mlp_norm.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    after: list[Any] = []
    block.register_forward_hook(lambda _, __, out: after.append(out[0] if isinstance(out, tuple) else out))
    with torch.no_grad():
        with_it.body(with_it.body.few)
    handle.remove()
    norm.remove()
    h = given[0] + seen[0]
    torch.testing.assert_close(after[0], h + bottleneck(block, h), rtol=0, atol=1e-12)


def test_houlsby_moves_the_norms_and_the_others_do_not(tiny_encoder: Path) -> None:
    two, one, beside = (
        recipe(tiny_encoder, ROWS, f"adapter:placement={p},reduction_factor=8")
        for p in ("houlsby", "pfeiffer", "parallel")
    )
    size = 2 * 32 * 4 + 4 + 32
    head = 3 * 32 + 3
    counts = [moving(made) for made in (two, one, beside)]
    assert counts == [2 * (2 * size + 4 * 32) + head, 2 * size + head, 2 * size + head]


def moving(made: Any) -> int:
    found = assemble(made.task, made.backbone, made.method, steps=1, seed=0)
    return sum(w.numel() for w in found.trainable().values())


def test_only_the_last_blocks_get_adapters_and_the_rest_is_kept(tiny_encoder: Path) -> None:
    run, encoded = begun(recipe(tiny_encoder, ROWS, "adapter:last=1", max_steps=3), ROWS)
    assert run.depth == 1
    list(steps(run, encoded))
    inside = {name.split(".adapter.")[0] for name in run.net.body.state_dict() if ".adapter." in name}
    assert inside == {f"model.encoder.layer.1.{place}" for place in ("attention.output.dense", "output.dense")}


@pytest.mark.parametrize("placement", ["houlsby", "pfeiffer", "parallel"])
@pytest.mark.parametrize("model", ["tiny_roberta", "tiny_distilbert"])
def test_other_anatomies_train_save_and_load(
    placement: str, model: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    from sartor.bundle import save_network
    from sartor.engine.features import outputs
    from sartor.saving import reopen

    made = recipe(
        request.getfixturevalue(model), ROWS, f"adapter:placement={placement}", "native", max_steps=3, precision="bf16"
    )
    run, encoded = begun(made, ROWS)
    assert run.net.body.layout() == "packed"
    list(steps(run, encoded))
    before = outputs(run.net, encoded)
    folder = save_network(tmp_path / "bundle", run.net, made, ROWS.schema, {}, "")
    assert is_changed(folder)
    torch.testing.assert_close(outputs(reopen(folder, made), encoded), before, rtol=0, atol=1e-6)


def block_of(kind: str, config: str, path: str, **sizes: Any) -> nn.Module:
    import transformers

    model = getattr(transformers, kind)(getattr(transformers, config)(**sizes))
    found: nn.Module = model.get_submodule(path)
    return found


BLOCKS: dict[str, tuple[dict[str, Any], tuple[str, str, str], int]] = {
    "Bert encoder.layer.0": (S, ("attention.output.dense", "intermediate.dense", "output.dense"), 2),
    "Electra encoder.layer.0": (S, ("attention.output.dense", "intermediate.dense", "output.dense"), 2),
    "Llama layers.0": ({**S, "num_key_value_heads": 1}, ("self_attn.o_proj", "mlp.up_proj", "mlp.down_proj"), 2),
    "ViT layers.0": ({**S, "image_size": 16, "patch_size": 8}, ("attention.o_proj", "mlp.fc1", "mlp.fc2"), 2),
    "GPTNeoX layers.0": (S, ("attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"), 2),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_places_are_found_by_shape(name: str) -> None:
    sizes, expected, normed_by = BLOCKS[name]
    kind, path = name.split()
    words = {} if kind == "ViT" else {"vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    block = block_of(f"{kind}Model", f"{kind}Config", path, **sizes, **words)
    there = places(block)
    assert there.width == 32
    assert (there.attention, there.begin, there.end) == tuple(block.get_submodule(n) for n in expected)
    assert len(norms(block)) == normed_by


def test_an_inner_width_like_the_outer_one_is_no_trap() -> None:
    block = block_of("BertModel", "BertConfig", "encoder.layer.0", vocab_size=50, **{**S, "intermediate_size": 32})
    there = places(block)
    assert (there.attention, there.begin, there.end) == tuple(
        block.get_submodule(n) for n in ("attention.output.dense", "intermediate.dense", "output.dense")
    )


def sentence(call: Callable[[], object]) -> str:
    with pytest.raises(BadInput) as raised:
        call()
    return str(raised.value)


def test_a_block_without_such_layers_is_refused() -> None:
    block = block_of(
        "GPT2Model", "GPT2Config", "h.0", vocab_size=50, n_embd=32, n_layer=1, n_head=2, bos_token_id=1, eos_token_id=2
    )
    assert sentence(lambda: places(block)) == (
        "error[ADAPTER_PLACE]: a GPT2Block has no attention and feed-forward of linear layers that return to its "
        "width. "
        "Fix: use a method that moves what is there: bitfit or full."
    )
    alone = nn.ModuleDict({name: nn.Linear(8, 8) for name in ("q", "k", "v", "o", "first", "second")})
    assert "ADAPTER_PLACE" in sentence(lambda: places(alone))


@dataclass
class Anything:
    """A network of which only its body is asked."""

    body: Any


def test_what_cannot_be_is_refused(tiny_encoder: Path) -> None:
    def given(method: str) -> Callable[[], object]:
        return lambda: begun(recipe(tiny_encoder, ROWS, method, max_steps=1), ROWS)

    assert sentence(given("adapter:last=3")) == (
        "error[ADAPTER_LAST]: adapter.last is 3 and the network has 2 blocks. Fix: give at most 2."
    )
    assert sentence(given("adapter:reduction_factor=33")) == (
        "error[ADAPTER_WIDTH]: adapter.reduction_factor is 33 and the network's width 32. Fix: give at most 32."
    )
    assert sentence(lambda: Adapter(last=0)) == "error[VALUE_RANGE]: adapter.last is 0. Fix: give at least 1."
    assert sentence(lambda: Adapter(reduction_factor=0)) == (
        "error[VALUE_RANGE]: adapter.reduction_factor is 0. Fix: give a number above 0."
    )
    made = recipe(tiny_encoder, ROWS, "adapter:placement=pfeiffer")
    body = made.backbone.build(made.task.layout)
    body.few = None
    found: Any = Anything(body)
    assert sentence(lambda: made.method.apply(found, 1)) == (
        "error[ADAPTER_TRIAL]: this network cannot be tried to see where its norms are. "
        "Fix: use adapter:placement=houlsby or adapter:placement=parallel."
    )
    body.blocks = list  # type: ignore[method-assign]
    assert sentence(lambda: made.method.apply(found, 1)) == (
        "error[ADAPTER_PLACE]: the network has no blocks to put adapters in. "
        "Fix: use a method that moves what is there: full."
    )
