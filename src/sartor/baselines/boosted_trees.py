"""Gradient boosted trees, the strongest simple model on tables (Friedman 2001; Grinsztajn et al. 2022, arXiv
2207.08815): scikit-learn's histogram trees, or LightGBM (Ke et al. 2017) where it is installed.

Categories are split natively, missing values go where they help. How many trees there are and how large they are is
chosen by cross-validation of the training rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from sartor.baseline import Baseline, Fitted, State
from sartor.classical.columns import Columns
from sartor.classical.growing import Forest, Grower, grown, restored
from sartor.classical.targets import Target
from sartor.data.inputs import CELLS, inputs
from sartor.errors import BadInput
from sartor.predictions import Floats, Predictions

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.task import Task


@dataclass(frozen=True, kw_only=True)
class BoostedTrees(Baseline):
    """Boosted trees on the columns of a table."""

    reads: ClassVar[frozenset[str]] = frozenset(CELLS)

    model: Literal["histogram", "lightgbm"] = "histogram"
    """scikit-learn's trees, or those of the package lightgbm."""
    learning_rate: float = 0.08
    most_trees: int = 200
    """Of each output; fewer where held-out rows say so."""

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate <= 1:
            said = f"boosted_trees.learning_rate is {self.learning_rate:g}"
            raise BadInput("VALUE_RANGE", said, fix="give one above 0 and at most 1")
        if not 1 <= self.most_trees <= 10_000:
            said = f"boosted_trees.most_trees is {self.most_trees}"
            raise BadInput("VALUE_RANGE", said, fix="give at least 1 and at most 10000")

    def fit(self, task: Task, rows: Rows, seed: int = 0) -> Fitted:
        target, columns = Target.of(task), Columns.learn(rows)
        x, known = _values(columns, rows), target.known(rows)
        grower = Grower(self.model, self.learning_rate, self.most_trees, len(columns.categories), seed)
        each = [known] if target.number else list(known.astype(np.int64).T) if target.several else [known.argmax(1)]
        return OnTrees(target, columns, [grown(grower, x, y) for y in each])

    def restore(self, task: Task, state: State) -> Fitted:
        columns, told = Columns.from_json(state.values["columns"]), state.values["forests"]
        arrays = [{n.partition(".")[2]: a for n, a in state.arrays.items() if _of(n) == i} for i in range(len(told))]
        return OnTrees(Target.of(task), columns, [restored(*each) for each in zip(told, arrays, strict=True)])


@dataclass(frozen=True)
class OnTrees(Fitted):
    """One forest for a number or for labels that exclude each other, or one for each of several labels."""

    target: Target
    columns: Columns
    forests: list[Forest]

    def predict(self, rows: Rows) -> Predictions:
        x = _values(self.columns, rows)
        if self.target.number:
            return self.target.answers(rows, self.forests[0].numbers(x))
        if self.target.several:
            return self.target.answers(rows, np.stack([f.shares(x, 2)[:, 1] for f in self.forests], 1))
        return self.target.answers(rows, self.forests[0].shares(x, len(self.target.labels)))

    def state(self) -> State:
        values = {"columns": self.columns.to_json(), "forests": [f.told() for f in self.forests]}
        return State(values, {f"{i}.{name}": a for i, f in enumerate(self.forests) for name, a in f.arrays().items()})


def _of(name: str) -> int:
    return int(name.partition(".")[0])


def _values(columns: Columns, rows: Rows) -> Floats:
    """(N, V) codes of the categories, then numbers; NaN where missing or never seen."""
    read = columns.read(inputs(rows, CELLS)["cells"])
    return np.hstack([np.where(read.codes < 0, np.nan, read.codes), read.numbers])
