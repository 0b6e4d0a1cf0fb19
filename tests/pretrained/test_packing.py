"""Packing against the padded model in fp32: features, gradients, stretches; what is not packed says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from sartor.pretrained.packing import MOST_SCORES, Attention, Packing, Sight
from sartor.pretrained.text import open_text
from tiny_models import modernbert

LENGTHS = [3, 38, 2, 17, 17, 16, 5, 40, 2]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=40))
def test_stretches_hold_every_token_once_in_order_of_length(lengths: list[int]) -> None:
    packing = Packing.of(torch.tensor(lengths))
    assert packing.lengths.tolist() == sorted(lengths)
    assert torch.cat([s.lengths for s in packing.stretches]).tolist() == sorted(lengths)
    ends = [s.last for s in packing.stretches]
    assert [s.first for s in packing.stretches] == [0, *ends[:-1]]
    assert ends[-1] == sum(lengths)
    assert all(s.rows == 1 or s.rows * s.longest**2 <= MOST_SCORES for s in packing.stretches)
    positions = [p for n in sorted(lengths) for p in range(n)]
    assert packing.positions().tolist() == positions


def test_one_long_row_costs_no_other_row_anything() -> None:
    packing = Packing.of(torch.tensor([20] * 31 + [160]))
    assert [(s.rows, s.longest) for s in packing.stretches] == [(31, 20), (1, 160)]


def attended(q: Tensor, k: Tensor, v: Tensor, lengths: list[int], sight: Sight) -> Tensor:
    """Row by row in torch's own attention."""
    out, start = [], 0
    for n in sorted(lengths):
        qs, ks, vs = (t[start : start + n].transpose(0, 1)[None] for t in (q, k, v))
        ahead = torch.arange(n) - torch.arange(n)[:, None]
        seen = ahead <= 0 if sight.causal else torch.ones(n, n, dtype=torch.bool)
        if sight.window is not None:
            seen = seen & (ahead.abs() < sight.window)
        found = functional.scaled_dot_product_attention(qs, ks, vs, seen, scale=sight.scale, enable_gqa=True)
        out.append(found[0].transpose(0, 1))
        start += n
    return torch.cat(out)


@pytest.mark.parametrize("keys", [4, 2])
@pytest.mark.parametrize(
    "sight", [Sight(0.3), Sight(0.3, causal=True), Sight(0.3, window=7), Sight(1.0, True, 4)], ids=str
)
def test_attention_is_that_of_every_row_alone(sight: Sight, keys: int) -> None:
    torch.manual_seed(0)
    lengths = [*LENGTHS, 90, 90]
    tokens = sum(lengths)
    parts = [torch.randn(tokens, heads, 8, dtype=torch.float32, requires_grad=True) for heads in (4, keys, keys)]
    grad = torch.randn(tokens, 4, 8)
    found = Attention.apply(*parts, Packing.of(torch.tensor(lengths)), sight, 0.0)
    mine = torch.autograd.grad(found, parts, grad)
    expected = attended(*parts, lengths, sight)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    for a, b in zip(mine, torch.autograd.grad(expected, parts, grad), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_dropped_weights_get_no_gradient() -> None:
    """With dropout the output is linear in v: its gradient must be that of the mask that was drawn."""
    torch.manual_seed(0)
    q, k = torch.randn(2, 30, 2, 4).unbind()
    v = torch.randn(30, 2, 4, requires_grad=True)
    packing = Packing.of(torch.tensor([13, 17]))
    torch.manual_seed(5)
    out = Attention.apply(q, k, v, packing, Sight(0.5), 0.4)
    grad = torch.randn_like(out)
    (found,) = torch.autograd.grad(out, v, grad)
    torch.testing.assert_close((found * v).sum(), (out * grad).sum(), rtol=1e-4, atol=1e-4)


@pytest.fixture(params=["bert", "sentence bert", "roberta", "distilbert", "modernbert"])
def body(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "modernbert":
        return open_text(modernbert(tmp_path / "m"), "native", 40)
    name = {"sentence bert": "tiny_sentence_encoder", "bert": "tiny_encoder"}.get(
        request.param, f"tiny_{request.param}"
    )
    return open_text(request.getfixturevalue(name), "auto", 40)


def rows(body: Any, lengths: list[int]) -> Any:
    texts = [" ".join("abcdefghij"[i % 10] for i in range(n)) for n in lengths]
    return body.encode({"text": texts})


def test_a_packed_body_equals_the_padded_one(body: Any) -> None:
    body.eval()
    assert body.layout() == "packed"
    batch = rows(body, LENGTHS)
    packed, padded = body._packed(batch), body._padded(batch)
    torch.testing.assert_close(packed, padded, rtol=1e-4, atol=1e-5)
    assert float((packed[0] - packed[1]).detach().abs().max()) > 1e-3
    names, weights = zip(*body.named_parameters(), strict=True)
    target = torch.randn_like(packed)
    mine = torch.autograd.grad((packed * target).sum(), weights, allow_unused=True)
    theirs = torch.autograd.grad((padded * target).sum(), weights, allow_unused=True)
    largest = max(float(b.abs().max()) for b in theirs if b is not None)
    for name, a, b in zip(names, mine, theirs, strict=True):
        assert (a is None) == (b is None), name
        if a is not None and b is not None:
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5 * largest, msg=lambda said: f"{name}: {said}")  # noqa: B023


def test_what_does_not_go_through_the_interface_is_padded(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that keeps its own attention ignores the packing; the first rows show it."""
    from sartor.pretrained import text

    monkeypatch.setattr(text, "_packable", lambda model: model)
    body = open_text(tiny_encoder, "auto", 40).eval()
    assert body.layout() == "padded"
    assert body.depth() == 0
    batch = rows(body, LENGTHS)
    one_by_one = torch.cat([body(batch.take(torch.tensor([i]))) for i in range(len(batch))])
    torch.testing.assert_close(body(batch), one_by_one, rtol=1e-4, atol=1e-5)


def test_a_pass_goes_on_from_any_block(tiny_sentence_encoder: Path) -> None:
    body = open_text(tiny_sentence_encoder, "auto", 40).eval()
    batch = rows(body, LENGTHS)
    for depth in range(len(body.blocks())):
        hidden = body.prefix(batch, depth)
        assert hidden.shape == (int(batch.lengths.sum()), body.width)
        going_on = batch.behind(depth, hidden).take(torch.tensor([4, 1, 7]))
        torch.testing.assert_close(body(going_on), body(batch)[[4, 1, 7]], rtol=1e-4, atol=1e-5)
    assert len(list(body.model.encoder.layer)) == 2


def test_the_depth_is_what_does_not_move(tiny_sentence_encoder: Path) -> None:
    body = open_text(tiny_sentence_encoder, "auto", 40)
    assert body.depth() == 0
    body.requires_grad_(False)
    assert body.depth() == 2
    next(body.blocks()[1].parameters()).requires_grad_(True)
    assert body.depth() == 1
    body.model.embeddings.LayerNorm.bias.requires_grad_(True)
    assert body.depth() == 0
