"""The source itself as the answer: what doing nothing gives. Names, numbers and punctuation are right in any language;
of a summary or a correction the source is most of it (the baseline of grammatical error correction, Ng et al. 2014)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sartor.baseline import Baseline, Fitted, State
from sartor.data.inputs import inputs
from sartor.data.rows import Kind
from sartor.predictions import Predictions

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.task import Task


@dataclass(frozen=True, kw_only=True)
class CopySource(Baseline):
    """Says every source again, word for word."""

    reads: ClassVar[frozenset[str]] = frozenset({"text"})
    predicts: ClassVar[frozenset[Kind]] = frozenset({"text"})

    def answers(self, task: Task) -> bool:
        return task.layout == "answers"

    def fit(self, task: Task, rows: Rows, seed: int = 0) -> Fitted:
        return Echo()

    def restore(self, task: Task, state: State) -> Fitted:
        return Echo()


class Echo(Fitted):
    """Nothing was learned."""

    def predict(self, rows: Rows) -> Predictions:
        texts = np.empty(len(rows), dtype=object)
        texts[:] = inputs(rows, {"text"})["text"]
        return Predictions(rows.numbers, texts)

    def state(self) -> State:
        return State({}, {})
