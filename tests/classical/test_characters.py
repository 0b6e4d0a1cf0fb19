"""Witten and Bell's interpolation against a recursion over counters."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from sartor.classical.characters import UNSEEN, learn, numbered

TEXTS = ["abracadabra", "abba", "a cab", "", "bad bard"]
HELD = ["abra", "dab", "", "cadaver"]


def by_hand(texts: list[str], asked: str, order: int) -> float:
    """Nats of `asked` and its end."""
    alphabet = sorted(set("".join(texts)))
    grams: Counter[str] = Counter()
    for text in texts:
        line = "^" * (order - 1) + text + "$"
        for end in range(order - 1, len(line)):
            grams.update(line[end - k + 1 : end + 1] for k in range(1, order + 1))

    def p(c: str, before: str) -> float:
        lower = p(c, before[1:]) if before else 1 / (len(alphabet) + 2)
        behind = {g: n for g, n in grams.items() if len(g) == len(before) + 1 and g.startswith(before)}
        if not behind:
            return lower
        return (grams[before + c] + len(behind) * lower) / (sum(behind.values()) + len(behind))

    line = "^" * (order - 1) + "".join(c if c in alphabet else "?" for c in asked) + "$"
    found = 0.0
    for end in range(order - 1, len(line)):
        found -= math.log(p(line[end], line[end - order + 1 : end])) - UNSEEN * (line[end] == "?")
    return found


@pytest.mark.parametrize("order", [1, 2, 4])
def test_costs_are_those_of_the_formula(order: int) -> None:
    made = learn(TEXTS, order)
    expected = [by_hand(TEXTS, text, made.order) for text in HELD]
    np.testing.assert_allclose(made.costs(HELD), expected, rtol=1e-12)


def test_what_may_come_next_is_likely_in_all() -> None:
    made = learn(TEXTS, 3)
    p = made.next(numbered("xxab", made.alphabet))
    assert p.sum() == pytest.approx(1)
    assert p[0] == p[2] == 0
    behind = {c: p[numbered(c, made.alphabet)[0]] for c in made.alphabet}
    assert max(behind, key=lambda c: behind[c]) == "r"


def test_a_large_alphabet_gets_shorter_grams() -> None:
    assert learn(["".join(map(chr, range(0x4E00, 0x4E00 + 20000)))], 12).order == 4
