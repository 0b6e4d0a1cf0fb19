"""Forward passes sorted by length, answers in the order of the rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sartor.engine import features as passes
from sartor.engine.features import features, outputs, remembering
from text_samples import labelled, table
from tiny_runs import begun, recipe

WORDS = ["cat", "the dog near a saw", "", "one two three four five six", "x " * 60, "bread"]


@pytest.fixture
def run(tiny_encoder: Path) -> Any:
    rows = labelled(10)
    return begun(recipe(tiny_encoder, rows, max_steps=1, dropout=0.5), rows)[0]


def encoded(run: Any, texts: list[str]) -> Any:
    return run.recipe.task.encode(table({"text": texts}, {"text": "text"}, None), run.net.body)


@pytest.mark.parametrize("tokens", [1, 64, 2048])
def test_answers_come_in_row_order_and_equal_one_by_one(run: Any, monkeypatch: pytest.MonkeyPatch, tokens: int) -> None:
    monkeypatch.setattr(passes, "TOKENS", tokens)
    texts = [WORDS[i % 6] + f" {i}" for i in range(20)]
    batch = encoded(run, texts)
    alone = torch.cat([features(run.net.body, encoded(run, [text])) for text in texts])
    torch.testing.assert_close(features(run.net.body, batch), alone, rtol=1e-4, atol=1e-5)
    expected = run.net.head(alone).detach()
    torch.testing.assert_close(outputs(run.net, batch), expected, rtol=1e-4, atol=1e-5)
    assert float((alone[0] - alone[1]).abs().max()) > 1e-2


def test_a_pass_holds_no_more_tokens_than_it_may(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "TOKENS", 60)
    batch = encoded(run, [WORDS[i % 6] for i in range(30)])
    cuts = list(passes._by_length(batch))
    assert sorted(torch.cat(cuts).tolist()) == list(range(30))
    assert all(len(cut) == 1 or len(cut) * int(batch.lengths[cut].max()) <= 60 for cut in cuts)
    padded, real = sum(len(c) * int(batch.lengths[c].max()) for c in cuts), int(batch.lengths.sum())
    assert padded < 1.2 * real


def test_where_memory_does_not_suffice_a_pass_is_made_in_halves(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = encoded(run, [WORDS[i % 6] + f" {i}" for i in range(20)])
    whole, seen, forward = outputs(run.net, batch), [], type(run.net).forward

    def small(net: Any, rows: Any, *more: Any) -> Any:
        if len(rows) > 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        seen.append(len(rows))
        return forward(net, rows, *more)

    monkeypatch.setattr(type(run.net), "forward", small)
    torch.testing.assert_close(outputs(run.net, batch), whole, rtol=1e-4, atol=1e-5)
    assert sum(seen) == 20
    monkeypatch.setattr(type(run.net), "forward", lambda *_: (_ for _ in ()).throw(RuntimeError("another fault")))
    with pytest.raises(RuntimeError, match="another fault"):
        outputs(run.net, batch)


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_off_and_the_mode_is_kept(run: Any, training: bool) -> None:
    run.net.train(training)
    batch = encoded(run, WORDS)
    assert torch.equal(outputs(run.net, batch), outputs(run.net, batch))
    assert run.net.training is training
    assert run.net.body.training is training


def test_the_mode_is_kept_where_a_pass_fails(run: Any) -> None:
    run.net.train()
    batch = encoded(run, WORDS)
    batch.sequences["input_ids"][0] = 10**6
    with pytest.raises(IndexError):
        outputs(run.net, batch)
    assert run.net.training


def test_no_graph_is_kept(run: Any) -> None:
    assert not outputs(run.net, encoded(run, WORDS)).requires_grad


def test_bf16_is_near_and_answers_in_fp32(run: Any) -> None:
    batch = encoded(run, WORDS)
    found = features(run.net.body, batch, "bf16")
    assert found.dtype == torch.float32
    assert 0 < float((found - features(run.net.body, batch)).abs().max()) < 0.1


def test_inside_features_of_known_rows_are_found_again(tiny_encoder: Path) -> None:
    rows = labelled(20)
    made = recipe(tiny_encoder, rows, max_steps=1)
    run, encoded = begun(made, rows)
    some = encoded.take(torch.tensor([7, 3, 7]))
    expected = features(run.net.body, some)
    with remembering(run.net.body, encoded, "fp32"):
        before = dict(run.net.body.named_modules())
        torch.testing.assert_close(features(run.net.body, some), expected)
        torch.testing.assert_close(run.net.body(some), expected)
        with pytest.raises(KeyError):
            run.net.body(replace(some, rows=some.rows + 1000))
    assert "forward" not in vars(run.net.body)
    assert before.keys() == dict(run.net.body.named_modules()).keys()
