"""Tokens in their neighbourhood as hashed features: words, their parts and shapes, and pairs of neighbours
(Ratinov and Roth 2009; pairs of characters serve scripts without spaces as well, Peng, Feng and McCallum 2004).

Every distinct word is looked at once; what stands around a token is then mixed from the words' hashes.

Legend: U tokens of all rows, F features of a token, V columns.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Matrix = Any  # scipy.sparse

WORD, LOWER, SHAPE, SHORT, FLAGS = range(5)
PREFIXES, SUFFIXES = range(5, 9), range(9, 13)
"""Of 1, 2, 3 and 4 letters."""
OWN = 13
AROUND: dict[int, tuple[int, ...]] = {
    -2: (LOWER, SHORT),
    -1: (LOWER, SHORT, PREFIXES[2], SUFFIXES[2]),
    0: tuple(range(OWN)),
    1: (LOWER, SHORT, PREFIXES[2], SUFFIXES[2]),
    2: (LOWER, SHORT),
}
"""Offset -> the features of the word there."""
TOGETHER = (
    ((-1, LOWER), (0, LOWER)), ((0, LOWER), (1, LOWER)), ((-1, LOWER), (1, LOWER)),
    ((-2, LOWER), (-1, LOWER)), ((1, LOWER), (2, LOWER)), ((-1, LOWER), (0, LOWER), (1, LOWER)),
    ((-1, SHORT), (0, SHORT)), ((0, SHORT), (1, SHORT)), ((-1, SHORT), (0, SHORT), (1, SHORT)),
    ((-1, LOWER), (0, SHORT)), ((0, SHORT), (1, LOWER)),
)  # fmt: skip
"""What is read together."""
FEW = 20_000
"""With fewer tokens than this, features that occur once are kept too."""
MIXER = np.uint64(0x9E3779B97F4A7C15)
DIGIT = re.compile(r"\d")


@dataclass(frozen=True)
class Contexts:
    """The features that were learned: their hashes (V,) in order."""

    columns: Hashes

    @classmethod
    def learn(cls, rows: Sequence[Sequence[str]]) -> Contexts:
        """Those of the rows' tokens; in many tokens only what occurs at least twice."""
        found, times = np.unique(hashed(rows), return_counts=True)
        least = 2 if sum(map(len, rows)) >= FEW else 1
        return cls(found[(found != 0) & (times >= least)])

    def matrix(self, rows: Sequence[Sequence[str]]) -> Matrix:
        """(U, V) ones where a token has a feature."""
        from scipy import sparse

        each = hashed(rows)
        places = np.minimum(np.searchsorted(self.columns, each), max(0, len(self.columns) - 1))
        known = self.columns[places] == each if len(self.columns) else np.zeros(each.shape, dtype=bool)
        ends = np.append(0, np.cumsum(known.sum(1)))
        ones = np.ones(int(ends[-1]), dtype=np.float32)
        return sparse.csr_matrix((ones, places[known], ends), shape=(len(each), len(self.columns)))


def hashed(rows: Sequence[Sequence[str]]) -> Hashes:
    """(U, F) the features of every token; 0 where it has none of a kind."""
    words: dict[str, int] = {}
    padded = np.array([place for row in rows for place in _places(row, words)], dtype=np.int64).reshape(-1)
    own = np.stack([np.zeros(OWN, dtype=np.uint64), *map(_own, words)])
    own[0, [LOWER, SHORT]] = 1  # the border of a row
    inside = np.flatnonzero(padded)
    features = [_mixed(own[padded[inside + at], k], at, k) for at, kinds in AROUND.items() for k in kinds]
    features += [_joined(own, padded, inside, parts) for parts in TOGETHER]
    return np.stack(features, 1) if len(inside) else np.zeros((0, len(features)), dtype=np.uint64)


def _places(row: Sequence[str], words: dict[str, int]) -> list[int]:
    """The row's words as numbers from 1, between two borders on both sides."""
    return [0, 0, *(words.setdefault(token, len(words) + 1) for token in row), 0, 0]


def _mixed(values: Hashes, *kind: int) -> Hashes:
    """Hashes of another kind of feature; none stays none."""
    number = np.uint64(zlib.crc32(repr(kind).encode()))
    out: Hashes = (values ^ number) * MIXER
    out ^= out >> np.uint64(29)
    return np.where(values == 0, np.uint64(0), out)


def _joined(own: Hashes, padded: NDArray[np.int64], inside: NDArray[np.int64], parts: Any) -> Hashes:
    out = np.zeros(len(inside), dtype=np.uint64)
    for at, kind in parts:
        out = (out * MIXER) ^ _mixed(own[padded[inside + at], kind], at, kind, len(parts))
    return out


def _own(word: str) -> Hashes:
    """(OWN,) what a word is by itself."""
    lower = DIGIT.sub("0", word.casefold())
    shape = "".join(map(_class, word))
    short = "".join(letter for letter, _ in groupby(shape))
    flags = f"{any(map(str.isdigit, word))} {'-' in word[1:-1]} {word.isupper()} {word.istitle()} {len(word) == 1}"
    heads = [lower[:n] if len(lower) > n else "" for n in (1, 2, 3, 4)]
    tails = [lower[-n:] if len(lower) > n else "" for n in (1, 2, 3, 4)]
    said = [word, lower, shape, short, flags, *heads, *tails]
    return np.array([zlib.crc32(s.encode("utf-8", "replace")) + 2 if s else 0 for s in said], dtype=np.uint64)


def _class(letter: str) -> str:
    if letter.isdigit():
        return "0"
    if letter.isalpha():
        return "X" if letter.isupper() else "x" if letter.islower() else "c"
    return letter
