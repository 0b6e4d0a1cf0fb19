"""The frontier of quality against cost. Legend: C candidates, N rows, B draws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.position.intervals import Interval, resamples
from sartor.position.selection import NOT_MEASURED, Cost
from sartor.predictions import Floats

LATENCY = ("latency_ms_p50",)

Truths = NDArray[np.bool_]


@dataclass(frozen=True)
class Point:
    """A candidate as it was measured. `costs`: axis -> (value, low, high); an axis it lacks is infinitely dear."""

    name: str
    quality: Interval
    costs: Mapping[str, Cost]

    def cost(self, axis: str) -> Cost:
        return self.costs.get(axis, NOT_MEASURED)


@dataclass(frozen=True)
class Frontier:
    """The candidates worth having, the cheapest on the first axis first; for each other one, who dominates it."""

    axes: tuple[str, ...]
    names: tuple[str, ...]
    dominated_by: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        return {"axes": list(self.axes), "names": list(self.names), "dominated_by": dict(self.dominated_by)}


def frontier(points: Sequence[Point], axes: Sequence[str] = LATENCY, *, lower_is_better: bool = False) -> Frontier:
    """Those that no member of the frontier dominates.

    One dominates another if its quality is at least as good and it is at least as cheap on every axis, and strictly
    better in one of these; costs whose spreads overlap are equal. Because overlapping is not transitive, only members
    may exclude: a dear A may exclude B, and B would exclude a cheap C that A does not; C then stays."""
    if not points:
        return Frontier(tuple(axes), (), {})
    quality = (-1.0 if lower_is_better else 1.0) * np.array([p.quality.value for p in points], dtype=float)
    cheap, cheaper = _cost_orders([p.costs for p in points], axes)
    kept = _kept(quality[None], cheap, cheaper)[0]
    members = [point for point, stays in zip(points, kept, strict=True) if stays]
    members.sort(key=lambda point: ([point.cost(axis)[0] for axis in axes], point.name))
    dominating = _dominating(quality[None], cheap, cheaper)[0]
    best = np.where(kept[:, None] & dominating, quality[:, None], -math.inf).argmax(0)
    dominated_by = {point.name: points[int(best[j])].name for j, point in enumerate(points) if not kept[j]}
    return Frontier(tuple(axes), tuple(point.name for point in members), dominated_by)


def on_frontier_probability(
    items: Floats,
    costs: Sequence[Mapping[str, Cost]],
    axes: Sequence[str] = LATENCY,
    *,
    lower_is_better: bool,
    seed: int = 0,
    draws: int = 2000,
) -> Floats:
    """(C,) the share of bootstrap resamples of the rows of (C, N) items in which each candidate is on the frontier."""
    sign = -1.0 if lower_is_better else 1.0
    cheap, cheaper = _cost_orders(costs, axes)
    seen = np.zeros(len(items))
    for counts in resamples(items.shape[1], draws, seed):
        seen += _kept(sign * (counts @ items.T), cheap, cheaper).sum(0)
    return seen / draws


def hypervolume(
    points: Sequence[Point], reference: tuple[float, float], axis: str = LATENCY[0], *, lower_is_better: bool = False
) -> float:
    """The area between the frontier and `reference` (quality, cost), in units of quality times decades of cost
    (Zitzler and Thiele 1999). Points beyond the reference add nothing."""
    sign = -1.0 if lower_is_better else 1.0
    floor, limit = sign * reference[0], math.log10(reference[1])
    inside = sorted((math.log10(p.cost(axis)[0]), sign * p.quality.value) for p in points if p.cost(axis)[0] > 0)
    area, height = 0.0, floor
    for cost, quality in inside:
        if cost < limit and quality > height:
            area += (limit - cost) * (quality - height)
            height = quality
    return area


def _cost_orders(costs: Sequence[Mapping[str, Cost]], axes: Sequence[str]) -> tuple[Truths, Truths]:
    """(C, C) whether i is nowhere clearly dearer than j, and whether it is besides clearly cheaper on some axis."""
    spread = np.array([[c.get(axis, NOT_MEASURED) for axis in axes] for c in costs], dtype=float)
    low, high = spread[..., 1], spread[..., 2]
    clearly: Truths = np.asarray(high[:, None] < low[None], dtype=bool)
    cheap: Truths = np.asarray(~clearly.any(2).T, dtype=bool)
    return cheap, cheap & clearly.any(2)


def _dominating(quality: Floats, cheap: Truths, cheaper: Truths) -> Truths:
    """(B, C, C) whether i dominates j, for (B, C) qualities of which more is better."""
    more = quality[:, :, None] > quality[:, None, :]
    equal = quality[:, :, None] == quality[:, None, :]
    return np.asarray((cheap & more) | (cheaper & equal), dtype=bool)


def _kept(quality: Floats, cheap: Truths, cheaper: Truths) -> Truths:
    """(B, C) the members of each frontier: from the best quality down, whoever no member so far dominates."""
    order = _dominators_first(cheaper)
    order = order[np.argsort(-quality[:, order], axis=1, kind="stable")]
    dominating = _dominating(quality, cheap, cheaper)
    kept = np.zeros(quality.shape, dtype=bool)
    draw = np.arange(len(quality))
    for k in range(quality.shape[1]):
        now = order[:, k]
        kept[draw, now] = ~(kept & dominating[draw, :, now]).any(1)
    return kept


def _dominators_first(cheaper: Truths) -> NDArray[np.int64]:
    """(C,) the candidates, the clearly cheaper before the dearer; a circle over several axes starts at its first."""
    left, order = list(range(len(cheaper))), list[int]()
    while left:
        free = [j for j in left if not cheaper[left, j].any()] or left[:1]
        order += free
        left = [j for j in left if j not in free]
    return np.array(order, dtype=np.int64)
