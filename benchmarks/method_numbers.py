"""What the cells of the sweep over methods say in numbers: accuracies, paired differences, shares of full's gain.

Differences are paired by set, seed and row, in points, with 90 % intervals (see `equivalence`); only seeds count for
which every set has both sides. A share of full's gain has its interval from resampling rows and seeds within each set.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from equivalence import Difference, difference, pooled
from method_cells import Cell, default, known, read_back, unpacked

HERE = Path(__file__).parent
FULL, PROBE = "full", "probe"
RESAMPLED = 1000


@dataclass(frozen=True)
class Sweep:
    """The cells of the results file; `rate` is each method's default as the code has it now.

    chosen  what weights are chosen by -> cell -> (N,) whether each held-out row was answered right
    costs   method -> what `method_costs` found; empty where it has not been run
    """

    asked: dict[str, Any]
    cells: dict[Cell, dict[str, Any]]
    chosen: dict[str, dict[Cell, Any]]
    rate: dict[str, float | None]
    costs: dict[str, dict[str, Any]]

    @property
    def right(self) -> dict[Cell, Any]:
        return self.chosen[self.asked["choice"]]

    @property
    def sizes(self) -> list[int | str]:
        return [size for phase in self.asked["sizes"] for size in phase]

    def at(self, data: str, size: int | str, seed: int, way: Way) -> Cell:
        return Cell(data, size, seed, way.method, way.rate, way.steps)

    def seeds(self, size: int | str, *ways: Way) -> list[int]:
        """Those for which every set has a cell of all of these."""
        return [
            seed
            for seed in range(self.asked["seeds"])
            if all(self.at(data, size, seed, way) in self.right for data in self.asked["data"] for way in ways)
        ]

    def evidence(self, size: int | str, way: Way, seeds: Sequence[int]) -> dict[str, Any]:
        """Set -> (seeds, N) whether each row was answered right."""
        return {
            data: np.stack([self.right[self.at(data, size, seed, way)] for seed in seeds])
            for data in self.asked["data"]
        }


@dataclass(frozen=True)
class Way:
    """A method at a rate, for so many steps or as many as the plan says."""

    method: str
    rate: float | None
    steps: int | None = None


def read(folder: Path = HERE / "results") -> Sweep:
    said = json.loads((folder / "methods.json").read_text("utf-8"))
    cells = dict(read_back(cell) for cell in said["result"]["cells"])
    asked = said["experiment"]
    chosen = {choice: _right(cells, choice, asked["held"]) for choice in asked["choices"]}
    rate = {spelled: default(method) for spelled, method in known(asked).items()}
    costs = folder / "method_costs.json"
    found = json.loads(costs.read_text("utf-8"))["result"]["methods"] if costs.exists() else {}
    return Sweep(asked, cells, chosen, rate, found)


def _right(cells: dict[Cell, dict[str, Any]], choice: str, held: int) -> dict[Cell, Any]:
    """Of the cells that were not refused."""
    return {
        cell: unpacked(found["answers"][str(found["chosen"][choice])]["right"], held)
        for cell, found in cells.items()
        if "chosen" in found
    }


def accuracy(sweep: Sweep, size: int | str, way: Way, seeds: Sequence[int]) -> float:
    """The mean over sets and seeds, in percent."""
    found = sweep.evidence(size, way, seeds).values()
    return 100 * float(np.mean([right.mean() for right in found]))


def against(sweep: Sweep, size: int | str, mine: Way, other: Way) -> Difference | None:
    """The mean difference in points; None where no seed has both on every set."""
    seeds = sweep.seeds(size, mine, other)
    if not seeds:
        return None
    ours, theirs = (sweep.evidence(size, way, seeds) for way in (mine, other))
    return pooled([difference(ours[data], theirs[data], 0.0) for data in ours], 0.0)


@dataclass(frozen=True)
class Kept:
    """A method's gain over the probe as a share of full's, with the 90 % interval; gains in points."""

    gain: float
    of: float
    low: float
    high: float
    full_gains: bool
    """Whether full's own gain is shown: the 90 % interval of it lies above 0."""


def kept(sweep: Sweep, size: int | str, method: str) -> Kept | None:
    """None where no seed has all three on every set."""
    ways = [Way(name, sweep.rate[name]) for name in (method, FULL, PROBE)]
    seeds = sweep.seeds(size, *ways)
    if not seeds:
        return None
    resampled = np.array(_resampled([sweep.evidence(size, way, seeds) for way in ways]))  # (3, RESAMPLED)
    mine, full, probe = (accuracy(sweep, size, way, seeds) for way in ways)
    gains = resampled[:2] - resampled[2]
    shares = np.percentile(gains[0] / np.where(gains[1] == 0, np.nan, gains[1]), [5, 95])
    shown = bool(np.percentile(gains[1], 5) > 0)
    return Kept(mine - probe, full - probe, float(shares[0]), float(shares[1]), shown)


def _resampled(evidence: list[dict[str, Any]]) -> list[Any]:
    """Per way (RESAMPLED,) mean accuracies, the same rows and seeds drawn for every way."""
    totals = [np.zeros(RESAMPLED) for _ in evidence]
    for number, data in enumerate(evidence[0]):
        seeds, rows = evidence[0][data].shape
        of_rows, of_seeds = _drawn(number, rows), _drawn(number, seeds)
        for total, way in zip(totals, evidence, strict=True):
            each = of_rows @ way[data].T / rows  # (RESAMPLED, seeds)
            total += 100 * (each * of_seeds).sum(1) / seeds / len(evidence[0])
    return totals


@functools.cache
def _drawn(number: int, count: int) -> Any:
    """(RESAMPLED, count) how often each of `count` things was drawn, for the set of this number."""
    return np.random.default_rng([number, count]).multinomial(count, np.full(count, 1 / count), RESAMPLED)


def trained_share(sweep: Sweep, method: str) -> float | None:
    """The largest share of the weights that a run of this method trained: on the set with the most labels."""
    found = [c["trained"] / c["weights"] for cell, c in sweep.cells.items() if cell.method == method and "trained" in c]
    return max(found) if found else None


def measured(sweep: Sweep, method: str) -> list[Way]:
    """The rates of a method that were tried, from low to high; none for a method without steps."""
    return [Way(method, rate) for rate in sorted({c.rate for c in sweep.right if c.method == method and c.rate})]


# In words


def signed(found: Difference) -> str:
    """`-0.5 [-1.2, +0.2]`; without an interval where there is one seed."""
    if not np.isfinite(found.high):
        return f"{found.points:+.1f}"
    return f"{found.points:+.1f} [{found.low:+.1f}, {found.high:+.1f}]"


def rows_of(sweep: Sweep, size: int | str) -> str:
    return f"{sweep.asked['full']:,} rows" if size == "full" else f"{size} rows"


def percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else "all"
