"""The frontier against its definition, by brute force, and its probability and area against loops and sampling."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest

from sartor.position.frontier import Frontier, Point, frontier, hypervolume, on_frontier_probability
from sartor.position.intervals import Interval, resamples


def point(name, quality, **costs):
    """Costs are `value` or (value, low, high)."""
    spread = {axis: c if isinstance(c, tuple) else (c, c, c) for axis, c in costs.items()}
    return Point(name, Interval(quality, quality - 0.01, quality + 0.01, 500), spread)


def latency(name, quality, value, spread=0.0):
    return point(name, quality, latency_ms_p50=(value, value - spread, value + spread))


def test_a_frontier_rises_with_cost():
    points = [
        latency("big", 0.92, 9.0),
        latency("small", 0.85, 1.0),
        latency("bad", 0.84, 5.0),
        latency("mid", 0.9, 4.0),
    ]
    assert frontier(points) == Frontier(("latency_ms_p50",), ("small", "mid", "big"), {"bad": "mid"})


def test_overlapping_costs_are_equal():
    assert frontier([latency("a", 0.9, 1.0, 0.2), latency("b", 0.91, 1.2, 0.2)]).dominated_by == {"a": "b"}
    assert frontier([latency("a", 0.9, 1.0, 0.2), latency("b", 0.91, 1.5, 0.2)]).names == ("a", "b")


def test_equal_in_everything_is_not_dominated():
    assert frontier([latency("a", 0.9, 1.0, 0.2), latency("b", 0.9, 1.1, 0.2)]).names == ("a", "b")
    assert frontier([latency("a", 0.9, 1.0), latency("b", 0.9, 1.0)]).dominated_by == {}


def test_equal_quality_goes_to_the_clearly_cheaper():
    assert frontier([latency("a", 0.9, 1.0, 0.1), latency("b", 0.9, 1.5, 0.1)]).dominated_by == {"b": "a"}


def test_losses_are_better_when_lower():
    points = [latency("a", 0.30, 1.0), latency("b", 0.20, 2.0), latency("c", 0.25, 3.0)]
    assert frontier(points, lower_is_better=True) == Frontier(("latency_ms_p50",), ("a", "b"), {"c": "b"})


def test_only_members_exclude():
    """best overlaps middle, middle overlaps cheap; cheap is clearly cheaper than best and stays."""
    points = [
        point("best", 0.92, latency_ms_p50=(4.0, 3.0, 5.0)),
        point("middle", 0.91, latency_ms_p50=(2.0, 1.0, 3.5)),
        point("cheap", 0.90, latency_ms_p50=(0.9, 0.5, 1.2)),
    ]
    assert frontier(points).names == ("cheap", "best")
    assert frontier(points).dominated_by == {"middle": "best"}


def test_several_axes_keep_who_is_cheaper_on_any():
    points = [
        point("fast", 0.90, latency_ms_p50=1.0, size_mb=90.0),
        point("tiny", 0.89, latency_ms_p50=2.0, size_mb=9.0),
        point("poor", 0.88, latency_ms_p50=3.0, size_mb=90.0),
    ]
    found = frontier(points, ["latency_ms_p50", "size_mb"])
    assert found.names == ("fast", "tiny")
    assert found.dominated_by == {"poor": "fast"}
    assert frontier(points, ["size_mb"]).names == ("tiny", "fast")
    assert frontier(points).names == ("fast",)


def test_a_circle_of_equals_leaves_someone():
    """Each is clearly cheaper than the next on one of three axes and tied on the others."""
    wide = (5.0, 0.0, 10.0)
    points = [
        point("a", 0.9, x=1.0, y=wide, z=2.0),
        point("b", 0.9, x=2.0, y=1.0, z=wide),
        point("c", 0.9, x=wide, y=2.0, z=1.0),
    ]
    found = frontier(points, ["x", "y", "z"])
    assert found.names
    assert set(found.names) | set(found.dominated_by) == {"a", "b", "c"}


def test_a_cost_not_measured_is_no_advantage():
    points = [latency("a", 0.9, 1.0), point("b", 0.9), point("c", 0.95)]
    assert frontier(points) == Frontier(("latency_ms_p50",), ("a", "c"), {"b": "c"})


def test_one_and_none():
    assert frontier([latency("a", 0.9, 1.0)]).names == ("a",)
    assert frontier([]) == Frontier(("latency_ms_p50",), (), {})


def dominates(a, b, axes):
    """The definition, word for word."""
    dearer = any(b.costs[x][2] < a.costs[x][1] for x in axes)
    cheaper = any(a.costs[x][2] < b.costs[x][1] for x in axes)
    quality, other = a.quality.value, b.quality.value
    return quality >= other and not dearer and (quality > other or cheaper)


@pytest.mark.parametrize("axes", [("x",), ("x", "y")])
def test_members_do_not_dominate_each_other_and_dominate_everyone_else(axes):
    random = np.random.default_rng(0)
    for _ in range(150):
        points = []
        for name in "abcdefgh":
            low, value, high = np.sort(random.random((2, 3)), 1).T * 3
            points.append(
                point(name, round(random.random(), 1), x=(value[0], low[0], high[0]), y=(value[1], low[1], high[1]))
            )
        found = frontier(points, axes)
        named = {p.name: p for p in points}
        pairs = itertools.permutations(found.names, 2)
        assert not any(dominates(named[a], named[b], axes) for a, b in pairs)
        assert set(found.names) | set(found.dominated_by) == set(named)
        for name, by in found.dominated_by.items():
            assert by in found.names
            assert dominates(named[by], named[name], axes)
        assert list(found.names) == sorted(found.names, key=lambda n: named[n].costs["x"][0])


def test_without_spreads_it_is_the_classical_frontier():
    random = np.random.default_rng(1)
    for _ in range(100):
        points = [latency(name, round(random.random(), 1), round(random.random() * 5)) for name in "abcdefgh"]
        free = {p.name for p in points if not any(dominates(q, p, ["latency_ms_p50"]) for q in points)}
        assert set(frontier(points).names) == free


def test_the_order_of_the_points_does_not_matter():
    random = np.random.default_rng(2)
    points = [latency(name, random.random(), 5 * random.random(), random.random()) for name in "abcdef"]
    found = frontier(points)
    assert all(set(frontier(p).names) == set(found.names) for p in itertools.permutations(points))


def test_the_probability_is_the_share_of_resampled_frontiers():
    random = np.random.default_rng(3)
    items = random.random((5, 60)) + np.array([0.0, 0.03, 0.05, 0.05, 0.1])[:, None]
    costs = [{"latency_ms_p50": (v, v - 0.3, v + 0.3)} for v in (1.0, 1.4, 2.0, 3.0, 3.2)]
    found = on_frontier_probability(items, costs, lower_is_better=False, seed=4, draws=60)
    seen = np.zeros(5)
    for counts in np.concatenate(list(resamples(60, 60, seed=4))):
        points = [point(str(i), float(counts @ items[i]), **costs[i]) for i in range(5)]
        for name in frontier(points).names:
            seen[int(name)] += 1
    assert found == pytest.approx(seen / 60)
    assert 0 < found.min() < found.max() < 1


def test_the_cheapest_is_always_on_and_the_hopeless_never():
    items = np.random.default_rng(5).random((3, 200)) + np.array([0.0, 1.0, -1.0])[:, None]
    costs = [{"latency_ms_p50": (v, v, v)} for v in (1.0, 2.0, 3.0)]
    assert on_frontier_probability(items, costs, lower_is_better=False).tolist() == [1.0, 1.0, 0.0]
    assert on_frontier_probability(-items, costs, lower_is_better=True).tolist() == [1.0, 1.0, 0.0]


def test_hypervolume_by_hand():
    points = [latency("a", 0.8, 1.0), latency("b", 0.9, 10.0)]
    assert hypervolume(points, (0.7, 100.0)) == pytest.approx(0.1 * 2 + 0.1 * 1)
    assert hypervolume([*points, latency("c", 0.75, 5.0), latency("d", 0.99, 1000.0)], (0.7, 100.0)) == pytest.approx(
        0.3
    )
    assert hypervolume([latency("a", 0.6, 1.0)], (0.7, 100.0)) == 0.0
    assert hypervolume([point("a", 0.9)], (0.7, 100.0)) == 0.0
    assert hypervolume([latency("a", 0.2, 10.0)], (0.5, 100.0), lower_is_better=True) == pytest.approx(0.3)


def test_hypervolume_is_the_area_that_random_points_find():
    random = np.random.default_rng(6)
    points = [latency(str(i), random.random(), 10 ** random.uniform(0, 2)) for i in range(6)]
    cost, quality = random.uniform(0, 2, 40_000), random.random(40_000)
    below = [(math.log10(p.costs["latency_ms_p50"][0]) <= cost) & (p.quality.value >= quality) for p in points]
    assert hypervolume(points, (0.0, 100.0)) == pytest.approx(2 * np.any(below, axis=0).mean(), abs=0.02)


def test_a_frontier_is_plain_json():
    found = frontier([latency("a", 0.9, 1.0), latency("b", 0.8, 2.0)]).to_json()
    assert json.loads(json.dumps(found)) == {"axes": ["latency_ms_p50"], "names": ["a"], "dominated_by": {"b": "a"}}
