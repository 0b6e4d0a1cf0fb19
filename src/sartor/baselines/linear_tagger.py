"""A linear tagger: a conditional random field over words, their parts and their neighbours, no network.

Lafferty, McCallum and Pereira 2001, with the features of Ratinov and Roth 2009. What tagging was done with before
pretrained networks, and still hard to beat where tokens are few or strange.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sartor.baseline import Baseline, Fitted, State
from sartor.classical.contexts import Contexts
from sartor.classical.crf import fit_chain
from sartor.classical.linear import Reals
from sartor.classical.tagging import Tagging
from sartor.classical.targets import Target
from sartor.data.rows import Kind
from sartor.data.tokens import of_rows
from sartor.errors import BadInput

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.predictions import Predictions
    from sartor.task import Task


@dataclass(frozen=True, kw_only=True)
class LinearTagger(Baseline):
    """Hashed features of each token and its neighbours into a linear chain."""

    reads: ClassVar[frozenset[str]] = frozenset({"tokens"})
    predicts: ClassVar[frozenset[Kind]] = frozenset({"tags"})

    C: float = 1.0
    """Inverse penalty: the summed loss + |W|^2 / (2 C) is minimised."""

    def __post_init__(self) -> None:
        if self.C <= 0:
            raise BadInput("VALUE_RANGE", f"linear_tagger.C is {self.C:g}", fix="give a number above 0")

    def fit(self, task: Task, rows: Rows, seed: int = 0) -> Fitted:
        tagging = Tagging(Target.of(task).labels)
        contexts = Contexts.learn(of_rows(rows))
        lengths = np.array([len(tokens) for tokens in of_rows(rows)], dtype=np.int64)
        weight, steps = fit_chain(contexts.matrix(of_rows(rows)), tagging.known(rows), lengths, tagging, self.C)
        return FittedTagger(tagging, contexts, weight, steps)

    def restore(self, task: Task, state: State) -> Fitted:
        contexts = Contexts(np.asarray(state.arrays["columns"]).astype(np.int64).view(np.uint64))
        weight, steps = (np.asarray(state.arrays[name], dtype=np.float32) for name in ("weight", "steps"))
        return FittedTagger(Tagging(Target.of(task).labels), contexts, weight, steps)


@dataclass(frozen=True)
class FittedTagger(Fitted):
    """weight (V, C) of the features, steps (C + 1, C) from tag to tag."""

    tagging: Tagging
    contexts: Contexts
    weight: Reals
    steps: Reals

    def predict(self, rows: Rows) -> Predictions:
        emissions = np.asarray(self.contexts.matrix(of_rows(rows)) @ self.weight, dtype=np.float64)
        return self.tagging.answers(rows, emissions, self.steps.astype(np.float64))

    def state(self) -> State:
        columns = self.contexts.columns.view(np.int64)
        return State({}, {"columns": columns, "weight": self.weight, "steps": self.steps})
