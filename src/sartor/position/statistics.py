"""Comparisons of two candidates on the same rows. Legend: N rows, B draws, K columns.

Differences are the first candidate's metric minus the second's, in the metric's units; the verdict is on the first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sartor.position.intervals import (
    LARGE,
    Resampled,
    finite,
    is_binary,
    mean_bounds,
    resampled_macro_f1,
    resampled_metric,
    rows_of_numbers,
)
from sartor.predictions import Floats, Integers

ENUMERATED = 14
"""Up to so many rows that differ, every one of the 2^14 sign patterns is counted."""

Verdict = Literal["better", "worse", "tied", "undecided"]


@dataclass(frozen=True)
class Comparison:
    """One candidate against another on `n` common rows: the difference, its bounds, its p-value, and what that says.

    better, worse   zero lies outside the bounds
    tied            the bounds lie inside the region of practical equivalence, wherever zero lies
    undecided       neither was shown
    """

    metric: str
    difference: float
    low: float
    high: float
    p: float
    n: int
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        bounds = {key: finite(getattr(self, key)) for key in ("difference", "low", "high", "p")}
        return {"metric": self.metric, **bounds, "n": self.n, "verdict": self.verdict}


def paired(
    items_a: Floats,
    items_b: Floats,
    *,
    lower_is_better: bool,
    rope: float = 0.0,
    level: float = 0.95,
    seed: int = 0,
    draws: int = 2000,
    metric: str = "",
) -> Comparison:
    """The mean of (N,) items of `a` minus that of `b`. Zeros and ones: Tango's score interval and the mid-p McNemar
    test; other items: the studentised bootstrap of the differences and the sign-flip permutation test."""
    others = rows_of_numbers(items_a)[None]
    settings = {"lower_is_better": lower_is_better, "rope": rope, "level": level, "seed": seed, "draws": draws}
    return paired_many(others, items_b, metric=metric, **settings)[0]  # type: ignore[arg-type]


def paired_many(
    items: Floats,
    reference: Floats,
    *,
    lower_is_better: bool,
    rope: float = 0.0,
    level: float = 0.95,
    seed: int = 0,
    draws: int = 2000,
    metric: str = "",
) -> list[Comparison]:
    """`paired` of each row of (K, N) items with the (N,) reference, all through the same resamples and sign flips."""
    against = rows_of_numbers(reference)
    columns = [rows_of_numbers(row) for row in items]
    if any(len(column) != len(against) for column in columns):
        raise ValueError(f"{len(against)} rows cannot be paired with {[len(c) for c in columns]}")
    if not columns:
        return []
    difference = np.stack(columns, 1) - against[:, None]
    low, high, _ = mean_bounds(difference, level, seed, draws)
    p = sign_flip(difference, seed, draws)
    for k in range(len(columns)):
        if is_binary(against) and is_binary(columns[k]):
            gains, losses = int((difference[:, k] > 0).sum()), int((difference[:, k] < 0).sum())
            low[k], high[k] = tango(gains, losses, len(against), level)
            p[k] = mcnemar_midp(gains, losses)
    means = difference.mean(0)
    return [
        Comparison(metric, float(m), float(a), float(b), float(q), len(against), verdict(a, b, rope, lower_is_better))
        for m, a, b, q in zip(means, low, high, p, strict=True)
    ]


def paired_metric(
    score_a: Callable[[Integers], float],
    score_b: Callable[[Integers], float],
    n: int,
    *,
    lower_is_better: bool,
    rope: float = 0.0,
    level: float = 0.95,
    seed: int = 0,
    draws: int = 2000,
    metric: str = "",
) -> Comparison:
    """A metric that is no mean: both scores on the same resampled row indices; bounds and p-value by BCa."""
    found = resampled_metric(lambda rows: score_a(rows) - score_b(rows), n, seed, draws)
    return _from_resampled(found, metric, n, lower_is_better, rope, level)


def paired_macro_f1(
    true: Integers,
    predicted_a: Integers,
    predicted_b: Integers,
    classes: int,
    *,
    rope: float = 0.0,
    level: float = 0.95,
    seed: int = 0,
    draws: int = 2000,
) -> Comparison:
    """Macro-F1 of `a` minus that of `b`, resampled jointly through the cells (truth, a, b); BCa."""
    answers = np.stack([true, predicted_a, predicted_b])
    found = resampled_macro_f1(answers, classes, lambda f1: f1[:, 0] - f1[:, 1], seed, draws)
    return _from_resampled(found, "macro_f1", len(true), False, rope, level)


def verdict(low: float, high: float, rope: float, lower_is_better: bool) -> Verdict:
    """What the bounds of a difference say. Inside the ROPE counts first (Kruschke 2018): a difference that is surely
    too small to matter is no reason to prefer anything, even where it is surely not zero."""
    if rope > 0 and -rope <= low and high <= rope:
        return "tied"
    if low <= 0 <= high:
        return "undecided"
    return "better" if (high < 0) == lower_is_better else "worse"


def mcnemar_midp(gains: int, losses: int) -> float:
    """Two-sided mid-p McNemar test of the discordant counts (Fagerland, Lydersen and Laake 2013, eq. 4)."""
    from scipy.special import bdtr

    count, few = gains + losses, min(gains, losses)
    if count == 0:
        return 1.0
    at_most = float(bdtr(few, count, 0.5))
    exactly = at_most - (float(bdtr(few - 1, count, 0.5)) if few else 0.0)
    return min(1.0, 2 * at_most - exactly)


def tango(gains: int, losses: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Score bounds for the difference of two paired proportions, (gains - losses) / n (Tango 1998)."""
    from scipy.special import ndtri

    z = float(ndtri((1 + level) / 2))
    estimate = (gains - losses) / n
    low = -1.0 if estimate <= -1 else _crossing(gains, losses, n, z, -1.0, estimate)
    high = 1.0 if estimate >= 1 else _crossing(gains, losses, n, -z, estimate, 1.0)
    return low, high


def sign_flip(difference: Floats, seed: int, draws: int) -> Floats:
    """(K,) two-sided p-values that the columns of (N, K) differences are symmetric about zero (Fisher 1935).

    All 2^m patterns where only m <= 14 rows differ; else `draws` random ones, the data's own among them; above 20,000
    rows the normal limit."""
    from scipy.special import ndtr

    moving = (difference != 0).sum(0)
    size = np.sqrt((difference**2).sum(0))
    sums = np.abs(difference.sum(0))
    if len(difference) > LARGE:
        ratio = np.divide(sums, size, out=np.zeros_like(sums), where=size > 0)
        return np.asarray(2 * ndtr(-ratio), dtype=np.float64)
    random = np.empty(difference.shape[1])
    sampled = moving > ENUMERATED
    if sampled.any():
        random[sampled] = _sampled_flips(difference[:, sampled], seed, draws)
    for k in np.flatnonzero(~sampled):
        random[k] = _every_flip(difference[difference[:, k] != 0, k])
    return random


def holm(p_values: Sequence[float] | Floats) -> Floats:
    """(K,) step-down adjusted p-values (Holm 1979), in the order given."""
    given = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(given, kind="stable")
    factors = np.arange(len(given), 0, -1)
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(np.maximum.accumulate(given[order] * factors), 1.0)
    return adjusted


def rows_needed(difference: float, discordant: float = 0.06, power: float = 0.8, alpha: float = 0.05) -> float:
    """Rows for a paired test to find this difference in accuracy when a share `discordant` of the rows is answered
    rightly by one candidate only (Connor 1987). A difference cannot exceed the discordance, which then follows it."""
    from scipy.special import ndtri

    share = max(discordant, difference)
    reach = float(ndtri(1 - alpha / 2)) * math.sqrt(share) + float(ndtri(power)) * math.sqrt(share - difference**2)
    return (reach / difference) ** 2


def resolvable(n: int, discordant: float = 0.06, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest difference in accuracy, from 0 to 1, that `n` common rows can show; 1 where they can show none."""
    low, high = 1e-9, 1.0
    if rows_needed(high, discordant, power, alpha) > n:
        return 1.0
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if rows_needed(middle, discordant, power, alpha) <= n else (middle, high)
    return high


def expected_discordance(accuracy: float, correlation: float = 0.7) -> float:
    """The share of rows that exactly one of two candidates gets right, both at `accuracy` with correlated errors."""
    return 2 * accuracy * (1 - accuracy) * (1 - correlation)


def _from_resampled(
    found: Resampled, metric: str, n: int, lower_is_better: bool, rope: float, level: float
) -> Comparison:
    low, high = found.bounds(level)
    said = verdict(low, high, rope, lower_is_better)
    return Comparison(metric, found.value, low, high, found.p_value(), n, said)


def _crossing(gains: int, losses: int, n: int, z: float, low: float, high: float) -> float:
    """Where Tango's statistic, which falls in the difference, meets `z`; by bisection."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _tango_statistic(gains, losses, n, middle) > z else (low, middle)
    return (low + high) / 2


def _tango_statistic(gains: int, losses: int, n: int, difference: float) -> float:
    """The score statistic with the nuisance, P(only the second is right), at its constrained maximum likelihood."""
    linear = (2 * n - gains + losses) * difference - gains - losses
    constant = -losses * difference * (1 - difference)
    nuisance = (math.sqrt(max(linear**2 - 8 * n * constant, 0.0)) - linear) / (4 * n)
    variance = n * (2 * nuisance + difference * (1 - difference))
    distance = gains - losses - n * difference
    return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance) if distance else 0.0


def _sampled_flips(difference: Floats, seed: int, draws: int) -> Floats:
    random = np.random.default_rng([seed, 1])
    """What few patterns cannot resolve, Hoeffding's (1963) bound on all of them does: 2 exp(-S^2 / 2 sum d^2)."""
    extreme = np.ones(difference.shape[1])
    sums = np.abs(difference.sum(0)) * (1 - 1e-12)
    at_most = 2 * np.exp(-(sums**2) / (2 * (difference**2).sum(0)))
    block = max(1, 4_000_000 // len(difference))
    for start in range(0, draws, block):
        size = min(block, draws - start)
        signs = 2.0 * random.integers(0, 2, size=(size, len(difference)), dtype=np.int8) - 1.0
        extreme += (np.abs(signs @ difference) >= sums).sum(0)
    return np.asarray(np.minimum(extreme / (draws + 1), at_most), dtype=np.float64)


def _every_flip(moved: Floats) -> float:
    """The exact p-value from all 2^m sign patterns."""
    count = len(moved)
    patterns = np.arange(2**count)[:, None] >> np.arange(count) & 1
    reached = np.abs((2.0 * patterns - 1.0) @ moved)
    return float((reached >= abs(float(moved.sum())) * (1 - 1e-12)).mean())
