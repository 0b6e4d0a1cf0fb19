"""Which word goes with which: IBM model 1 (Brown et al. 1993, The Mathematics of Statistical Machine Translation).

    t(e | f)   the probability that source word f is said as target word e; by expectation maximisation over all
               alignments, each target word aligned to one source word of its row or to none

Legend: L links (a target word of a row with a source word of it, or with none), P distinct pairs of words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from sartor.predictions import Floats, Integers

WORDS = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
NONE = ""
"""The source word of target words that nothing is said for."""


def words(text: str) -> list[str]:
    """Words and marks, in lower case."""
    return WORDS.findall(text.lower())


def lexicon(sources: Sequence[str], targets: Sequence[str], rounds: int = 8) -> dict[str, str]:
    """Source word -> the target word it is most likely said as; words for which none is likeliest are left out."""
    sides = [[words(text) for text in side] for side in (sources, targets)]
    read, said = ({w: i for i, w in enumerate(dict.fromkeys(w for row in side for w in row), 1)} for side in sides)
    if not read or not said:
        return {}
    f, e, token = _links(
        *([[known[w] for w in row] for row in side] for side, known in zip(sides, (read, said), strict=True))
    )
    pairs, link = np.unique(f * (len(said) + 1) + e, return_inverse=True)
    t = translation(pairs // (len(said) + 1), link, token, rounds)
    return _likeliest(pairs, t, list(read), list(said))


def translation(source: Integers, link: Integers, token: Integers, rounds: int) -> Floats:
    """(P,) t(e | f) of each pair. `source` (P,) its source word, `link` (L,) the pair of each link, `token` (L,) the
    number of the target word that the link explains."""
    t = np.ones(len(source))
    for _ in range(rounds):
        share = t[link]
        share /= np.bincount(token, share)[token]  # of how each target word came about
        counts = np.bincount(link, share, len(source))
        t = counts / np.bincount(source, counts)[source]
    return t


def _links(read: list[list[int]], said: list[list[int]]) -> tuple[Integers, Integers, Integers]:
    """(L,) source words (0: none), target words, and the number of each target word in all texts."""
    f, e, token, count = [], [], [], 0
    for a, b in zip(read, said, strict=True):
        sources = np.array([0, *a], dtype=np.int64)
        f.append(np.tile(sources, len(b)))
        e.append(np.repeat(np.array(b, dtype=np.int64), len(sources)))
        token.append(np.repeat(np.arange(count, count + len(b)), len(sources)))
        count += len(b)
    return np.concatenate(f), np.concatenate(e), np.concatenate(token)


def _likeliest(pairs: Integers, t: Floats, read: list[str], said: list[str]) -> dict[str, str]:
    source, target = pairs // (len(said) + 1), pairs % (len(said) + 1)
    order = np.lexsort((target, -t, source))
    firsts = order[np.append(True, np.diff(source[order]) != 0)]
    return {read[source[i] - 1]: said[target[i] - 1] for i in firsts if source[i] > 0}
