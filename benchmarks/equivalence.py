"""Equivalence of two ways to train: the mean difference of paired answers, its 90 % interval, and what that shows.

The interval is the wider of two. Over seeds (Student's t): would other seeds say the same? Over rows (normal, each
row's mean over the seeds): would other rows? The latter counts two rows more, half a row for each side and one that
agrees (Agresti and Min 2005), so that few rows without any disagreement do not pass for certainty. Within the margin,
two one-sided tests at 5 % both reject (Schuirmann 1987). All differences are in points, 100 x accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

LEVEL = 0.95
"""Of each side; the interval is 90 %."""


@dataclass(frozen=True)
class Difference:
    """Sartor minus the reference in points. `seeds_needed`: seeds at which an interval as noisy per seed would fit."""

    points: float
    low: float
    high: float
    over_seeds: float
    over_rows: float
    seeds: int
    rows: int
    disagree_percent: float
    margin: float
    shown: bool
    seeds_needed: int | None

    def sentence(self) -> str:
        said = f"{self.points:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"
        if self.shown:
            return f"{said}: equal within {self.margin:g}"
        if self.low > self.margin or self.high < -self.margin:
            return f"{said}: NOT equal within {self.margin:g}"
        if self.seeds_needed is None:
            return f"{said}: not shown equal within {self.margin:g}, and at this difference more seeds would not"
        return f"{said}: not shown equal within {self.margin:g}; about {self.seeds_needed} seeds would be needed"


def difference(mine: Any, theirs: Any, margin: float) -> Difference:
    """mine, theirs (seeds, rows): whether each answer is right."""
    gaps = 100.0 * (np.asarray(mine, dtype=float) - np.asarray(theirs, dtype=float))
    seeds, rows = gaps.shape
    by_seed, by_row = gaps.mean(1), gaps.mean(0)
    error = float(by_seed.std(ddof=1)) / math.sqrt(seeds) if seeds > 1 else math.inf
    over_seeds = float(stats.t.ppf(LEVEL, seeds - 1)) * error if seeds > 1 else math.inf
    variance = (float((by_row**2).sum()) + 100.0**2) / (rows + 2) - float(by_row.mean()) ** 2
    over_rows = float(stats.norm.ppf(LEVEL)) * math.sqrt(variance / (rows + 2))
    return _judged(float(gaps.mean()), over_seeds, over_rows, seeds, rows, float((gaps != 0).mean()), margin)


def pooled(sets: Sequence[Difference], margin: float) -> Difference:
    """The mean of the sets' differences, each counting the same; errors add as those of independent sets."""
    seeds = min(d.seeds for d in sets)
    over_seeds = _over_seeds(sets) if seeds > 1 else math.inf
    over_rows = math.sqrt(sum(d.over_rows**2 for d in sets)) / len(sets)
    points = float(np.mean([d.points for d in sets]))
    disagree = float(np.mean([d.disagree_percent for d in sets])) / 100
    return _judged(points, over_seeds, over_rows, seeds, sum(d.rows for d in sets), disagree, margin)


def _over_seeds(sets: Sequence[Difference]) -> float:
    """Half the interval of the mean over the sets, each with two seeds at least."""
    spread = [d.over_seeds / float(stats.t.ppf(LEVEL, d.seeds - 1)) for d in sets]
    squares = np.array(spread) ** 2
    # Welch and Satterthwaite: the degrees of freedom of a sum of variances that are each estimated
    each = max(1, min(d.seeds for d in sets) - 1)
    freedom = float(squares.sum() ** 2 / max((squares**2).sum(), 1e-12)) * each
    return float(stats.t.ppf(LEVEL, max(1.0, freedom))) * math.sqrt(float(squares.sum())) / len(sets)


def _judged(
    points: float, over_seeds: float, over_rows: float, seeds: int, rows: int, disagree: float, margin: float
) -> Difference:
    half = max(over_seeds, over_rows)
    room = margin - abs(points)
    shown = half <= room
    needed = math.ceil(seeds * (half / room) ** 2) if room > 0 and math.isfinite(half) else None
    return Difference(
        points=points,
        low=points - half,
        high=points + half,
        over_seeds=over_seeds,
        over_rows=over_rows,
        seeds=seeds,
        rows=rows,
        disagree_percent=100 * disagree,
        margin=margin,
        shown=shown,
        seeds_needed=seeds if shown else needed,
    )
