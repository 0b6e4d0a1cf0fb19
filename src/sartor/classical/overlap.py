"""How much of a text another one says again: BLEU (Papineni et al. 2002) and chrF (Popović 2015), by sacreBLEU (Post
2018, arXiv 1804.08771), which counts; scores of any rows are then sums of what was counted once.

Legend: N rows, K counts of a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.errors import missing_extra
from sartor.predictions import Integers

METRICS = ("bleu", "chrf")


@dataclass(frozen=True)
class Overlap:
    """(N, K) what a metric of sacreBLEU's counts of each row; scores are from 0 to 1."""

    metric: Any
    counts: NDArray[np.float64]

    def score(self, where: Integers | slice = slice(None)) -> float:
        """The metric over the rows at these positions together."""
        sums = self.counts[where].sum(0)
        return float(self.metric._compute_score_from_stats([int(v) for v in sums]).score) / 100

    def each(self) -> NDArray[np.float64]:
        """(N,) the metric of each row alone."""
        return np.array([self.score(slice(i, i + 1)) for i in range(len(self.counts))])


def overlap(name: str, said: Iterable[str], right: Sequence[str], tokenize: str) -> Overlap:
    """What `name`, one of `METRICS`, counts."""
    made = _metric(name, tokenize)
    counts = made._extract_corpus_statistics(list(said), [list(right)])
    return Overlap(made, np.array(counts, dtype=np.float64))


def signature(tokenize: str) -> str:
    """sacreBLEU's own words for how BLEU was computed."""
    made = _metric("bleu", tokenize)
    made.corpus_score(["a"], [["a"]])
    return str(made.get_signature())


def _metric(name: str, tokenize: str) -> Any:
    try:
        from sacrebleu.metrics import BLEU, CHRF
    except ImportError:
        raise missing_extra("sacrebleu", "translation", "scoring translations") from None
    return BLEU(tokenize=tokenize, force=True) if name == "bleu" else CHRF()
