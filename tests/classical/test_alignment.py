"""IBM model 1 against sums written out by hand."""

from __future__ import annotations

from collections import defaultdict

import pytest

from sartor.classical.alignment import NONE, lexicon, words
from spoken_samples import DOES, THINGS, translated

SOURCES = ["das haus", "das buch", "ein buch", "das alte haus steht"]
TARGETS = ["the house", "the book", "a book", "the old house stands"]


def by_hand(rounds: int) -> dict[str, str]:
    """Brown et al. 1993, equations for model 1, sentence by sentence."""
    pairs = [([NONE, *words(f)], words(e)) for f, e in zip(SOURCES, TARGETS, strict=True)]
    t: dict[tuple[str, str], float] = defaultdict(lambda: 1.0)
    for _ in range(rounds):
        counts: dict[tuple[str, str], float] = defaultdict(float)
        totals: dict[str, float] = defaultdict(float)
        for source, target in pairs:
            for e in target:
                whole = sum(t[f, e] for f in source)
                for f in source:
                    counts[f, e] += t[f, e] / whole
                    totals[f] += t[f, e] / whole
        t = defaultdict(float, {(f, e): c / totals[f] for (f, e), c in counts.items()})
    said = {f: max((t[f, e], e) for (g, e) in t if g == f)[1] for f, _ in t if f}
    return said


def test_it_is_the_model_as_it_was_published() -> None:
    found, expected = lexicon(SOURCES, TARGETS, 10), by_hand(10)
    assert found["das"] == expected["das"] == "the"
    assert found["buch"] == expected["buch"] == "book"
    assert found["haus"] == expected["haus"] == "house"
    assert found["ein"] == expected["ein"] == "a"


def test_it_finds_every_word_of_a_small_language() -> None:
    rows = translated(80)
    found = lexicon(list(rows.column("source")), list(rows.column("target")))
    assert {f: found[f] for f in (*THINGS, *DOES)} == {**THINGS, **DOES}


@pytest.mark.parametrize("texts", [[], [""], ["", "   "]])
def test_nothing_teaches_nothing(texts: list[str]) -> None:
    assert lexicon(texts, texts) == {}


def test_marks_are_words_of_their_own() -> None:
    assert words("It's 3 dogs, isn't it? 🙂") == ["it's", "3", "dogs", ",", "isn't", "it", "?", "🙂"]
