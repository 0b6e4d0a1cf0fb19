"""Transcripts: the words and characters of what was said, and how far one text is from another.

Legend: N rows.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sartor.errors import BadEnvironment
from sartor.predictions import Floats

Form = Literal["plain", "exact"]
INSIDE = "'"
"""What belongs to a word although it is no letter."""
APOSTROPHES = str.maketrans("’‘`´", "''''")


def spoken(text: str, form: Form) -> str:
    """What of a text can be heard. `plain`: letters and digits in lower case, apostrophes inside words, single spaces;
    `exact`: the text with single spaces."""
    if form == "plain":
        folded = unicodedata.normalize("NFKC", text).translate(APOSTROPHES).casefold()
        text = "".join(c if unicodedata.category(c)[0] in "LMN" or c == INSIDE else " " for c in folded)
        return " ".join(filter(None, (word.strip(INSIDE) for word in text.split())))
    return " ".join(text.split())


@dataclass(frozen=True)
class Distances:
    """(N,) edits (Levenshtein 1966) that make each text what it should be, and how long that is: in words, in
    characters."""

    words: Floats
    word_counts: Floats
    characters: Floats
    character_counts: Floats

    def rates(self, where: Any = slice(None)) -> tuple[float, float]:
        """Word error rate and character error rate of the rows at `where`, all their edits over all their lengths."""
        return (
            float(self.words[where].sum() / max(1.0, self.word_counts[where].sum())),
            float(self.characters[where].sum() / max(1.0, self.character_counts[where].sum())),
        )


def distances(known: Sequence[str], said: Sequence[str]) -> Distances:
    """Of what was said from what is known, row by row, by jiwer."""
    jiwer = _jiwer()
    words = jiwer.process_words(list(known), list(said))
    characters = jiwer.process_characters(list(known), list(said))
    return Distances(*_edits(words), *_edits(characters))


def linearised(edits: Floats, counts: Floats) -> Floats:
    """(N,) numbers whose mean is the rate sum(edits) / sum(counts) and whose spread is that of the rate: what a ratio
    of sums is by row, to first order (Cochran 1977, Sampling Techniques, section 6.3)."""
    whole = max(1.0, float(counts.sum()))
    rate = float(edits.sum()) / whole
    return np.asarray(rate + (edits - rate * counts) * len(edits) / whole)


def _edits(told: Any) -> tuple[Floats, Floats]:
    edits = [
        sum(max(c.ref_end_idx - c.ref_start_idx, c.hyp_end_idx - c.hyp_start_idx) for c in chunks if c.type != "equal")
        for chunks in told.alignments
    ]
    return np.asarray(edits, dtype=np.float64), np.asarray([len(r) for r in told.references], dtype=np.float64)


def _jiwer() -> Any:
    try:
        import jiwer
    except ImportError:
        said = "word error rates are counted by jiwer, which is not installed"
        raise BadEnvironment("AUDIO_MISSING", said, fix='pip install "sartor[audio]"') from None
    return jiwer
