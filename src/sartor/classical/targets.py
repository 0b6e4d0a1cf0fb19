"""Targets as arrays and arrays as answers, for models that are no network. Legend: N rows, C labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sartor.classical.tagging import Tagging
from sartor.data.tokens import of_rows
from sartor.errors import BadInput
from sartor.predictions import Floats, Predictions

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.task import Task

FLOOR = 1e-6
"""No label is impossible: what is mixed into every probability, so that a log-loss stays finite."""


@dataclass(frozen=True)
class Target:
    """What is predicted: one of the labels, several of them, or a number where there are none; `tokens`: a label for
    each token of a row, and what is said of rows below is said of those."""

    labels: tuple[str, ...]
    several: bool
    tokens: bool = False

    @classmethod
    def of(cls, task: Task) -> Target:
        """Raises `BadInput` for a task that predicts neither labels nor a number."""
        if not (hasattr(task, "labels") and hasattr(task, "several")):
            fix = "use a task such as classification or regression"
            raise BadInput("BASELINE_TASK", f"a baseline cannot predict what the task '{task.name}' asks for", fix=fix)
        return cls(tuple(task.labels), bool(task.several), task.layout == "tokens")

    @property
    def number(self) -> bool:
        return not self.labels

    def count(self, rows: Rows) -> int:
        """How many answers the rows ask for."""
        return sum(map(len, of_rows(rows))) if self.tokens else len(rows)

    def known(self, rows: Rows) -> Floats:
        """(N,) numbers, or (N, C) 1 where a row has the label. The rows must have targets, all of them learned."""
        targets = rows.targets()
        if targets is None:
            raise BadInput(
                "LABEL_COLUMN", "the rows have no target column", fix="pass --target NAME", where=rows.source
            )
        if self.number:
            return np.asarray(targets, dtype=np.float64)
        if self.tokens:
            return np.asarray(np.eye(len(self.labels))[Tagging(self.labels).known(rows)])
        place = {label: i for i, label in enumerate(self.labels)}
        known = np.zeros((len(rows), len(self.labels)))
        for i, target in enumerate(targets):
            known[i, [place[label] for label in (target if self.several else [str(target)])]] = 1.0
        return known

    def answers(self, rows: Rows, outputs: Floats) -> Predictions:
        """(N,) numbers or (N, C) probabilities -> answers: the likeliest label, or each one above one half."""
        if self.number:
            return Predictions(rows.numbers, outputs)
        probabilities = self._possible(outputs)
        if self.tokens:
            return Tagging(self.labels).answers(rows, np.log(probabilities))
        return Predictions(rows.numbers, self._said(probabilities), self.labels, probabilities)

    def losses(self, said: Floats, known: Floats) -> Floats:
        """(N,) squared error, or log-loss: what settings are chosen by."""
        if self.number:
            return (said - known) ** 2
        p = np.clip(said, FLOOR, 1 - FLOOR)
        other = (1 - known) * np.log(1 - p) if self.several else 0.0
        return np.asarray(-(known * np.log(p) + other).sum(1))

    def _possible(self, p: Floats) -> Floats:
        """`p` mixed with a little of every label; rows of one label still sum to 1."""
        share = 0.5 if self.several else 1.0 / len(self.labels)
        mixed: Floats = (1 - FLOOR) * p + FLOOR * share
        return mixed

    def _said(self, probabilities: Floats) -> Any:
        said = np.empty(len(probabilities), dtype=object)
        if self.several:
            said[:] = [tuple(self.labels[i] for i in np.flatnonzero(row > 0.5)) for row in probabilities]
        else:
            said[:] = [self.labels[i] for i in probabilities.argmax(1)]
        return said
