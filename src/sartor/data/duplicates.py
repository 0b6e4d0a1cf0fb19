"""Rows that say the same: equal texts exactly, and nearly equal texts by MinHash (Broder 1997).

Legend: N texts, S shingles of all texts together, P permutations.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sartor.data.media import Media
from sartor.data.rows import Kind, Rows
from sartor.errors import BadInput

PERMUTATIONS, BANDS = 32, 8
"""8 bands of 4: pairs with Jaccard 0.8 are found with probability 0.98, others are verified away."""
ALIKE = 0.8
"""Jaccard similarity of word pairs from which two texts are near duplicates."""
LEAST_WORDS = 6
MOST_PAIRS = 100_000
NEIGHBOURS, BLOCK = 200_000, 50_000
"""Texts compared with each other, and texts hashed at a time."""
COMPARED: tuple[tuple[Kind, str], ...] = (
    ("text", "text"), ("tokens", "text"), ("image", "image"), ("audio", "sound"),
)  # fmt: skip
PUNCTUATION = "".join(c if c.isalnum() else " " for c in map(chr, range(128)))
WORDS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
"""A word, or one character of a script that writes no spaces."""


def compared(rows: Rows) -> str | None:
    """What copies are recognised by, as a word: "text", "image" or "sound"; None where whole rows are compared."""
    kinds = {rows.schema.kind(name) for name in rows.schema.inputs}
    return next((word for kind, word in COMPARED if kind in kinds), None)


def keys(rows: Rows) -> list[tuple[Hashable, ...]]:
    """What two rows share when their inputs say the same: the texts and the content of the images or sounds; in any
    other table every input."""
    texts = rows.schema.worded()
    media = (*rows.schema.reading("image"), *rows.schema.reading("audio"))
    if media or texts:
        said = [[_spaced(v) for v in rows.columns[name]] for name in texts]
        shown = [[_content(v) for v in rows.columns[name]] for name in media]
        return list(zip(*said, *shown, strict=True))
    return [tuple(map(_hashable, row)) for row in zip(*(rows.columns[n] for n in rows.schema.inputs), strict=True)]


def _spaced(text: str | list[str] | None) -> str:
    """The text with single spaces: the same object where it is so already, since there may be a million."""
    text = " ".join(text) if isinstance(text, list) else text
    spaced = " ".join(text.split()) if text else ""
    return text if text and spaced == text else spaced


def blank(key: Hashable) -> bool:
    """Whether a row's inputs say nothing at all."""
    return isinstance(key, tuple) and all(v is None or v == "" for v in key)


def _content(value: Media | None) -> str:
    """The hash of a medium's content; empty where there is none that can be read: such rows are nobody's copies."""
    try:
        return "" if value is None else value.digest
    except BadInput:
        return ""


def _hashable(value: object) -> Hashable:
    return value if value.__hash__ is not None else repr(value)


def repeated(found: Sequence[Hashable]) -> list[tuple[int, int]]:
    """(position, position of the first equal row) of every row whose key came before; blank keys are left out."""
    first: dict[Hashable, int] = {}
    pairs = []
    for i, key in enumerate(found):
        j = first.setdefault(key, i)
        if j != i and not blank(key):
            pairs.append((i, j))
    return pairs


def normal(text: str) -> str:
    """The words of a text in lower case, parted by single spaces, without punctuation."""
    if text.isascii():
        return " ".join(text.lower().translate(PUNCTUATION).split())
    return " ".join(WORDS.findall(text.casefold()))


@dataclass(frozen=True)
class Shingled:
    """The word pairs of N texts as hashes: those of text i are `shingles[starts[i]:starts[i + 1]]`."""

    shingles: NDArray[np.uint64]
    starts: NDArray[np.int64]

    def of(self, i: int) -> set[int]:
        return set(self.shingles[self.starts[i] : self.starts[i + 1]].tolist())


def near(texts: Sequence[str]) -> list[tuple[int, int]]:
    """(position, an earlier position) of texts that differ only in case and punctuation, or share 80 % of word pairs.

    Texts that are equal to the character are the caller's to remove first. Shared word pairs are sought among 200,000
    neighbours at a time, which bounds the memory.
    """
    pairs: dict[int, int] = {}
    first: dict[int, int] = {}  # by hash: a million normal texts need not be kept
    for start in range(0, len(texts), NEIGHBOURS):
        cleaned = [normal(t) for t in texts[start : start + NEIGHBOURS]]
        kept = []
        for i, text in enumerate(cleaned, start=start):
            j = first.setdefault(hash(text), i)
            if j != i and text and normal(texts[j]) == text:
                pairs[i] = j
            elif text.count(" ") >= LEAST_WORDS - 1:
                kept.append(i)
        pairs |= {kept[i]: kept[j] for i, j in _alike([cleaned[k - start] for k in kept])}
    return sorted(pairs.items())


def _alike(cleaned: Sequence[str]) -> list[tuple[int, int]]:
    if len(cleaned) < 2:
        return []
    shingled = _shingle(cleaned)
    signatures = _signatures(shingled)
    candidates = sorted({pair for band in range(BANDS) for pair in _same_band(signatures, band)})[:MOST_PAIRS]
    found: dict[int, int] = {}
    for i, j in candidates:
        if i not in found:
            one, two = shingled.of(i), shingled.of(j)
            if len(one & two) >= ALIKE * len(one | two):
                found[i] = j
    return sorted(found.items())


class _Codes(dict[str, int]):
    """word -> its CRC-32, computed once."""

    def __missing__(self, word: str) -> int:
        code = self[word] = zlib.crc32(word.encode("utf-8", "surrogatepass"))
        return code


def _shingle(cleaned: Sequence[str]) -> Shingled:
    """Word pairs of each text, and its last word with itself, hashed from the words' CRC-32."""
    code = _Codes().__getitem__
    numbers: list[int] = []
    ends = np.empty(len(cleaned), dtype=np.int64)
    for i, text in enumerate(cleaned):
        numbers.extend(map(code, text.split(" ")))
        ends[i] = len(numbers)
    words = np.asarray(numbers, dtype=np.uint64)
    following = np.append(words[1:], words[:1])
    following[ends - 1] = words[ends - 1]
    mixed = (words << np.uint64(32)) ^ (following * np.uint64(0x9E3779B97F4A7C15))
    return Shingled(mixed, np.concatenate([[0], ends]))


def _signatures(shingled: Shingled) -> NDArray[np.uint64]:
    """(N, P) the least hash of each text's shingles under P multiply-shift functions (Dietzfelbinger et al. 1997)."""
    rng = np.random.default_rng(20_240_229)
    factors = rng.integers(1, 2**63, size=PERMUTATIONS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    count = len(shingled.starts) - 1
    signatures = np.empty((count, PERMUTATIONS), dtype=np.uint64)
    for start in range(0, count, BLOCK):
        end = min(start + BLOCK, count)
        low, high = shingled.starts[start], shingled.starts[end]
        block, cuts = shingled.shingles[low:high], shingled.starts[start:end] - low
        for p, factor in enumerate(factors):
            hashed = block * factor
            hashed ^= hashed >> np.uint64(29)
            signatures[start:end, p] = np.minimum.reduceat(hashed, cuts)
    return signatures


def _same_band(signatures: NDArray[np.uint64], band: int) -> list[tuple[int, int]]:
    """(position, the first position in its bucket): linear in the bucket, so templates cost no square."""
    width = PERMUTATIONS // BANDS
    part = signatures[:, band * width : (band + 1) * width]
    mixed = part[:, 0].copy()
    for column in range(1, width):
        mixed = mixed * np.uint64(0x100000001B3) ^ part[:, column]
    order = np.argsort(mixed, kind="stable")
    ordered = mixed[order]
    begins = np.append(True, ordered[1:] != ordered[:-1])
    first = order[np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))]
    later = ~begins
    return list(zip(order[later].tolist(), first[later].tolist(), strict=True))
