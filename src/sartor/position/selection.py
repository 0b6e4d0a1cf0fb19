"""Choosing among candidates, and what that does to the chosen one's score. Legend: C candidates, N rows, B draws."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sartor.position.intervals import Interval, finite, mean_interval, resamples
from sartor.position.statistics import Comparison, holm, paired_many
from sartor.predictions import Floats

COST_AXES = ("latency_ms_p50", "size_mb", "train_seconds")
"""In this order they decide which of the tied candidates is the cheapest."""
NOT_MEASURED = (math.inf, math.inf, math.inf)

Cost = tuple[float, float, float]
"""A measured cost: value, low, high."""


@dataclass(frozen=True)
class Ties:
    """The best candidate, every other one against it, and who is not shown to be worse (the best is one of them)."""

    best: str
    comparisons: dict[str, Comparison]
    tied: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        compared = {name: c.to_json() for name, c in self.comparisons.items()}
        return {"best": self.best, "tied": list(self.tied), "comparisons": compared}


def tie_set(
    items: Mapping[str, Floats],
    *,
    best: str,
    lower_is_better: bool,
    rope: float = 0.0,
    level: float = 0.95,
    seed: int = 0,
    draws: int = 2000,
    metric: str = "",
) -> Ties:
    """Every candidate's (N,) items against the best's, on the same rows; see `ties`."""
    others = [name for name in items if name != best]
    matrix = np.stack([items[name] for name in others]) if others else np.empty((0, len(items[best])))
    found = paired_many(
        matrix,
        items[best],
        lower_is_better=lower_is_better,
        rope=rope,
        level=level,
        seed=seed,
        draws=draws,
        metric=metric,
    )
    return ties(best, dict(zip(others, found, strict=True)), level)


def ties(best: str, comparisons: Mapping[str, Comparison], level: float = 0.95) -> Ties:
    """Who is tied with the best, given any kind of comparison against it.

    The p-values become Holm's, and "better" and "worse" need them below 1 - level: of many candidates some would look
    worse by chance. The bounds stay those of one comparison at a time."""
    adjusted = holm([c.p for c in comparisons.values()])
    judged = {name: _judged(c, float(p), level) for (name, c), p in zip(comparisons.items(), adjusted, strict=True)}
    return Ties(best, judged, (best, *(name for name, c in judged.items() if c.verdict != "worse")))


def cheapest(
    tied: Iterable[str],
    costs: Mapping[str, Mapping[str, Cost]],
    quality: Mapping[str, float],
    *,
    lower_is_better: bool,
    axes: Sequence[str] = COST_AXES,
    negligible: float = 0.01,
) -> str:
    """The cheapest of the tied: each axis in turn keeps those that no other is clearly cheaper than, and what is left
    goes to the better quality, then to the first name.

    "Overlaps with" is not transitive, so no pair is ever compared: an axis keeps everyone whose low is at most the
    smallest high (1 + `negligible` times it), whatever the order or the names. A cost not measured is infinite."""
    left = sorted(tied)
    for axis in axes:
        spread = {name: costs.get(name, {}).get(axis, NOT_MEASURED) for name in left}
        limit = min(high for _, _, high in spread.values()) * (1 + negligible)
        left = [name for name in left if spread[name][1] <= limit]
    sign = 1.0 if lower_is_better else -1.0
    return min(left, key=lambda name: (sign * quality[name], name))


@dataclass(frozen=True)
class Corrected:
    """The score of the chosen candidate with the winner's curse taken out.

    chosen     its index
    naive      its mean on the rows it was chosen on
    interval   the corrected mean
    optimism   by how much `naive` is too good; positive is too good in either direction of the metric
    frequency  (C,) how often each candidate is chosen when the rows are drawn again
    """

    chosen: int
    naive: float
    interval: Interval
    optimism: float
    frequency: Floats

    def to_json(self) -> dict[str, Any]:
        return {
            "chosen": self.chosen,
            "naive": finite(self.naive),
            "interval": self.interval.to_json(),
            "optimism": finite(self.optimism),
            "frequency": self.frequency.tolist(),
        }


def bbc(items: Floats, *, lower_is_better: bool, seed: int = 0, draws: int = 2000, level: float = 0.95) -> Corrected:
    """Bootstrap bias correction of the best of (C, N) items (Tsamardinos, Greasidou and Borboudakis 2018,
    arXiv 1708.07180): choose on a resample, score the chosen one on the rows left out, no retraining.

    The bounds are never narrower than the chosen one's own, moved by the optimism."""
    sign = -1.0 if lower_is_better else 1.0
    n = items.shape[1]
    chosen = int((sign * items.mean(1)).argmax())
    naive = float(items[chosen].mean())
    if n < 2:
        return Corrected(
            chosen, naive, Interval(naive, -math.inf, math.inf, n, level, "none"), 0.0, np.ones(len(items))
        )
    picks, scores = _out_of_bag(sign * items, seed, draws)
    scores = sign * scores
    value = float(scores.mean())
    own = mean_interval(items[chosen], level, seed, draws)
    low, high = _bbc_bounds(scores, value, level)
    low, high = min(low, own.low + value - naive), max(high, own.high + value - naive)
    frequency = np.bincount(picks, minlength=len(items)) / len(picks)
    return Corrected(chosen, naive, Interval(value, low, high, n, level, "BBC"), sign * (naive - value), frequency)


def _out_of_bag(items: Floats, seed: int, draws: int) -> tuple[Any, Floats]:
    """(B,) which candidate wins each resample, and (B,) its mean on the rows that the resample missed."""
    picks, scores = [], []
    for counts in resamples(items.shape[1], draws, seed):
        missed = (counts == 0).astype(float)
        usable = missed.sum(1) > 0
        won = (counts @ items.T).argmax(1)
        held_out = (missed @ items.T)[np.arange(len(won)), won]
        picks.append(won[usable])
        scores.append(held_out[usable] / missed.sum(1)[usable])
    return np.concatenate(picks), np.concatenate(scores)


def _bbc_bounds(scores: Floats, value: float, level: float) -> tuple[float, float]:
    """Percentiles of the out-of-bag means, drawn in by sqrt(0.368 / 0.632): a mean over the 36.8 % of the rows that a
    resample misses varies between resamples by that much more than a mean over all rows varies between samples."""
    shrink = math.sqrt(math.exp(-1) / (1 - math.exp(-1)))
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return value + shrink * (float(low) - value), value + shrink * (float(high) - value)


def _judged(comparison: Comparison, p: float, level: float) -> Comparison:
    chance = p >= 1 - level and comparison.verdict in ("better", "worse")
    return dataclasses.replace(comparison, p=p, verdict="undecided" if chance else comparison.verdict)
