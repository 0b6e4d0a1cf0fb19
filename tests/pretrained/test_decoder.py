"""Decoders as bodies, against plain transformers: what is heard, that no row sees another, how rows go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from sartor.errors import BadInput
from sartor.pretrained.decoder import DecoderBody, open_decoder
from sartor.pretrained.speaking import Search, drawing
from spoken_samples import TEMPLATE, gpt2, llama

TEXTS = ["A dog runs.", "A woman waits for 3 children 🙂 and waits", "", "A man"]
TALK = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "Hund?"},
    {"role": "assistant", "content": "dog"},
    {"role": "user", "content": "Katze?"},
    {"role": "assistant", "content": "cat"},
]
KINDS: dict[str, Callable[..., Path]] = {"gpt2": gpt2, "llama": llama}


@pytest.fixture(scope="module", params=KINDS)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DecoderBody]:
    folder = KINDS[request.param](tmp_path_factory.mktemp(request.param), TEMPLATE)
    return folder, open_decoder(folder, 48).eval()


def test_scores_are_those_of_plain_transformers_for_each_row_alone(opened: tuple[Path, DecoderBody]) -> None:
    folder, body = opened
    assert body.packs and not body.whole
    model, words = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    batch = body.encode({"text": TEXTS})
    with torch.no_grad():
        found = body.scores(body(batch))
        expected = []
        for text in TEXTS:
            ids = [1, *words(text, add_special_tokens=False)["input_ids"], 1]
            expected.append(model(torch.tensor([ids])).logits[0, :-1])
    torch.testing.assert_close(found, torch.cat(expected), rtol=1e-3, atol=1e-3)


def test_no_text_sees_another(opened: tuple[Path, DecoderBody]) -> None:
    _, body = opened
    with torch.no_grad():
        one, other = (body(body.encode({"text": [TEXTS[0], text]})) for text in (TEXTS[1], TEXTS[3]))
    count = int(body.encode({"text": TEXTS[:1]}).counts[0])
    torch.testing.assert_close(one[:count], other[:count], rtol=1e-4, atol=1e-4)


def test_what_comes_later_changes_nothing_before(opened: tuple[Path, DecoderBody]) -> None:
    _, body = opened
    with torch.no_grad():
        short, long = (body(body.encode({"text": [text]})) for text in ("A dog", "A dog runs and runs"))
    torch.testing.assert_close(short[:-1], long[: len(short) - 1], rtol=1e-4, atol=1e-4)


def test_of_a_conversation_only_the_answers_are_heard(opened: tuple[Path, DecoderBody]) -> None:
    _, body = opened
    batch = body.encode({"messages": [TALK]})
    said = body.tokenizer.decode(batch.targets).replace(" ", "")
    assert said == "dog</s>cat</s>"
    whole = body.tokenizer.decode(batch.sequences["input_ids"]).replace(" ", "")
    assert whole.startswith("<system>Beshort.</s><user>Hund?</s><assistant>dog</s>")


def test_long_rows_are_read_in_stretches_and_nothing_is_lost(opened: tuple[Path, DecoderBody]) -> None:
    _, body = opened
    batch = body.encode({"text": ["A dog runs. " * 40]})
    assert int(batch.lengths[0]) > 3 * body.max_length
    with torch.no_grad():
        found = body(batch)
    assert len(found) == int(batch.lengths[0]) - 1 == len(batch.targets)


def test_training_takes_one_stretch_of_a_long_row_by_its_number_and_the_seed(opened: tuple[Path, DecoderBody]) -> None:
    _, body = opened
    batch = body.encode({"text": ["A dog runs. " * 40, "A cat.", "A bird sings. " * 40]})
    one, same, other = (body.augment(batch, seed) for seed in (1, 1, 2))
    assert torch.equal(one.sequences["input_ids"], same.sequences["input_ids"])
    assert not torch.equal(one.sequences["input_ids"], other.sequences["input_ids"])
    assert one.lengths.tolist() == [body.max_length + 1, int(batch.lengths[1]), body.max_length + 1]
    alone = body.augment(batch.take(torch.tensor([2])), 1)
    assert torch.equal(alone.sequences["input_ids"], one.take(torch.tensor([2])).sequences["input_ids"])
    assert len(body(one)) == len(one.targets) == int(one.counts.sum())
    whole = batch.sequences["input_ids"][: int(batch.lengths[0])].unfold(0, body.max_length + 1, 1)
    assert (whole == one.sequences["input_ids"][: body.max_length + 1]).all(1).any()


def test_it_goes_on_as_plain_transformers_do(opened: tuple[Path, DecoderBody]) -> None:
    folder, body = opened
    model, words = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    texts = ["A dog runs.", "", "A man", "A woman 🙂"]
    found = body.say({"text": texts}, Search(10), range(len(texts)))
    for text, said in zip(texts, found, strict=True):
        ids = torch.tensor([[1, *words(text, add_special_tokens=False)["input_ids"]]])
        plain = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=10, do_sample=False, pad_token_id=0
        )
        assert words.decode(plain[0, ids.shape[1] :], skip_special_tokens=True) == said


def test_drawn_words_depend_on_the_row_and_the_seed_alone(opened: tuple[Path, DecoderBody]) -> None:
    _, body = opened
    search = Search(8, temperature=1.0, top_k=20, top_p=0.95, seed=3)
    together = body.say({"text": TEXTS}, search, [7, 8, 9, 10])
    assert body.say({"text": TEXTS[1:2]}, search, [8]) == together[1:2]
    assert body.say({"text": TEXTS}, Search(8, temperature=1.0, seed=4), [7, 8, 9, 10]) != together


def test_more_is_said_than_the_network_can_read_at_once(opened: tuple[Path, DecoderBody]) -> None:
    _, body = opened
    (said,) = body.say({"text": ["A dog"]}, Search(3 * body.max_length, temperature=3.0, seed=1), [0])
    assert len(said) > body.max_length // 2 or "</s>" not in said


def test_words_are_drawn_as_often_as_they_are_likely() -> None:
    scores = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    counts: Counter[int] = Counter()
    for row in range(4000):
        found = scores.clone()
        for change in drawing(Search(temperature=1.0, top_k=3), [(row, 0)], 2):
            found = change(torch.zeros(1, 2, dtype=torch.long), found)
        counts[int(found.argmax())] += 1
    shares = np.array([counts[i] for i in range(4)]) / 4000
    np.testing.assert_allclose(shares, np.array([0.5, 0.3, 0.15, 0]) / 0.95, atol=0.025)


def test_saved_it_is_the_architecture_that_it_was(opened: tuple[Path, DecoderBody], tmp_path: Path) -> None:
    folder, body = opened
    body.save(tmp_path, body.heads["classifier"], {})
    one, other = (AutoModelForCausalLM.from_pretrained(f).eval() for f in (folder, tmp_path))
    assert one.state_dict().keys() == other.state_dict().keys()
    ids = torch.tensor([[1, 5, 9, 8]])
    torch.testing.assert_close(one(ids).logits, other(ids).logits, rtol=1e-5, atol=1e-5)
    assert body.linears() and all(isinstance(body.get_submodule(n), torch.nn.Linear) for n in body.linears())


def test_a_model_without_a_template_refuses_conversations(tmp_path: Path) -> None:
    body = open_decoder(gpt2(tmp_path, None), 48)
    with pytest.raises(BadInput) as caught:
        body.encode({"messages": [TALK]})
    assert str(caught.value) == (
        "error[CHAT_TEMPLATE]: the model has no chat template, which says how messages are written. "
        "Fix: use a model that was made for conversations, or write each of them as a `text`."
    )


def test_a_template_that_refuses_is_told_in_one_sentence(tmp_path: Path) -> None:
    refusing = "{{ raise_exception('roles must alternate') }}"
    body = open_decoder(gpt2(tmp_path, refusing), 48)
    with pytest.raises(BadInput) as caught:
        body.encode({"messages": [TALK]})
    assert caught.value.code == "MESSAGES_ORDER"
    assert "roles must alternate" in str(caught.value)
