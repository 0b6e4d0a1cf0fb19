"""Tags as arrays and arrays as spans: what a task over tokens and its baselines share.

Legend: N rows, U tokens of all rows, C tags.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from sartor.classical.chain import expected, legal, viterbi
from sartor.data import tokens as wording
from sartor.data.tags import Span, iob2, spans
from sartor.errors import BadInput
from sartor.predictions import Floats, Integers, Predictions

if TYPE_CHECKING:
    from sartor.data.rows import Rows


@dataclass(frozen=True)
class Tagging:
    """The tags of IOB2 that there are: `labels` (C,)."""

    labels: tuple[str, ...]

    def known(self, rows: Rows) -> Integers:
        """(U,) the number of each token's tag. Raises `BadInput` for a type that was not learned."""
        place = {tag: i for i, tag in enumerate(self.labels)}
        found: list[int] = []
        for i, (tokens, tags) in enumerate(zip(wording.of_rows(rows), rows.targets() or (), strict=True)):
            if tags is None or len(tags) != len(tokens):
                message = f"the row has {len(tokens)} tokens and {len(tags or ())} tags"
                raise BadInput("TAG_LENGTH", message, fix="give every token one tag", where=rows.place(i))
            for tag in iob2(spans(tags), len(tags)):
                if tag not in place:
                    raise self._unknown(tag[2:], rows.place(i))
                found.append(place[tag])
        return np.asarray(found, dtype=np.int64)

    def answers(self, rows: Rows, emissions: Floats, transitions: Floats | None = None) -> Predictions:
        """(U, C) scores of tags, or of single tags and (C + 1, C) of steps, -> tags and their probabilities."""
        lengths = np.array([len(tokens) for tokens in wording.of_rows(rows)], dtype=np.int64)
        allowed = legal(self.labels) + (0.0 if transitions is None else transitions)
        path = viterbi(emissions, allowed, lengths)
        single = transitions is None
        probabilities = np.exp(emissions) if single else expected(emissions, allowed, lengths).states
        ends = np.append(0, np.cumsum(lengths))
        values = np.empty(len(rows), dtype=object)
        values[:] = [tuple(self.labels[k] for k in path[a:b].tolist()) for a, b in pairwise(ends.tolist())]
        return Predictions(rows.numbers, values, self.labels, probabilities, ends)

    def entities(self, predictions: Predictions, rows: Rows) -> list[list[dict[str, Any]]]:
        """Each row's spans: type, first token, the one behind the last, text, and its least sure tag's probability."""
        return [
            [
                {"entity": kind, "start": a, "end": b, "text": " ".join(tokens[a:b])}
                | {"probability": float(sure[a:b].min())}
                for a, b, kind in spans(tags)
            ]
            for tokens, tags, sure in zip(
                wording.of_rows(rows), predictions.values, self._surety(predictions), strict=True
            )
        ]

    def mistakes(self, predictions: Predictions, rows: Rows, most: int) -> list[dict[str, Any]]:
        """The rows with a wrong tag, the most probable first; both sets of spans as [first, behind the last, type]."""
        truths = list(rows.targets() or ())
        found: list[tuple[float, int]] = []
        for i, (sure, tags) in enumerate(zip(self._surety(predictions), predictions.values, strict=True)):
            true = iob2(spans(truths[i]), len(truths[i]))
            wrong = [k for k, (a, b) in enumerate(zip(true, tags, strict=True)) if a != b]
            if wrong:
                found.append((float(sure[wrong].max()), i))
        tokens = wording.of_rows(rows)
        return [
            {
                "text": " ".join(tokens[i]),
                "tokens": tokens[i],
                "label": [list(span) for span in spans(truths[i])],
                "prediction": [list(span) for span in spans(predictions.values[i])],
                "probability": sure,
                "row": int(rows.numbers[i]),
                "line": int(rows.lines[i]),
            }
            for sure, i in sorted(found, reverse=True)[:most]
        ]

    def by_type(self, predictions: Predictions, rows: Rows) -> list[dict[str, Any]]:
        """Each type, the most frequent first."""
        counts = _by_type(rows.targets() or (), predictions.values)
        each = sorted(counts.items(), key=lambda item: (-item[1][2], item[0]))
        return [
            {"label": kind, "count": int(c[2]), "said": int(c[1]), "precision": precision(c), "recall": recall(c)}
            | {"f1": f1(c)}
            for kind, c in each
        ]

    def _surety(self, predictions: Predictions) -> list[Floats]:
        """(N,) the probability of each of a row's tags as they were said."""
        place = {tag: i for i, tag in enumerate(self.labels)}
        assert predictions.probabilities is not None and predictions.offsets is not None
        said = np.array([place[tag] for tags in predictions.values for tag in tags], dtype=np.int64)
        sure = predictions.probabilities[np.arange(len(said)), said]
        return [sure[a:b] for a, b in pairwise(predictions.offsets.tolist())]

    def _unknown(self, kind: str, where: str) -> BadInput:
        types = [tag[2:] for tag in self.labels[1::2]]
        shown = ", ".join(types[:10]) + (", ..." if len(types) > 10 else "")
        fix = "correct the row, or train with rows that have this type"
        return BadInput("LABEL_UNKNOWN", f'type "{kind}" is not one of: {shown}', fix=fix, where=where)


def counts_of(known: Iterable[Sequence[str]], said: Iterable[Sequence[str]]) -> Floats:
    """(N, 3) how many of each row's spans are right, were said, and are there."""
    pairs = [(set(spans(a)), set(spans(b))) for a, b in zip(known, said, strict=True)]
    return np.array([(len(a & b), len(b), len(a)) for a, b in pairs], dtype=np.float64).reshape(-1, 3)


def precision(counts: Floats) -> float:
    """Of (3,) counts, as `counts_of` has them; 0 where nothing was said."""
    return float(counts[0] / max(1.0, counts[1]))


def recall(counts: Floats) -> float:
    return float(counts[0] / max(1.0, counts[2]))


def f1(counts: Floats) -> float:
    return float(2 * counts[0] / max(1.0, counts[1] + counts[2]))


def _by_type(known: Iterable[Sequence[str]], said: Iterable[Sequence[str]]) -> dict[str, Floats]:
    right, answered, there = Counter[str](), Counter[str](), Counter[str]()
    for a, b in zip(known, said, strict=True):
        one, other = set(spans(a)), set(spans(b))
        for counter, found in ((right, one & other), (answered, other), (there, one)):
            counter.update(_types(found))
    kinds = {*answered, *there}
    return {kind: np.array([right[kind], answered[kind], there[kind]], dtype=np.float64) for kind in kinds}


def _types(found: Iterable[Span]) -> list[str]:
    return [kind for _, _, kind in found]
