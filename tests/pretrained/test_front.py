"""What stands before rows: packed as padded, as written out in 64 bits, and what it costs rows that are long."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tiny_models
from sartor.batch import Batch
from sartor.body import Front
from sartor.pretrained import packing
from sartor.pretrained.front import Ahead, Prompted, States, before, shortened
from text_samples import labelled
from tiny_runs import begun, recipe

ROWS = labelled(20)
METHODS = ("prompt_tuning:num_virtual_tokens=5", "prefix_tuning:num_virtual_tokens=5")


def batch(*rows: list[int]) -> Batch:
    lengths = torch.tensor([0, *map(len, rows)])
    return Batch(
        rows=torch.arange(len(rows)),
        offsets=lengths.cumsum(0),
        sequences={"input_ids": torch.tensor([t for row in rows for t in row], dtype=torch.int32)},
    )


def rows_of(found: Batch) -> list[list[int]]:
    return [part.tolist() for part in found.sequences["input_ids"].split(found.lengths.tolist())]


@pytest.mark.parametrize(
    ("front", "room", "expected"),
    [
        (Front(), 3, [[11, 12, 13, 14], [21], [31, 32]]),
        (Front(tokens=2), 9, [[-1, -2, 11, 12, 13, 14], [-1, -2, 21], [-1, -2, 31, 32]]),
        (Front(tokens=2), 5, [[-1, -2, 11, 12, 14], [-1, -2, 21], [-1, -2, 31, 32]]),
        (Front(positions=2), 5, [[11, 12, 14], [21], [31, 32]]),
    ],
)
def test_virtual_tokens_stand_first_and_long_rows_lose_what_is_before_their_last(
    front: Front, room: int, expected: list[list[int]]
) -> None:
    found = before(batch([11, 12, 13, 14], [21], [31, 32]), front, room)
    assert rows_of(found) == expected
    assert found.sequences["input_ids"].dtype == torch.int32
    assert shortened(torch.tensor([4, 1, 2]), front, room) == int(room != 9)


def test_other_sequences_say_nothing_of_virtual_tokens() -> None:
    given = batch([11, 12], [21])
    given.sequences["token_type_ids"] = torch.tensor([0, 1, 1], dtype=torch.int32)
    found = before(given, Front(tokens=1), 9)
    assert found.sequences["token_type_ids"].tolist() == [0, 0, 1, 0, 1]


def test_a_table_has_rows_for_negative_words() -> None:
    table = nn.Embedding(6, 3)
    wider = Prompted(table, torch.randn(2, 3))
    ids = torch.tensor([[-1, 4, -2], [-2, 0, -1]])
    found = wider(ids)
    for i in range(2):
        for j in range(3):
            word = int(ids[i, j])
            assert torch.equal(found[i, j], wider.prompts[-1 - word] if word < 0 else table.weight[word])
    found[:, 0].sum().backward()
    assert wider.prompts.grad is not None
    assert torch.equal(wider.prompts.grad, torch.ones(2, 3))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", ["bert", "roberta", "distilbert", "modernbert"])
def test_packed_rows_give_what_padded_ones_do(model: str, method: str, tmp_path: Path) -> None:
    """Features and gradients."""
    run, encoded = begun(recipe(getattr(tiny_models, model)(tmp_path / "model"), ROWS, method, "native"), ROWS)
    body: Any = run.net.body.eval()
    assert body.layout() == "packed"
    found = {}
    for way in ("_packed", "_padded"):
        features = getattr(body, way)(encoded)
        (features * torch.linspace(-1, 1, features.shape[1])).sum().backward()
        grads = {n: p.grad.clone() for n, p in body.named_parameters() if p.requires_grad}
        body.zero_grad()
        found[way] = features.detach(), grads
    torch.testing.assert_close(found["_packed"][0], found["_padded"][0], rtol=1e-4, atol=1e-5)
    for name, grad in found["_packed"][1].items():
        assert float(grad.abs().max()) > 0
        torch.testing.assert_close(grad, found["_padded"][1][name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("kinds", [2, 1])
def test_attention_behind_a_prefix_is_the_formula(causal: bool, window: int | None, kinds: int) -> None:
    """softmax(scale q [K; k]^T) [V; v] of every row and head, written out in 64 bits; two heads may share keys."""
    draw = torch.Generator().manual_seed(3)
    lengths, n, d = torch.tensor([1, 3, 3, 6]), 2, 4
    packed = packing.Packing.of(lengths)
    sizes = ((2, 64), (kinds, 64), (kinds, 64))
    q, k, v = (torch.randn(1, h, s, d, generator=draw, dtype=torch.float64) for h, s in sizes)
    module = nn.Module()
    states = States(torch.randn(n, 2 * 2 * kinds * d, generator=draw)).double()
    module.in_front = Ahead(states, 1, kinds, d)  # type: ignore[assignment]
    words: Any = {"packing": packed, "is_causal": causal, "sliding_window": window, "scaling": 0.7}
    found = packing.attend(module, q, k, v, None, **words)[0][0]  # (S, h, d)
    whole = states.weight.view(n, 4, kinds, d)
    start = 0
    for length in packed.lengths.tolist():
        for head in range(2):
            shared = head * kinds // 2
            here = slice(start, start + length)
            keys = torch.cat([whole[:, 2, shared], k[0, shared, here]])
            values = torch.cat([whole[:, 3, shared], v[0, shared, here]])
            expected = q[0, head, here] @ keys.T * 0.7
            for i in range(length):
                for j in range(length):
                    if (causal and j > i) or (window is not None and abs(i - j) >= window):
                        expected[i, n + j] = -math.inf
            out = torch.softmax(expected, -1) @ values
            torch.testing.assert_close(found[here, head], out, rtol=1e-5, atol=1e-6)
        start += length
    assert not found[start:].any()


def attended(ahead: Ahead, mask: Tensor | None, causal: bool) -> Tensor:
    draw = torch.Generator().manual_seed(5)
    q, k, v = (torch.randn(2, 2, 3, 4, generator=draw) for _ in range(3))
    module = nn.Module()
    module.in_front = ahead  # type: ignore[assignment]
    module.is_causal = causal  # type: ignore[assignment]
    return packing.attend(module, q, k, v, mask)[0]


@pytest.mark.parametrize("causal", [False, True])
def test_a_missing_mask_is_the_mask_that_it_stands_for(causal: bool) -> None:
    ahead = Ahead(States(torch.randn(2, 2 * 2 * 4)), 0, 2, 4)
    whole = torch.ones(3, 3, dtype=torch.bool)
    mask = (whole.tril() if causal else whole).expand(2, 1, 3, 3)
    additive = torch.zeros(2, 1, 3, 3).masked_fill(~mask, -1e9)
    for given in (mask, additive):
        torch.testing.assert_close(attended(ahead, None, causal), attended(ahead, given, causal))
