"""Character n-grams with interpolated counts: Witten and Bell 1991 (method C).

    p(c | h) = (n(h c) + t(h) p(c | h')) / (n(h) + t(h))     h' is h without its first character; t(h): how many
                                                             different characters came behind h

At the end of the recursion every character is as likely as any other. A text has an end, which counts as a character;
before its beginning stand marks of it. A character that was never seen costs as much as naming one of Unicode's.

Legend: N rows, S characters of all rows with their ends, P distinct n-grams of an order, V characters and the end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sartor.predictions import Floats, Integers

BITS = 62
"""Of a number that an n-gram is written as."""
UNSEEN = math.log(0x110000)
"""Nats that name a character of Unicode."""


@dataclass(frozen=True)
class Characters:
    """alphabet   every character that was seen; number 0 is the mark before a text, 1 its end, 2 any other character
    grams      of each order from 1 on: (P,) n-grams as numbers, in order, and (P,) how often each came"""

    alphabet: str
    grams: tuple[tuple[Integers, Integers], ...]

    @property
    def order(self) -> int:
        return len(self.grams)

    @property
    def width(self) -> int:
        """Bits of a character."""
        return _width(len(self.alphabet))

    def costs(self, texts: Sequence[str]) -> Floats:
        """(N,) nats of each text, its end included."""
        if not len(texts):
            return np.zeros(0)
        numbers, said, row = _laid(texts, self.alphabet, self.order)
        p = self.probabilities(numbers, np.flatnonzero(said))
        each = -np.log(p) + np.where(numbers[said] == 2, UNSEEN, 0.0)
        return np.asarray(np.bincount(row[said], each, len(texts)), dtype=np.float64)

    def probabilities(self, numbers: Integers, places: Integers) -> Floats:
        """(len(places),) how likely each of these characters is behind what stands before it."""
        p = np.full(len(places), 1.0 / (len(self.alphabet) + 2))
        for k, (keys, counts) in enumerate(self.grams, 1):
            gram = _written(numbers, places, k, self.width)
            inside, following, kinds = self._behind(k, gram >> self.width)
            found = _count(keys, counts, gram)
            p = np.where(inside, (found + kinds * p) / np.maximum(following + kinds, 1), p)
        return p

    def next(self, before: Integers) -> Floats:
        """(V,) how likely each number is behind `before`."""
        size = len(self.alphabet) + 3
        tails = np.tile(np.append(before[len(before) - self.order + 1 :], 0), (size, 1))
        tails[:, -1] = np.arange(size)
        p = self.probabilities(tails.ravel(), np.arange(1, size + 1) * tails.shape[1] - 1)
        p[0] = p[2] = 0.0
        return np.asarray(p / p.sum())

    def _behind(self, k: int, context: Integers) -> tuple[NDArray[np.bool_], Integers, Integers]:
        """Of contexts of k - 1 characters: whether they came, how many characters came behind them, and how many
        different ones. N-grams are in order, so that those of a context lie side by side."""
        keys, counts = self.grams[k - 1]
        first, last = (np.searchsorted(keys, (context + end) << self.width) for end in (0, 1))
        sums = np.append(0, np.cumsum(counts))
        return last > first, sums[last] - sums[first], last - first


def learn(texts: Sequence[str], order: int) -> Characters:
    """The n-grams of these texts, up to `order` characters, or as many as fit into a number."""
    alphabet = "".join(sorted(set().union(*map(set, texts)))) if texts else ""
    order = max(1, min(order, BITS // _width(len(alphabet))))
    numbers, said, _ = _laid(texts, alphabet, order)
    places = np.flatnonzero(said)
    grams = []
    for k in range(1, order + 1):
        keys, counts = np.unique(_written(numbers, places, k, _width(len(alphabet))), return_counts=True)
        grams.append((keys, counts.astype(np.int64)))
    return Characters(alphabet, tuple(grams))


def numbered(text: str, alphabet: str) -> Integers:
    """Each character's number."""
    known = {c: i for i, c in enumerate(alphabet, 3)}
    return np.array([known.get(c, 2) for c in text], dtype=np.int64)


def _laid(texts: Sequence[str], alphabet: str, order: int) -> tuple[Integers, NDArray[np.bool_], Integers]:
    """All texts in one line, marks before each; which numbers are said, and of which text each is."""
    front = max(0, order - 1)
    parts, said, row = [], [], []
    for i, text in enumerate(texts):
        numbers = numbered(text, alphabet)
        parts += [np.zeros(front, dtype=np.int64), numbers, np.ones(1, dtype=np.int64)]
        said += [np.zeros(front, dtype=bool), np.ones(len(numbers) + 1, dtype=bool)]
        row.append(np.full(front + len(numbers) + 1, i))
    return np.concatenate(parts), np.concatenate(said), np.concatenate(row)


def _written(numbers: Integers, places: Integers, k: int, width: int) -> Integers:
    """The n-gram of k characters that ends at each place, as one number: the last character in its lowest bits."""
    out = np.zeros(len(places), dtype=np.int64)
    for back in range(k - 1, -1, -1):
        out = (out << width) | numbers[places - back]
    return out


def _count(keys: Integers, counts: Integers, asked: Integers) -> Integers:
    at = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[at] == asked, counts[at], 0)


def _width(characters: int) -> int:
    return max(2, (characters + 2).bit_length())
