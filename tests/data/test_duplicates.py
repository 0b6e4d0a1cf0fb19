"""Near duplicates: MinHash against the exact answer."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

from pair_samples import captioned
from sartor.data.duplicates import ALIKE, keys, near, normal, repeated

WORDS = [f"word{i}" for i in range(400)]


def exact(texts: list[str]) -> set[int]:
    """Positions whose word pairs overlap an earlier text's by 80 %, by comparing every pair."""
    sets = []
    for text in texts:
        words = normal(text).split()
        sets.append({*pairwise(words), (words[-1], words[-1])})
    return {i for i in range(len(sets)) for j in range(i) if len(sets[i] & sets[j]) >= ALIKE * len(sets[i] | sets[j])}


def changed(text: str, rng: random.Random) -> str:
    words = text.split()
    words[rng.randrange(len(words))] = rng.choice(WORDS)
    return " ".join(words)


def test_what_is_found_is_alike_and_nearly_all_that_is_alike_is_found() -> None:
    rng = random.Random(0)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(8, 40))) for _ in range(150)]
    texts += [changed(t, rng) for t in texts[:120]]
    found, true = {i for i, _ in near(texts)}, exact(texts)
    assert len(true) > 60
    assert found <= true
    assert len(found) >= 0.95 * len(true)


def test_case_and_punctuation_make_no_difference() -> None:
    assert near(["Good film!", "a bad film", "good  film", "这家酒店，很好！", "这家酒店很好"]) == [(2, 0), (4, 3)]


def test_short_texts_are_not_alike() -> None:
    assert near(["who is he", "who is she", "what is it", "", "?"]) == []


def test_a_template_repeated_often_is_found_in_linear_time() -> None:
    template = "the order with the number {} was sent to the customer on the same day as it was received by the shop"
    found = near([template.format(i) for i in range(3000)])
    assert len(found) > 2950


def test_the_first_of_equal_keys_is_kept_and_blank_ones_are_not_copies() -> None:
    assert repeated([("a",), ("b",), ("a",), ("",), ("",), ("a",)]) == [(2, 0), (5, 0)]


def test_the_normal_form() -> None:
    assert normal("It's  GOOD, isn't it?") == "it s good isn t it"
    assert normal("Café—Über 你好") == "café über 你 好"


def test_the_same_text_beside_another_image_is_no_copy() -> None:
    rows = captioned(6).take([0, 0, 1])
    rows = replace(rows, columns={**rows.columns, "caption": ["one  text", "one text", "one text"]})
    found = keys(rows)
    assert found[0] == found[1] != found[2]
