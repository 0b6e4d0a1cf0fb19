"""Pixels as they are, into a classical model: what every image network must beat.

    linear  logistic regression (ridge for a number) on standardised pixels, the penalty chosen on held-out rows
    forest  a random forest (Breiman 2001): strong where images are small and what they show stands still

Legend: N rows, V = 3 x side x side values of an image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from sartor.baseline import Baseline, Fitted, State
from sartor.classical import forest
from sartor.classical.forest import Forest
from sartor.classical.linear import Linear, fit_linear
from sartor.classical.targets import Target
from sartor.data.inputs import inputs
from sartor.errors import BadInput
from sartor.predictions import Predictions

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.task import Task

Reals = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Pixels(Baseline):
    """A linear model or a random forest on the pixels of small copies of the images."""

    reads: ClassVar[frozenset[str]] = frozenset({"image"})

    model: Literal["linear", "forest"] = "linear"
    side: int = 32
    """Pixels of a side that images are resized to."""
    C: tuple[float, ...] = (1e-5, 1e-4, 1e-3, 1e-2)
    """Candidates for the linear model's inverse penalty."""
    trees: int = 100
    most_rows: int = 40_000
    """Of more rows so many are drawn: the pixels of all lie in memory at once."""

    def __post_init__(self) -> None:
        if not self.C or min(self.C) <= 0:
            raise BadInput("VALUE_RANGE", f"pixels.C is {'+'.join(map(str, self.C))}", fix="give numbers above 0")
        for name, most in (("side", 1024), ("trees", 1024), ("most_rows", 10_000_000)):
            if not 1 <= getattr(self, name) <= most:
                said = f"pixels.{name} is {getattr(self, name)}"
                raise BadInput("VALUE_RANGE", said, fix=f"give at least 1 and at most {most}")

    def fit(self, task: Task, rows: Rows, seed: int = 0) -> Fitted:
        if len(rows) > self.most_rows:
            rows = rows.take(np.sort(np.random.default_rng(seed).permutation(len(rows))[: self.most_rows]))
        target, x = Target.of(task), _values(rows, self.side)
        known = target.known(rows)
        if self.model == "forest":
            columns = known[:, None] if target.number else known
            share = 1 / 3 if target.number else "sqrt"
            return OnPixels(target, self.side, forest.grow(x, columns, self.trees, share, 1, seed), {"rows": len(rows)})
        view = View.of(x)
        model, chosen = fit_linear(view.seen(x), known, target, self.C, seed)
        return OnPixels(target, self.side, (view, model), {"C": chosen, "rows": len(rows)})

    def restore(self, task: Task, state: State) -> Fitted:
        arrays = state.arrays
        if self.model == "forest":
            return OnPixels(Target.of(task), self.side, forest.restored(arrays), state.values)
        view, model = (
            made(*(np.asarray(arrays[name], dtype=np.float32) for name in names))
            for made, names in ((View, ("mean", "scale")), (Linear, ("weight", "intercept")))
        )
        return OnPixels(Target.of(task), self.side, (view, model), state.values)


@dataclass(frozen=True)
class View:
    """Standardised values: (x - mean) * scale, each (V,)."""

    mean: Reals
    scale: Reals

    @classmethod
    def of(cls, x: Reals) -> View:
        """Values that never change count for nothing."""
        spread = x.std(0)
        return cls(x.mean(0), np.asarray(np.where(spread > 0, 1 / np.maximum(spread, 1e-6), 0), dtype=np.float32))

    def seen(self, x: Reals) -> Reals:
        return np.asarray((x - self.mean) * self.scale, dtype=np.float32)


@dataclass(frozen=True)
class OnPixels(Fitted):
    """The model that was fitted, and what was chosen on the way."""

    target: Target
    side: int
    model: Any
    chosen: dict[str, Any]

    def predict(self, rows: Rows) -> Predictions:
        x = _values(rows, self.side)
        if isinstance(self.model, Forest):
            said = self.model.outputs(x)
            return self.target.answers(rows, said[:, 0] if self.target.number else said)
        view, model = self.model
        return self.target.answers(rows, model.outputs(view.seen(x), self.target))

    def state(self) -> State:
        if isinstance(self.model, Forest):
            return State(self.chosen, self.model.arrays())
        view, model = self.model
        arrays = {"mean": view.mean, "scale": view.scale, "weight": model.weight, "intercept": model.intercept}
        return State(self.chosen, arrays)


def _values(rows: Rows, side: int) -> Reals:
    """(N, 3 x side x side) from 0 to 1."""
    from sartor.data.pictures import each
    from sartor.pretrained.framing import plain

    frame = plain(side)
    found = [pixels.ravel() for pixels in each(inputs(rows, {"image"})["image"], frame.pixels)]
    return np.asarray(np.stack(found) / np.float32(255), dtype=np.float32)
