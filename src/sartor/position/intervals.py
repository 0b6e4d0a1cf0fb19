"""Intervals: how far a measured number can be trusted. Legend: N rows, B draws, K columns, C classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sartor.predictions import Floats, Integers

EXACT_BELOW = 200
"""Proportions of fewer rows get the exact interval; asymptotic ones fail (Bowyer et al. 2025, arXiv 2503.01747)."""
TINY = 30
"""Means of fewer rows get Student's t: a resample of so few says little about the tails."""
LARGE = 20_000
"""Means of more rows get Student's t too: a skewness of 10 moves its bounds by less than 2 % of their distance."""
BLOCK = 4_000_000
"""Resampled rows held in memory at a time."""
JACKKNIFE_GROUPS = 200
"""At most so many leave-out evaluations; groups of rows estimate the same acceleration as single rows."""


@dataclass(frozen=True)
class Interval:
    """A value estimated from `n` rows, and the bounds that contain the truth with probability `level`."""

    value: float
    low: float
    high: float
    n: int
    level: float = 0.95
    method: str = "Wilson"

    def to_json(self) -> dict[str, Any]:
        """Plain values; a bound that is not finite (one row says nothing of its spread) is null."""
        bounds = {key: finite(getattr(self, key)) for key in ("value", "low", "high")}
        return {**bounds, "n": self.n, "level": self.level, "method": self.method}


def finite(number: float) -> float | None:
    """The number as JSON can hold it."""
    return float(number) if math.isfinite(number) else None


def proportion(successes: int, n: int, level: float = 0.95) -> Interval:
    """A share: Clopper and Pearson (1934) below 200 rows, Wilson (1927) from there on."""
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"{successes} successes of {n} rows are no proportion")
    exact = n < EXACT_BELOW
    low, high = (_clopper_pearson if exact else _wilson)(successes, n, level)
    return Interval(successes / n, low, high, n, level, "Clopper-Pearson" if exact else "Wilson")


def mean_interval(
    items: Floats,
    level: float = 0.95,
    seed: int = 0,
    draws: int = 2000,
    within: tuple[float, float] = (-math.inf, math.inf),
) -> Interval:
    """The mean of (N,) items: of zeros and ones a proportion, else the studentised bootstrap (Efron and Tibshirani
    1993, section 12.5), and Student's t below 30 or above 20,000 rows. `within`: the values that a mean can have."""
    checked = rows_of_numbers(items)
    if is_binary(checked) and within[0] <= 0 and within[1] >= 1:
        return proportion(int(checked.sum()), len(checked), level)
    low, high, method = mean_bounds(checked[:, None], level, seed, draws)
    value = float(checked.mean())
    return Interval(value, max(float(low[0]), within[0]), min(float(high[0]), within[1]), len(checked), level, method)


def mean_bounds(items: Floats, level: float, seed: int, draws: int) -> tuple[Floats, Floats, str]:
    """Bounds (K,) and (K,) for the means of the columns of (N, K) items, all by the same resamples, and the method.

    The bootstrap's bounds are never drawn inside Student's: with 40 to 1,500 rows 95 % bounds by the bootstrap alone
    covered 90 % of heavy-tailed differences, by Student's t alone 84 % of skewed losses, by the wider 93 to 97 %."""
    from scipy.special import stdtrit

    n, tail = len(items), (1 - level) / 2
    mean = items.mean(0)
    if n < 2:
        return mean - math.inf, mean + math.inf, "none"
    error = items.std(0, ddof=1) / math.sqrt(n)
    student = float(stdtrit(n - 1, 1 - tail)) * error
    if not TINY <= n <= LARGE:
        return mean - student, mean + student, "Student t"
    ratios = np.sort(_studentised(items - mean, seed, draws), axis=0) * error
    least, most = ratios[int(tail * draws)], ratios[draws - 1 - int(tail * draws)]
    # A column in which only a handful of rows differ has resamples without any spread: t is what is left.
    usable = np.isfinite(least) & np.isfinite(most)
    low = mean - np.where(usable, np.maximum(most, student), student)
    high = mean - np.where(usable, np.minimum(least, -student), -student)
    return low, high, "studentised bootstrap" if usable.all() else "Student t"


def bootstrap_metric(
    score: Callable[[Integers], float], n: int, level: float = 0.95, seed: int = 0, draws: int = 2000
) -> Interval:
    """A metric that is no mean (AUC, calibration error): `score` of row indices, bias-corrected and accelerated
    (Efron 1987). Resamples on which `score` is not finite (AUC of one class) are left out."""
    found = resampled_metric(score, n, seed, draws)
    low, high = found.bounds(level)
    return Interval(found.value, low, high, n, level, "BCa bootstrap")


def macro_f1_interval(
    true: Integers, predicted: Integers, classes: int, level: float = 0.95, seed: int = 0, draws: int = 2000
) -> Interval:
    """Macro-F1 over `classes`, resampled through the cells of the confusion matrix; BCa.

    A class that the data lack counts 0, as in the metric; one that only a resample lacks is left out of that mean."""
    found = resampled_macro_f1(np.stack([true, predicted]), classes, lambda f1: f1[:, 0], seed, draws)
    low, high = found.bounds(level)
    return Interval(found.value, low, high, len(true), level, "BCa bootstrap")


MOST_BIAS = 1.0
"""Normal deviates between a value and the median of its replicates beyond which percentiles are not trusted."""


@dataclass(frozen=True)
class Resampled:
    """A statistic, its (B,) bootstrap replicates and its acceleration: the bounds and the p-value that they give."""

    value: float
    replicates: Floats
    acceleration: float

    def bounds(self, level: float) -> tuple[float, float]:
        """The bias-corrected and accelerated percentiles (Efron 1987, eq. 2.3).

        Where resampling itself moves the statistic (a calibration error only grows), percentiles would miss the value;
        then the basic bootstrap's bounds, turned round the value (Davison and Hinkley 1997, eq. 5.6).
        """
        from scipy.special import ndtr, ndtri

        if len(self.replicates) == 0:
            return -math.inf, math.inf
        bias = self._bias()
        if abs(bias) > MOST_BIAS:
            high, low = 2 * self.value - np.quantile(self.replicates, [(1 - level) / 2, (1 + level) / 2])
            return min(float(low), self.value), max(float(high), self.value)
        shifted = bias + np.asarray(ndtri([(1 - level) / 2, (1 + level) / 2]))
        shares = ndtr(bias + shifted / np.maximum(1 - self.acceleration * shifted, 1e-3))
        low, high = np.quantile(self.replicates, shares)
        return float(low), float(high)

    def p_value(self, null: float = 0.0) -> float:
        """Two-sided: the least 1 - level whose bounds exclude `null`; past the last replicate by the normal tail."""
        from scipy.special import ndtr

        if len(self.replicates) == 0:
            return 1.0
        bias = self._bias()
        distance = self._deviate(null) - bias
        place = distance / max(1 + self.acceleration * distance, 1e-3) - bias
        return float(min(1.0, 2 * ndtr(-abs(place))))

    def _bias(self) -> float:
        return self._counted(self.value)

    def _deviate(self, point: float) -> float:
        """Where `point` lies among the replicates, as a normal deviate."""
        counted, spread = self._counted(point), float(self.replicates.std())
        if spread == 0 or self.replicates.min() <= point <= self.replicates.max():
            return counted
        beyond = (point - self.value) / spread
        return max(counted, beyond) if counted > 0 else min(counted, beyond)

    def _counted(self, point: float) -> float:
        """By the share of replicates below it, kept off 0 and 1: B draws cannot tell less than half of 1 / B."""
        from scipy.special import ndtri

        count = len(self.replicates)
        below = float((self.replicates < point).sum()) + 0.5 * float((self.replicates == point).sum())
        return float(ndtri(min(max(below, 0.5), count - 0.5) / count))


def resampled_metric(score: Callable[[Integers], float], n: int, seed: int, draws: int) -> Resampled:
    """`draws` bootstrap replicates of `score` over the indices of `n` rows."""
    random = np.random.default_rng(seed)
    everything = np.arange(n)
    replicates = np.array([score(random.integers(0, n, n)) for _ in range(draws)], dtype=float)
    groups = np.array_split(random.permutation(n), min(n, JACKKNIFE_GROUPS)) if n > 1 else []
    left_out = np.array([score(np.setdiff1d(everything, group)) for group in groups], dtype=float)
    kept = replicates[np.isfinite(replicates)]
    return Resampled(float(score(everything)), kept, acceleration(left_out[np.isfinite(left_out)]))


def acceleration(left_out: Floats, weights: Floats | None = None) -> float:
    """The jackknife estimate from the statistic with each group of rows left out (Efron 1987, eq. 6.6)."""
    if len(left_out) == 0:
        return 0.0
    weight = np.ones(len(left_out)) if weights is None else weights
    pull = float(np.average(left_out, weights=weight)) - left_out
    spread = float((weight * pull**2).sum())
    return float((weight * pull**3).sum()) / (6 * spread**1.5) if spread > 1e-24 else 0.0


def resampled_macro_f1(
    answers: Integers, classes: int, statistic: Callable[[Floats], Floats], seed: int, draws: int
) -> Resampled:
    """`statistic` of the macro-F1 of each answer: `answers` (1 + A, N), the truth first; it maps (B, A) to (B,)."""
    cells, counts = np.unique(np.asarray(answers, dtype=np.int64), axis=1, return_counts=True)
    n, held = int(counts.sum()), counts.astype(float)
    drawn = np.random.default_rng(seed).multinomial(n, held / n, size=draws).astype(float)

    def measure(weights: Floats) -> Floats:
        return statistic(
            np.stack([_macro_f1(weights, cells[0], cells[i], held, classes) for i in range(1, len(cells))], 1)
        )

    left_out = measure(held - np.eye(len(held))) if n > 1 else np.empty(0)
    return Resampled(float(measure(held[None])[0]), measure(drawn), acceleration(left_out, held if n > 1 else None))


def resamples(n: int, draws: int, seed: int) -> Iterator[Floats]:
    """`draws` bootstrap resamples of `n` rows as blocks (b, N) of how often each row was drawn."""
    random = np.random.default_rng(seed)
    block = max(1, BLOCK // n)
    for start in range(0, draws, block):
        size = min(block, draws - start)
        drawn = random.integers(0, n, size=(size, n)) + np.arange(size)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(float)


def rows_of_numbers(items: Any) -> Floats:
    """`items` as (N,) finite numbers with N >= 1."""
    checked = np.asarray(items, dtype=np.float64)
    if checked.ndim != 1 or len(checked) == 0:
        raise ValueError(f"items of shape {checked.shape} are not one number per row")
    if not np.isfinite(checked).all():
        raise ValueError(f"row {int(np.flatnonzero(~np.isfinite(checked))[0])} of the items is not a finite number")
    return checked


def is_binary(items: Floats) -> bool:
    """Whether every item is 0 or 1."""
    return bool(((items == 0) | (items == 1)).all())


def _clopper_pearson(successes: int, n: int, level: float) -> tuple[float, float]:
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = float(betaincinv(successes, n - successes + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, n - successes, 1 - tail)) if successes < n else 1.0
    return low, high


def _wilson(successes: int, n: int, level: float) -> tuple[float, float]:
    from scipy.special import ndtri

    z = float(ndtri((1 + level) / 2))
    share, scale = successes / n, 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (centre - half if successes else 0.0), (centre + half if successes < n else 1.0)


def _studentised(centred: Floats, seed: int, draws: int) -> Floats:
    """(B, K) resampled means over their own standard errors; a resample without spread is infinitely far."""
    n = len(centred)
    moments = np.concatenate([centred, centred**2], axis=1)
    sums = np.concatenate([counts @ moments for counts in resamples(n, draws, seed)]) / n
    mean, square = np.split(sums, 2, axis=1)
    error = np.sqrt(np.maximum(square - mean**2, 0.0) / (n - 1))
    far = np.where(mean == 0, 0.0, np.copysign(np.inf, mean))
    return np.divide(mean, error, out=far, where=error > 0)


def _macro_f1(weights: Floats, true: Integers, said: Integers, held: Floats, classes: int) -> Floats:
    """(B,) macro-F1 of confusion cells (K,) with (B, K) weights; `held` are the data's own weights."""
    truth, answer = np.eye(classes)[true], np.eye(classes)[said]
    hits = weights @ (truth * answer)
    support = weights @ (truth + answer)
    f1 = np.divide(2 * hits, support, out=np.zeros_like(hits), where=support > 0.5)
    known = (support > 0.5) | (held @ (truth + answer) < 0.5)
    return np.asarray(f1.sum(1) / known.sum(1), dtype=np.float64)
