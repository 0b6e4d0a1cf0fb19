"""Texts as answers: what a model tells of the right ones, and how they are shown.

Legend: N rows, U words that were to be said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sartor.predictions import Floats, Integers, Predictions

if TYPE_CHECKING:
    from sartor.data.rows import Rows

BITS = "bits_per_byte"
COST, TOKENS = "cost", "tokens"
"""Measures of a row: what its right text costs, in nats; and how many words of the model's vocabulary that was."""


def measured(outputs: Floats, rows: Rows) -> Predictions:
    """(U, 2) costs of words and the numbers of their rows -> no text yet, and what each row's right text costs."""
    texts = np.empty(len(rows), dtype=object)
    if not len(outputs):
        return Predictions(rows.numbers, texts)
    order = np.argsort(rows.numbers, kind="stable")
    place = order[np.searchsorted(rows.numbers[order], outputs[:, 1].astype(np.int64))]
    sums = {COST: np.bincount(place, outputs[:, 0], len(rows)), TOKENS: np.bincount(place, minlength=len(rows))}
    return Predictions(rows.numbers, texts, measures={name: v.astype(np.float64) for name, v in sums.items()})


def sizes(texts: Sequence[Any]) -> Integers:
    """(N,) bytes of each text in UTF-8."""
    return np.array([len(str(t or "").encode("utf-8", "surrogatepass")) for t in texts], dtype=np.int64)


def bits_per_byte(predictions: Predictions, bytes_of: Integers) -> Floats | None:
    """(N,) bits of each row's right text, in units whose mean is that of a byte of all texts; none where the model does
    not tell. Unlike a perplexity it means the same for every vocabulary."""
    cost = predictions.measures.get(COST)
    if cost is None:
        return None
    return np.asarray(cost / math.log(2) * len(cost) / max(1, int(bytes_of.sum())), dtype=np.float64)


def shown(value: Any) -> str:
    """A text, or a conversation, on a page."""
    if isinstance(value, list):
        return "\n".join(f"{message['role']}: {message['content']}" for message in value)
    return "" if value is None else str(value)


def in_words(predictions: Predictions, rows: Rows, likeness: Floats, most: int) -> list[dict[str, Any]]:
    """The rows that are least like what they should be: what was read, what is right, what was said."""
    right = rows.targets() or ()
    texts = rows.texts() or [("",)] * len(rows)
    return [
        {
            "text": " | ".join(texts[i]),
            "label": shown(right[i]),
            "prediction": predictions.values[i],
            "probability": None,
            "row": int(rows.numbers[i]),
            "line": int(rows.lines[i]),
        }
        for i in np.argsort(likeness, kind="stable")[:most].tolist()
    ]
