"""Standardised numbers and one column for each value of a category into logistic regression (ridge for a number): the
scorecard that every model on a table must beat (Cox 1958; Hosmer and Lemeshow 2000).

A missing number counts as the median, and that it is missing is a column of its own; a value that the training rows did
not have counts as none of theirs. The penalty is chosen on held-out training rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sartor.baseline import Baseline, Fitted, State
from sartor.classical.columns import Columns
from sartor.classical.linear import Linear, fit_linear
from sartor.classical.targets import Target
from sartor.data.inputs import CELLS, inputs
from sartor.errors import BadInput
from sartor.predictions import Predictions

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.task import Task


@dataclass(frozen=True, kw_only=True)
class Logistic(Baseline):
    """A linear model on the columns of a table."""

    reads: ClassVar[frozenset[str]] = frozenset(CELLS)

    C: tuple[float, ...] = (1e-3, 1e-2, 0.1, 1.0, 10.0)
    """Candidates for the inverse penalty."""

    def __post_init__(self) -> None:
        if not self.C or min(self.C) <= 0:
            raise BadInput("VALUE_RANGE", f"logistic.C is {'+'.join(map(str, self.C))}", fix="give numbers above 0")

    def fit(self, task: Task, rows: Rows, seed: int = 0) -> Fitted:
        target, columns = Target.of(task), Columns.learn(rows)
        x = columns.standardised(columns.read(inputs(rows, CELLS)["cells"]))
        model, chosen = fit_linear(x, target.known(rows), target, self.C, seed)
        return OnColumns(target, columns, model, chosen)

    def restore(self, task: Task, state: State) -> Fitted:
        weight, intercept = (np.asarray(state.arrays[name], dtype=np.float32) for name in ("weight", "intercept"))
        columns = Columns.from_json(state.values["columns"])
        return OnColumns(Target.of(task), columns, Linear(weight, intercept), float(state.values["C"]))


@dataclass(frozen=True)
class OnColumns(Fitted):
    """The columns, their weights, and the C that was chosen."""

    target: Target
    columns: Columns
    model: Linear
    chosen: float

    def predict(self, rows: Rows) -> Predictions:
        x = self.columns.standardised(self.columns.read(inputs(rows, CELLS)["cells"]))
        return self.target.answers(rows, self.model.outputs(x, self.target))

    def state(self) -> State:
        values: dict[str, Any] = {"columns": self.columns.to_json(), "C": self.chosen}
        return State(values, {"weight": self.model.weight, "intercept": self.model.intercept})
