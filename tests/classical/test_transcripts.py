from __future__ import annotations

import numpy as np
import pytest

from sartor.classical.transcripts import distances, linearised, spoken


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "Not at this particular case, Tom, apologized Whittemore.",
            "not at this particular case tom apologized whittemore",
        ),
        ("  Don’t   'quote' me… ", "don't quote me"),
        ("Ａ１ – ﬁn", "a1 fin"),
        ("Straße", "strasse"),
        ("你好，世界", "你好 世界"),
        ("?!", ""),
    ],
)
def test_plain_is_what_can_be_heard(text: str, said: str) -> None:
    assert spoken(text, "plain") == said


def test_exact_keeps_all_but_spaces() -> None:
    assert spoken(" Well,  Tom. ", "exact") == "Well, Tom."


def test_edits_are_counted_by_row() -> None:
    found = distances(["a b c", "one two", "", "x"], ["a c", "one two", "y", ""])
    assert found.words.tolist() == [1, 0, 1, 1]
    assert found.word_counts.tolist() == [3, 2, 0, 1]
    assert found.characters.tolist() == [2, 0, 1, 1]
    assert found.rates()[0] == pytest.approx(3 / 6)
    assert found.rates([1])[0] == 0


def test_a_rate_by_row_has_the_mean_and_the_spread_of_the_rate() -> None:
    draw = np.random.default_rng(0)
    counts = draw.integers(1, 20, 400).astype(float)
    edits = draw.binomial(counts.astype(int), 0.2).astype(float)
    items = linearised(edits, counts)
    assert items.mean() == pytest.approx(edits.sum() / counts.sum())
    picks = draw.integers(400, size=(3000, 400))
    rates = edits[picks].sum(1) / counts[picks].sum(1)
    assert items.std() / 20 == pytest.approx(rates.std(), rel=0.06)


def test_single_words_are_rows_of_right_and_wrong() -> None:
    assert linearised(np.array([0.0, 1, 0, 1]), np.ones(4)) == pytest.approx([0, 1, 0, 1])
