"""Tie sets, the cheapest of the tied, and selection bias: by brute force and in seeded simulations."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from scipy.special import ndtri

from sartor.position.intervals import resamples
from sartor.position.selection import bbc, cheapest, tie_set, ties
from sartor.position.statistics import Comparison, holm, paired


def noisy(random, means, n=300):
    """name -> (N,) losses: one difficulty per row, shared, and a little noise per candidate."""
    hard = random.exponential(size=n)
    return {f"c{i}": hard + mean + 0.2 * random.normal(size=n) for i, mean in enumerate(means)}


def test_each_candidate_is_compared_with_the_best_and_holm_decides():
    items = noisy(np.random.default_rng(0), [0.0, 0.002, 0.03, 0.5, -0.2])
    found = tie_set(items, best="c0", lower_is_better=True, seed=3, metric="log_loss")
    alone = {name: paired(items[name], items["c0"], lower_is_better=True, seed=3) for name in ("c1", "c2", "c3", "c4")}
    assert [c.p for c in found.comparisons.values()] == pytest.approx(holm([c.p for c in alone.values()]))
    assert {name: c.verdict for name, c in found.comparisons.items()} == {
        "c1": "undecided", "c2": "undecided", "c3": "worse", "c4": "better",
    }  # fmt: skip
    assert found.tied == ("c0", "c1", "c2", "c4")
    assert all(c.metric == "log_loss" and c.n == 300 for c in found.comparisons.values())
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["tied"] == ["c0", "c1", "c2", "c4"]


def compared(p, verdict, difference=0.02):
    return Comparison("accuracy", difference, difference - 0.01, difference + 0.01, p, 500, verdict)


def test_what_one_look_shows_many_looks_may_not():
    found = ties("a", {"b": compared(0.03, "worse"), "c": compared(0.5, "undecided"), "d": compared(0.001, "worse")})
    assert found.comparisons["b"].verdict == "undecided"
    assert found.tied == ("a", "b", "c")
    assert ties("a", {"b": compared(0.03, "worse")}).tied == ("a",)


def test_what_is_practically_equal_stays_tied_however_sure_the_difference_is():
    assert ties("a", {"b": compared(0.0001, "tied")}).tied == ("a", "b")
    items = noisy(np.random.default_rng(1), [0.0, 0.05], n=2000)
    assert tie_set(items, best="c0", lower_is_better=True).tied == ("c0",)
    assert tie_set(items, best="c0", lower_is_better=True, rope=0.1).tied == ("c0", "c1")


def test_the_best_alone_is_a_tie_set():
    found = tie_set({"a": np.arange(5.0)}, best="a", lower_is_better=False)
    assert (found.tied, found.comparisons) == (("a",), {})


def test_the_true_best_is_in_the_tie_set():
    """Ten candidates, the best seeming one chosen on the same rows that judge the others."""
    random = np.random.default_rng(2)
    kept = 0
    for s in range(120):
        items = noisy(random, [0.0, *np.linspace(0.005, 0.05, 9)], n=200)
        best = min(items, key=lambda name: items[name].mean())
        kept += "c0" in tie_set(items, best=best, lower_is_better=True, seed=s, draws=300).tied
    assert kept >= 0.95 * 120


QUALITY = {"a": 0.90, "b": 0.91, "c": 0.92, "d": 0.90}


def exact(**axes):
    return {axis: (value, value, value) for axis, value in axes.items()}


def pick(tied, costs, **changes):
    return cheapest(tied, costs, QUALITY, lower_is_better=False, **changes)


def test_the_first_axis_decides_where_spreads_are_apart():
    costs = {"a": {"latency_ms_p50": (2.0, 1.9, 2.1)}, "b": {"latency_ms_p50": (1.0, 0.9, 1.1)}}
    assert pick(["a", "b"], costs) == "b"


def test_overlapping_spreads_go_to_the_next_axis():
    costs = {
        "a": {"latency_ms_p50": (1.0, 0.9, 1.1), **exact(size_mb=90.0)},
        "b": {"latency_ms_p50": (1.05, 0.95, 1.2), **exact(size_mb=20.0)},
    }
    assert pick(["a", "b"], costs) == "b"


def test_overlap_is_no_chain():
    """c overlaps b, b overlaps a, but c is clearly dearer than a, so its small size is no help."""
    costs = {
        "a": {"latency_ms_p50": (1.0, 0.9, 1.1), **exact(size_mb=90.0)},
        "b": {"latency_ms_p50": (1.15, 1.05, 1.3), **exact(size_mb=50.0)},
        "c": {"latency_ms_p50": (1.3, 1.2, 1.4), **exact(size_mb=1.0)},
    }
    for order in itertools.permutations("abc"):
        assert pick(order, costs) == "b"


def test_differences_of_a_hundredth_are_negligible():
    costs = {
        "a": exact(latency_ms_p50=1.0, size_mb=90.0, train_seconds=9.0),
        "b": exact(latency_ms_p50=1.0, size_mb=90.1),
    }
    costs["b"] |= exact(train_seconds=5.0)
    assert pick(["a", "b"], costs) == "b"
    assert pick(["a", "b"], costs, negligible=0.0) == "a"


def test_equal_costs_go_to_the_better_quality_then_to_the_name():
    costs = {name: exact(latency_ms_p50=1.0, size_mb=1.0, train_seconds=1.0) for name in "abcd"}
    assert pick("abcd", costs) == "c"
    assert pick("da", costs) == "a"
    assert cheapest("abcd", costs, QUALITY, lower_is_better=True) == "a"


def test_what_was_not_measured_is_not_cheap():
    assert pick(["a", "b"], {"b": exact(latency_ms_p50=5.0)}) == "b"
    assert pick(["a", "b"], {}) == "b"
    costs = {"a": {**exact(size_mb=1.0)}, "b": {**exact(latency_ms_p50=5.0, size_mb=9.0)}}
    assert pick(["a", "b"], costs, axes=["size_mb"]) == "a"


def test_nobody_clearly_cheaper_on_the_first_axis_is_passed_over():
    random = np.random.default_rng(3)
    for _ in range(200):
        costs = {}
        for name in "abcd":
            low, value, high = np.sort(random.random(3)).tolist()
            costs[name] = {"latency_ms_p50": (value, low, high), "size_mb": (low, low, low)}
        picked = costs[pick("abcd", costs, negligible=0.0)]["latency_ms_p50"]
        assert all(picked[1] <= other["latency_ms_p50"][2] for other in costs.values())


def test_bias_correction_is_select_on_the_resample_and_score_out_of_bag():
    items = np.random.default_rng(4).exponential(size=(6, 40))
    found = bbc(items, lower_is_better=True, seed=9, draws=50)
    scores, picks = [], []
    for counts in np.concatenate(list(resamples(40, 50, seed=9))):
        rows = np.repeat(np.arange(40), counts.astype(int))
        missed = np.setdiff1d(np.arange(40), rows)
        picks.append(int(items[:, rows].mean(1).argmin()))
        scores.append(items[picks[-1], missed].mean())
    assert found.interval.value == pytest.approx(np.mean(scores))
    assert found.frequency == pytest.approx(np.bincount(picks, minlength=6) / 50)
    assert found.chosen == items.mean(1).argmin()
    assert found.optimism == pytest.approx(found.interval.value - items.mean(1).min())


def test_both_directions_agree():
    items = np.random.default_rng(5).random((8, 60))
    up, down = bbc(items, lower_is_better=False), bbc(1 - items, lower_is_better=True)
    assert up.optimism == pytest.approx(down.optimism)
    assert up.optimism > 0
    assert (up.interval.low, up.interval.high) == pytest.approx((1 - down.interval.high, 1 - down.interval.low))


def correct(random, accuracies, n=400):
    """(C, N) zeros and ones; the latent abilities on a row correlate at 0.7."""
    latent = math.sqrt(0.7) * random.normal(size=n) + math.sqrt(0.3) * random.normal(size=(len(accuracies), n))
    return (latent < ndtri(accuracies)[:, None]).astype(float)


@pytest.mark.parametrize("spread", [0.0, 0.01])
def test_forty_candidates_look_better_than_they_are_and_the_correction_takes_it_back(spread):
    random = np.random.default_rng(6)
    naive, corrected, covered = [], [], []
    for s in range(100):
        accuracies = 0.88 + spread * random.normal(size=40)
        found = bbc(correct(random, accuracies), lower_is_better=False, seed=s, draws=200)
        true = accuracies[found.chosen]
        naive.append(found.naive - true)
        corrected.append(found.interval.value - true)
        covered.append(found.interval.low <= true <= found.interval.high)
    assert np.mean(naive) > 0.015
    assert abs(np.mean(corrected)) < 0.006
    assert np.mean(covered) >= 0.95


def test_one_candidate_needs_no_correction_and_is_covered():
    random = np.random.default_rng(7)
    covered = 0
    for s in range(300):
        found = bbc(correct(random, np.array([0.88])), lower_is_better=False, seed=s, draws=300)
        assert abs(found.optimism) < 0.005
        covered += found.interval.low <= 0.88 <= found.interval.high
    assert 0.92 * 300 <= covered <= 0.98 * 300


def test_a_corrected_score_is_plain_json():
    found = bbc(np.array([[0.5], [0.25]]), lower_is_better=True).to_json()
    assert json.loads(json.dumps(found, allow_nan=False))["chosen"] == 1
    assert found["interval"]["low"] is None


@pytest.mark.parametrize(("reach", "among"), [(0.01, True), (0.05, False)])
def test_an_interval_without_zero_that_holm_does_not_believe_is_said_to_be_one_of_several(reach, among):
    from types import SimpleNamespace

    from sartor.position.selection import Ties
    from sartor.position.verdict import why

    scores = SimpleNamespace(metrics={"accuracy": 0.8})
    pick, best, other = (SimpleNamespace(name=n, scores=scores, train_seconds=1.0) for n in ("a", "b", "c"))
    against = Comparison("accuracy", -0.02, -0.02 - reach, -0.02 + reach, 0.04, 500, "undecided")
    found = Ties("b", {"a": against, "c": against}, ("b", "a", "c"))
    said = why(pick, best, found, [pick, best, other], "accuracy")
    assert ("which among 2 comparisons is not shown" in said) is among
    assert ("which is not shown to be more than chance" in said) is not among
