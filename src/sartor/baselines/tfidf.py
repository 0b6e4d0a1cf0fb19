"""TF-IDF and a linear model: what every text model must beat.

Words' 1-2-grams and letters' 3-5-grams into logistic regression (ridge regression for a number), the penalty chosen on
held-out training rows. Strong where texts are short or rows are many (Wang and Manning 2012; Lin, Liu and Lin 2023,
arXiv 2306.07111).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sartor.baseline import Baseline, Fitted, State
from sartor.classical.linear import Linear, fit_linear
from sartor.classical.ngrams import NGrams, learn, matrix
from sartor.classical.targets import Target
from sartor.data.texts import text_columns
from sartor.errors import BadInput
from sartor.predictions import Predictions

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.task import Task


@dataclass(frozen=True, kw_only=True)
class TfIdf(Baseline):
    """Word and letter n-grams into a linear model; reads texts and text pairs."""

    reads: ClassVar[frozenset[str]] = frozenset({"text"})

    C: tuple[float, ...] = (0.25, 1.0, 4.0, 16.0, 64.0)
    """Candidates for the inverse penalty."""
    max_features: int = 100_000
    """The most frequent terms kept of each kind of n-gram."""

    def __post_init__(self) -> None:
        if not self.C or min(self.C) <= 0:
            raise BadInput("VALUE_RANGE", f"tfidf.C is {'+'.join(map(str, self.C))}", fix="give numbers above 0")
        if self.max_features < 1:
            raise BadInput("VALUE_RANGE", f"tfidf.max_features is {self.max_features}", fix="give at least 1")

    def fit(self, task: Task, rows: Rows, seed: int = 0) -> Fitted:
        target, texts = Target.of(task), text_columns(rows)
        families = list(learn(texts, self.max_features))
        model, chosen = fit_linear(matrix(families, texts), target.known(rows), target, self.C, seed)
        return LinearText(target, families, model, chosen)

    def restore(self, task: Task, state: State) -> Fitted:
        arrays = {name: np.asarray(value, dtype=np.float32) for name, value in state.arrays.items()}
        saved = enumerate(state.values["families"])
        families = [NGrams(f["column"], f["analyzer"], f["terms"], arrays[f"idf.{i}"]) for i, f in saved]
        model = Linear(arrays["weight"], arrays["intercept"])
        return LinearText(Target.of(task), families, model, float(state.values["C"]))


@dataclass(frozen=True)
class LinearText(Fitted):
    """Terms, their weights, and the C that was chosen."""

    target: Target
    families: list[NGrams]
    model: Linear
    chosen: float

    def predict(self, rows: Rows) -> Predictions:
        x = matrix(self.families, text_columns(rows))
        return self.target.answers(rows, self.model.outputs(x, self.target))

    def state(self) -> State:
        families = [{"column": f.column, "analyzer": f.analyzer, "terms": f.terms} for f in self.families]
        arrays = {f"idf.{i}": f.idf for i, f in enumerate(self.families)}
        arrays |= {"weight": self.model.weight, "intercept": self.model.intercept}
        return State({"families": families, "C": self.chosen}, {name: np.asarray(a) for name, a in arrays.items()})
