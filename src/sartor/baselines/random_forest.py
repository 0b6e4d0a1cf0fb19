"""Random forests on the columns of a table (Breiman 2001): the strongest of the simple models on some small sets, such
as German credit, and the one that needs the least choosing.

The columns are read as the linear model reads them: a missing number counts as the median, and that it is missing is a
column of its own; each value of a category is one. Grown by scikit-learn, kept and asked as plain arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sartor.baseline import Baseline, Fitted, State
from sartor.classical import forest
from sartor.classical.columns import Columns
from sartor.classical.forest import Forest
from sartor.classical.targets import Target
from sartor.data.inputs import CELLS, inputs
from sartor.errors import BadInput
from sartor.predictions import Predictions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sartor.data.rows import Rows
    from sartor.task import Task


@dataclass(frozen=True, kw_only=True)
class RandomForest(Baseline):
    """Trees on bootstrap samples, at every split a share of the columns."""

    reads: ClassVar[frozenset[str]] = frozenset(CELLS)

    trees: int = 200
    min_samples_leaf: int = 2

    def __post_init__(self) -> None:
        for name, most in (("trees", 5_000), ("min_samples_leaf", 100_000)):
            if not 1 <= getattr(self, name) <= most:
                said = f"random_forest.{name} is {getattr(self, name)}"
                raise BadInput("VALUE_RANGE", said, fix=f"give at least 1 and at most {most}")

    def fit(self, task: Task, rows: Rows, seed: int = 0) -> Fitted:
        target, columns = Target.of(task), Columns.learn(rows)
        known = target.known(rows)
        wanted = known[:, None] if target.number else known
        share = 1 / 3 if target.number else "sqrt"
        x = _values(columns, rows)
        return OnColumns(target, columns, forest.grow(x, wanted, self.trees, share, self.min_samples_leaf, seed))

    def restore(self, task: Task, state: State) -> Fitted:
        return OnColumns(Target.of(task), Columns.from_json(state.values["columns"]), forest.restored(state.arrays))


@dataclass(frozen=True)
class OnColumns(Fitted):
    """The columns and the trees."""

    target: Target
    columns: Columns
    model: Forest

    def predict(self, rows: Rows) -> Predictions:
        said = self.model.outputs(_values(self.columns, rows))
        return self.target.answers(rows, said[:, 0] if self.target.number else said)

    def state(self) -> State:
        return State({"columns": self.columns.to_json()}, self.model.arrays())


def _values(columns: Columns, rows: Rows) -> NDArray[np.float32]:
    """(N, V); where no column says anything, one that is always 0."""
    import numpy as np

    x = columns.standardised(columns.read(inputs(rows, CELLS)["cells"])).astype(np.float32)
    return x if x.shape[1] else np.zeros((len(x), 1), dtype=np.float32)
