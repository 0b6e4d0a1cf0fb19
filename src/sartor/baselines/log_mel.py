"""The spectrum of a sound in slices, into a support vector machine: what every speech network must beat.

Log-mel bins (Davis and Mermelstein 1980) averaged over equal parts of a sound, and a Gaussian kernel with least squares
(Suykens and Vandewalle 1999). Strong where every sound is one short thing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sartor.baseline import Baseline, Fitted, State
from sartor.classical.kernel import KernelMachine, fit_kernel
from sartor.classical.loudness import sliced
from sartor.classical.targets import Target
from sartor.data.inputs import inputs
from sartor.errors import BadInput

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.predictions import Predictions
    from sartor.task import Task


@dataclass(frozen=True, kw_only=True)
class LogMel(Baseline):
    """A kernel machine on the mean log-mel spectra of a sound's parts."""

    reads: ClassVar[frozenset[str]] = frozenset({"audio"})

    bins: int = 40
    """Of the mel scale."""
    slices: int = 20
    """Parts of a sound."""
    widths: tuple[float, ...] = (0.3, 1.0, 3.0)
    """Candidates for gamma, times the number of values."""
    ridges: tuple[float, ...] = (0.01, 0.1, 1.0)
    most_rows: int = 8_000
    """Of more rows so many are drawn: the kernel of all lies in memory at once."""

    def __post_init__(self) -> None:
        for name in ("widths", "ridges"):
            if not getattr(self, name) or min(getattr(self, name)) <= 0:
                said = f"log_mel.{name} is {'+'.join(map(str, getattr(self, name)))}"
                raise BadInput("VALUE_RANGE", said, fix="give numbers above 0")
        for name, most in (("bins", 128), ("slices", 1000), ("most_rows", 40_000)):
            if not 1 <= getattr(self, name) <= most:
                said = f"log_mel.{name} is {getattr(self, name)}"
                raise BadInput("VALUE_RANGE", said, fix=f"give at least 1 and at most {most}")

    def fit(self, task: Task, rows: Rows, seed: int = 0) -> Fitted:
        if len(rows) > self.most_rows:
            rows = rows.take(np.sort(np.random.default_rng(seed).permutation(len(rows))[: self.most_rows]))
        target = Target.of(task)
        x = sliced(inputs(rows, {"audio"})["audio"], self.bins, self.slices)
        machine = fit_kernel(x, target.known(rows), target, self.widths, self.ridges, seed)
        return OnSpectra(target, self.bins, self.slices, machine)

    def restore(self, task: Task, state: State) -> Fitted:
        machine = KernelMachine.restored(state.values, state.arrays)
        return OnSpectra(Target.of(task), self.bins, self.slices, machine)


@dataclass(frozen=True)
class OnSpectra(Fitted):
    """The machine that was fitted."""

    target: Target
    bins: int
    slices: int
    machine: KernelMachine

    def predict(self, rows: Rows) -> Predictions:
        x = sliced(inputs(rows, {"audio"})["audio"], self.bins, self.slices)
        return self.target.answers(rows, self.machine.outputs(x, self.target))

    def state(self) -> State:
        return State(self.machine.values(), dict(self.machine.arrays()))
