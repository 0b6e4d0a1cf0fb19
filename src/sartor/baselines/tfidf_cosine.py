"""Pairs of texts by the words and letters that they share: the cosine of TF-IDF vectors (Salton and Buckley 1988).

What a text encoder must beat in matching, and hard to beat where partners quote each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sartor.baseline import Baseline, Fitted, State
from sartor.classical.ngrams import NGrams, learn, matrix
from sartor.classical.towers import Line, Sides, line_through, told
from sartor.data.rows import Kind
from sartor.data.texts import text_columns
from sartor.errors import BadInput
from sartor.predictions import Predictions

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.task import Task


@dataclass(frozen=True, kw_only=True)
class TfIdfCosine(Baseline):
    """Word and letter n-grams, weighed by how rare they are on both sides of the training pairs."""

    reads: ClassVar[frozenset[str]] = frozenset({"text"})
    predicts: ClassVar[frozenset[Kind]] = frozenset({"number"})
    layouts: ClassVar[frozenset[str]] = frozenset({"sides"})

    max_features: int = 100_000
    """The most frequent terms kept of each kind of n-gram."""

    def __post_init__(self) -> None:
        if self.max_features < 1:
            said = f"tfidf_cosine.max_features is {self.max_features}"
            raise BadInput("VALUE_RANGE", said, fix="give at least 1")

    def fit(self, task: Task, rows: Rows, seed: int = 0) -> Fitted:
        both = {"text": [text for texts in _texts(rows) for text in texts]}
        families = list(learn(both, self.max_features))
        return SharedWords(task, families, line_through(task, rows, _sides(families, rows)))

    def restore(self, task: Task, state: State) -> Fitted:
        saved = enumerate(state.values["families"])
        families = [
            NGrams("text", f["analyzer"], f["terms"], np.asarray(state.arrays[f"idf.{i}"], dtype=np.float32))
            for i, f in saved
        ]
        line = state.values["line"]
        return SharedWords(task, families, None if line is None else (line[0], line[1]))


@dataclass(frozen=True)
class SharedWords(Fitted):
    """Terms, how much each says, and the line that scores lie on."""

    task: Task
    families: list[NGrams]
    line: Line | None

    def predict(self, rows: Rows) -> Predictions:
        return told(self.task, rows, _sides(self.families, rows), self.line)

    def state(self) -> State:
        families = [{"analyzer": f.analyzer, "terms": f.terms} for f in self.families]
        arrays = {f"idf.{i}": np.asarray(f.idf) for i, f in enumerate(self.families)}
        line = None if self.line is None else list(self.line)
        return State({"families": families, "line": line}, arrays | {"nothing": np.zeros(1)})


def _texts(rows: Rows) -> tuple[list[str], list[str]]:
    """Both sides. Raises `BadInput` where only one is a text."""
    found = text_columns(rows)
    if "text_pair" not in found:
        said = "tfidf_cosine compares two texts, and the rows have one"
        raise BadInput("MATCH_SIDES", said, fix="name both with --text, or leave this baseline out", where=rows.source)
    return found["text"], found["text_pair"]


def _sides(families: list[NGrams], rows: Rows) -> Sides:
    from sklearn.preprocessing import normalize

    left, right = (normalize(matrix(families, {"text": texts})).tocsr() for texts in _texts(rows))
    return left, right
