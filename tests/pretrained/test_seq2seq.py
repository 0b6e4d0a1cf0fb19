"""Encoder-decoders as bodies, against plain transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from sartor.pretrained.seq2seq import SAID, Seq2SeqBody, drawn, open_seq2seq
from sartor.pretrained.speaking import Search
from sartor.pretrained.vocabulary import characters, learn_characters, learn_pieces, pieces
from spoken_samples import bart, t5, translated, vocabulary

READ = ["Ein Hund läuft.", "Eine Frau wartet auf 3 Kinder 🙂", "x", "Ein Mann schläft."]
SPOKEN = ["A dog runs.", "A woman waits for 3 children 🙂", "", "A man sleeps and sleeps."]


def marian(folder: Path) -> Path:
    sides = {
        f"{s}_{n}": v
        for s in ("encoder", "decoder")
        for n, v in (("layers", 2), ("attention_heads", 2), ("ffn_dim", 48))
    }
    body = drawn(vocabulary(folder), {"d_model": 32, "init_std": 0.3, **sides, "dropout": 0.0}, 64, 3)
    body.save(folder, body.heads["classifier"], {})
    return folder


KINDS: dict[str, Callable[[Path], Path]] = {"marian": marian, "bart": bart, "t5": t5}


@pytest.fixture(scope="module", params=KINDS)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Seq2SeqBody]:
    folder = KINDS[request.param](tmp_path_factory.mktemp(request.param))
    return request.param, folder, open_seq2seq(folder, 64).eval()


def test_which_ways_through_it_are_taken(opened: tuple[str, Path, Seq2SeqBody]) -> None:
    name, _, body = opened
    assert (body.packs, body.whole) == ((False, True) if name == "t5" else (True, False))


def test_scores_are_those_of_plain_transformers(opened: tuple[str, Path, Seq2SeqBody]) -> None:
    _, folder, body = opened
    model, words = AutoModelForSeq2SeqLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    batch = body.encode({"text": READ, SAID: SPOKEN})
    with torch.no_grad():
        found = body.scores(body(batch))
        expected = []
        for read, said in zip(READ, SPOKEN, strict=True):
            labels = words(text_target=[said], return_tensors="pt")["input_ids"]
            expected.append(model(**words([read], return_tensors="pt"), labels=labels).logits[0])
    torch.testing.assert_close(found, torch.cat(expected), rtol=1e-3, atol=1e-3)
    right = torch.cat([words(text_target=[said], return_tensors="pt")["input_ids"][0] for said in SPOKEN])
    assert torch.equal(batch.targets, right)


def test_packed_and_padded_rows_have_the_same_gradients(opened: tuple[str, Path, Seq2SeqBody]) -> None:
    _, _, body = opened
    if not body.packs:
        pytest.skip("this architecture is not packed")
    batch = body.encode({"text": READ, SAID: SPOKEN})
    found = []
    for way in (body._packed, body._padded):
        body.zero_grad()
        torch.nn.functional.cross_entropy(body.scores(way(batch)), batch.targets).backward()
        found.append({n: p.grad.clone() for n, p in body.named_parameters() if p.grad is not None})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("beams", [1, 3])
def test_what_it_says_is_what_plain_transformers_say_of_each_row_alone(
    opened: tuple[str, Path, Seq2SeqBody], beams: int
) -> None:
    _, folder, body = opened
    model, words = AutoModelForSeq2SeqLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    found = body.say(READ, Search(12, beams, length_penalty=0.8), ratio=10.0)
    for read, said in zip(READ, found, strict=True):
        plain = model.generate(
            **words([read], return_tensors="pt"), num_beams=beams, length_penalty=0.8, max_new_tokens=12,
            max_length=None, early_stopping=beams > 1, do_sample=False,
        )  # fmt: skip
        assert words.decode(plain[0], skip_special_tokens=True).strip() == said


def test_no_more_is_said_than_asked_for(opened: tuple[str, Path, Seq2SeqBody]) -> None:
    _, _, body = opened
    few, more = (body.say(READ, Search(most), ratio=10.0) for most in (2, 9))
    assert all(b.startswith(a.rstrip("\ufffd")) for a, b in zip(few, more, strict=True))
    assert sum(map(len, few)) < sum(map(len, more))


def test_every_text_survives_pieces_that_know_none_of_it() -> None:
    made = pieces(learn_pieces(["ein hund", "ein kind"] * 9, 300))
    text = "日本語 naïve 🙂 ein hund"
    assert made.decode(made(text)["input_ids"], skip_special_tokens=True).strip() == text
    assert made.unk_token_id not in made(text)["input_ids"]


def test_pieces_come_from_these_texts_alone_and_are_the_same_every_time() -> None:
    texts = [str(t) for t in translated(40).column("source")]
    assert learn_pieces(texts, 320) == learn_pieces(texts, 320)
    assert len(pieces(learn_pieces(texts, 320))) <= 320


def test_characters_are_read_one_by_one() -> None:
    made = characters(learn_characters(["ab\nc", "a  b"]))
    ids = made("a b\ncé", add_special_tokens=False)["input_ids"]
    assert len(ids) == 6 and ids[-1] == made.unk_token_id
    assert made.decode(ids[:-1]) == "a b\nc"
