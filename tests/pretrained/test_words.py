"""Tokens of a row -> pieces and back: nothing is lost, and plain transformers says the same at each token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import tiny_models
from sartor.engine.features import features
from sartor.pretrained import words
from sartor.pretrained.text import TextBody, open_text, reopen_text

ROWS = [["the", "cat", "hammers"], [], ["dog"] * 60 + ["bread"], ["\u200b", "x", "", "hammer"], ["near"]]
TOLD = {"num_labels": 3, "id2label": {0: "O", 1: "B-X", 2: "I-X"}, "label2id": {"O": 0, "B-X": 1, "I-X": 2}}


@pytest.fixture(scope="module", params=["bert", "roberta", "distilbert", "modernbert"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = getattr(tiny_models, request.param)(tmp_path_factory.mktemp("tokens") / request.param)
    return made


@pytest.fixture(scope="module")
def body(folder: Path) -> TextBody:
    return open_text(folder, "tokens", 24).eval()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 9), max_size=40), st.integers(1, 20))
def test_every_token_is_read_in_one_window_that_has_room_for_it(sizes: list[int], room: int) -> None:
    sizes = [min(size, room) for size in sizes]
    found = list(words.windows(sizes, room))
    read = [place for first, last, begin, end in found for place in range(begin, end)]
    assert read == list(range(len(sizes)))
    for first, last, begin, end in found:
        assert first <= begin <= end <= last
        assert sum(sizes[first:last]) <= room


def test_tokens_at_the_border_of_a_window_have_neighbours() -> None:
    for first, last, begin, end in words.windows([1] * 100, 16):
        assert begin == 0 or begin - first >= 2
        assert end == 100 or last - end >= 2


def test_each_token_has_one_place_and_no_piece_is_lost(body: TextBody) -> None:
    batch = body.encode({"tokens": ROWS})
    assert batch.counts is not None
    assert batch.counts.tolist() == [3, 0, 61, 4, 1]
    assert int(batch.sequences["read"].sum()) == 69
    assert int(words.by_window(batch).lengths.max()) <= 24
    single = body.encode({"tokens": [["\u200b"], [""]]})
    assert int(single.sequences["read"].sum()) == 2


def test_a_token_s_vector_does_not_depend_on_other_rows(body: TextBody) -> None:
    batch = body.encode({"tokens": ROWS})
    together = features(body, batch)
    assert together.shape == (69, body.width)
    with torch.no_grad():
        alone = torch.cat([body(batch.take(torch.tensor([i]))) for i in range(len(ROWS))])
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-4)


def test_padded_and_packed_and_from_a_prefix_they_are_the_same(body: TextBody) -> None:
    batch = body.encode({"tokens": ROWS})
    assert body.packs
    assert body.enters
    found = features(body, batch)
    with torch.no_grad():
        torch.testing.assert_close(body(batch.behind(1, body.prefix(batch, 1))), found, rtol=1e-4, atol=1e-4)
    body.packs = False
    try:
        torch.testing.assert_close(features(body, batch), found, rtol=1e-4, atol=1e-4)
    finally:
        body.packs = True


def test_gradients_are_those_of_padded_rows(folder: Path) -> None:
    body = open_text(folder, "tokens", 24)
    batch = body.encode({"tokens": ROWS})
    found = []
    for packs in (True, False):
        body.packs = packs
        body.zero_grad()
        body.eval()(batch).square().sum().backward()
        found.append(torch.cat([p.grad.flatten() for p in body.parameters() if p.grad is not None]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-3 * float(found[1].abs().max()))


def test_plain_transformers_says_the_same_at_each_token_s_first_piece(body: TextBody, tmp_path: Path) -> None:
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    head = nn.Linear(body.width, 3)
    body.save(tmp_path, head, TOLD)
    model, tokenizer = (
        AutoModelForTokenClassification.from_pretrained(tmp_path),
        AutoTokenizer.from_pretrained(tmp_path),
    )
    assert model.config.id2label == TOLD["id2label"]
    for row in (ROWS[0], ROWS[4]):
        read: Any = tokenizer([row], is_split_into_words=True, return_tensors="pt")
        owners = read.word_ids(0)
        first = [i for i, owner in enumerate(owners) if owner is not None and owner not in owners[:i]]
        with torch.no_grad():
            ours = head(body(body.encode({"tokens": [row]})))
            torch.testing.assert_close(model.eval()(**read).logits[0, first], ours, rtol=0, atol=1e-5)


def test_reopened_it_is_the_same_body(body: TextBody, tmp_path: Path) -> None:
    head = nn.Linear(body.width, 3)
    body.save(tmp_path, head, TOLD)
    again = reopen_text(tmp_path, "tokens", 24).eval()
    one, other = body.encode({"tokens": ROWS}), again.encode({"tokens": ROWS})
    assert all(torch.equal(one.sequences[name], other.sequences[name]) for name in one.sequences)
    said = again.heads["classifier"](features(again, other))
    torch.testing.assert_close(said, head(features(body, one)), rtol=0, atol=1e-5)
