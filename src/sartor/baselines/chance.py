"""Pairs without looking at them: everything is equally similar, so that ranks are those of a drawn order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sartor.baseline import Baseline, Fitted, State
from sartor.classical.towers import Line, Sides, line_through, told
from sartor.data.rows import Kind
from sartor.predictions import Predictions

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.task import Task


@dataclass(frozen=True, kw_only=True)
class Chance(Baseline):
    """The ranks that chance gives; where scores are asked for, their mean."""

    predicts: ClassVar[frozenset[Kind]] = frozenset({"number"})
    layouts: ClassVar[frozenset[str]] = frozenset({"sides"})

    def fit(self, task: Task, rows: Rows, seed: int = 0) -> Fitted:
        return Blind(task, line_through(task, rows, _same(len(rows))))

    def restore(self, task: Task, state: State) -> Fitted:
        line = state.values["line"]
        return Blind(task, None if line is None else (line[0], line[1]))


@dataclass(frozen=True)
class Blind(Fitted):
    """The line that scores lie on, which is level."""

    task: Task
    line: Line | None

    def predict(self, rows: Rows) -> Predictions:
        return told(self.task, rows, _same(len(rows)), self.line)

    def state(self) -> State:
        return State({"line": None if self.line is None else list(self.line)}, {"nothing": np.zeros(1)})


def _same(count: int) -> Sides:
    return np.ones((count, 1)), np.ones((count, 1))
