"""Word for word by a learned lexicon: IBM model 1 (Brown et al. 1993) on the training rows, no order, no grammar. What
a translation model must beat."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sartor.baseline import Baseline, Fitted, State
from sartor.classical.alignment import lexicon, words
from sartor.data.inputs import inputs
from sartor.data.rows import Kind
from sartor.errors import BadInput
from sartor.predictions import Predictions

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.task import Task

BEFORE = re.compile(r" ([.,;:!?%)\]}»”])")
BEHIND = re.compile(r"([(\[{«“]) ")
"""Marks that stand without a space before or behind them."""


@dataclass(frozen=True, kw_only=True)
class Lexicon(Baseline):
    """Each source word as the target word it goes with most often; an unknown one as it is."""

    reads: ClassVar[frozenset[str]] = frozenset({"text"})
    predicts: ClassVar[frozenset[Kind]] = frozenset({"text"})

    most_rows: int = 50_000
    """Of more rows so many are drawn."""
    rounds: int = 8
    """Of expectation maximisation."""

    def __post_init__(self) -> None:
        for name in ("most_rows", "rounds"):
            if getattr(self, name) < 1:
                raise BadInput("VALUE_RANGE", f"lexicon.{name} is {getattr(self, name)}", fix="give at least 1")

    def answers(self, task: Task) -> bool:
        return task.layout == "answers"

    def fit(self, task: Task, rows: Rows, seed: int = 0) -> Fitted:
        if len(rows) > self.most_rows:
            rows = rows.take(np.sort(np.random.default_rng(seed).permutation(len(rows))[: self.most_rows]))
        right = ["" if text is None else str(text) for text in rows.targets() or ()]
        return WordForWord(lexicon(inputs(rows, {"text"})["text"], right, self.rounds))

    def restore(self, task: Task, state: State) -> Fitted:
        return WordForWord(dict(state.values["words"]))


@dataclass(frozen=True)
class WordForWord(Fitted):
    """Source word -> target word, in lower case."""

    known: dict[str, str]

    def predict(self, rows: Rows) -> Predictions:
        texts = np.empty(len(rows), dtype=object)
        texts[:] = [self._said(text) for text in inputs(rows, {"text"})["text"]]
        return Predictions(rows.numbers, texts)

    def state(self) -> State:
        return State({"words": self.known}, {})

    def _said(self, text: str) -> str:
        joined = BEHIND.sub(r"\1", BEFORE.sub(r"\1", " ".join(self.known.get(word, word) for word in words(text))))
        return joined[:1].upper() + joined[1:] if text[:1].isupper() else joined
