"""Intervals against published examples, scipy, scikit-learn, brute force, and coverage in seeded simulations."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.special import digamma
from sklearn.metrics import f1_score, roc_auc_score

from sartor.position import intervals
from sartor.position.calibration import calibration_error
from sartor.position.intervals import (
    Interval,
    acceleration,
    bootstrap_metric,
    macro_f1_interval,
    mean_interval,
    proportion,
    resampled_macro_f1,
    resampled_metric,
    resamples,
)
from sartor.position.intervals import _clopper_pearson as clopper_pearson
from sartor.position.intervals import _wilson as wilson

# Newcombe 1998 (Statistics in Medicine 17, 857), table I: successes, rows, Wilson, Clopper-Pearson
NEWCOMBE = [
    (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
    (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
    (0, 20, (0.0, 0.1611), (0.0, 0.1684)),
    (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
]


@pytest.mark.parametrize(("successes", "n", "score", "exact"), NEWCOMBE)
def test_proportions_equal_the_published_examples(successes, n, score, exact):
    assert wilson(successes, n, 0.95) == pytest.approx(score, abs=5e-5)
    assert clopper_pearson(successes, n, 0.95) == pytest.approx(exact, abs=5e-5)


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(
    ("successes", "n"), [(0, 7), (7, 7), (3, 11), (199, 199), (170, 200), (4900, 5000), (0, 300), (300, 300)]
)
def test_proportions_equal_scipy(successes, n, level):
    found = proportion(successes, n, level)
    method = "exact" if n < 200 else "wilson"
    known = stats.binomtest(successes, n).proportion_ci(level, method)
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=1e-10)
    assert found.method == ("Clopper-Pearson" if n < 200 else "Wilson")
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0


@pytest.mark.parametrize("share", [0.02, 0.5, 0.88, 0.99])
@pytest.mark.parametrize("n", [20, 150, 500])
def test_proportions_cover_by_exact_enumeration(share, n):
    found = [proportion(k, n) for k in range(n + 1)]
    inside = np.array([i.low <= share <= i.high for i in found])
    coverage = stats.binom.pmf(np.arange(n + 1), n, share)[inside].sum()
    assert coverage >= (0.95 if n < 200 else 0.93)


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_a_proportion_of_nothing_is_refused(successes, n):
    with pytest.raises(ValueError, match="are no proportion"):
        proportion(successes, n)


def test_zeros_and_ones_are_a_proportion():
    items = np.repeat([1.0, 0.0], [430, 70])
    assert mean_interval(items) == proportion(430, 500)


def test_few_rows_get_students_t():
    items = np.random.default_rng(0).normal(size=12)
    known = stats.t.interval(0.9, 11, items.mean(), stats.sem(items))
    found = mean_interval(items, level=0.9)
    assert (found.low, found.high) == pytest.approx(known)
    assert found.method == "Student t"


def test_one_row_says_nothing_of_the_spread():
    found = mean_interval(np.array([0.3]))
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["low"] is None


def test_a_mean_stays_within_its_range():
    found = mean_interval(np.array([0.0, 0.1, 0.0, 0.9]), within=(0.0, 1.0))
    assert found.low == 0.0
    assert mean_interval(np.array([0.0, 0.1, 0.0, 0.9])).low < 0.0


def test_equal_items_have_no_spread():
    found = mean_interval(np.full(50, 0.3))
    assert (found.low, found.high) == pytest.approx((0.3, 0.3), abs=1e-12)


def test_a_few_differing_rows_fall_back_to_students_t():
    items = np.zeros(100)
    items[:2] = 0.5
    found = mean_interval(items)
    known = stats.t.interval(0.95, 99, items.mean(), stats.sem(items))
    assert (found.low, found.high) == pytest.approx(known)


@pytest.mark.parametrize("bad", [np.array([]), np.zeros((3, 2)), np.array([0.1, np.nan])])
def test_items_that_are_no_numbers_per_row_are_refused(bad):
    with pytest.raises(ValueError, match=r"not (one number per row|a finite number)"):
        mean_interval(bad)


def test_the_seed_decides_the_interval():
    items = np.random.default_rng(1).exponential(size=60)
    assert mean_interval(items, seed=3) == mean_interval(items, seed=3)
    assert mean_interval(items, seed=3) != mean_interval(items, seed=4)


def test_a_resample_counts_rows_and_blocks_do_not_show(monkeypatch):
    whole = np.concatenate(list(resamples(50, 40, seed=5)))
    assert whole.shape == (40, 50)
    assert (whole.sum(1) == 50).all()
    assert whole.mean(0).std() < 0.5
    monkeypatch.setattr(intervals, "BLOCK", 333)
    assert (np.concatenate(list(resamples(50, 40, seed=5))) == whole).all()


LOG_LOSS = float(digamma(3.5) - digamma(3.0))
"""E[-log Beta(3, 1/2)]"""


def log_loss_like(random, n):
    return -np.log(random.beta(3.0, 0.5, n))


@pytest.mark.parametrize(
    ("draw", "mean", "n"),
    [
        (lambda random, n: random.normal(size=n), 0.0, 12),
        (lambda random, n: random.lognormal(size=n), math.exp(0.5), 200),
        (log_loss_like, LOG_LOSS, 60),
        (log_loss_like, LOG_LOSS, 250),
    ],
)
def test_means_are_covered(draw, mean, n):
    random = np.random.default_rng(11)
    found = [mean_interval(draw(random, n), seed=s, draws=400) for s in range(400)]
    assert 0.92 <= np.mean([i.low <= mean <= i.high for i in found]) <= 0.98


def test_the_bootstrap_is_never_drawn_inside_students_t():
    random = np.random.default_rng(13)
    wider = 0
    for s in range(50):
        items = random.standard_t(3, size=80) if s % 2 else random.lognormal(size=80)
        found, known = (
            mean_interval(items, seed=s, draws=200),
            stats.t.interval(0.95, 79, items.mean(), stats.sem(items)),
        )
        assert found.low <= known[0] + 1e-12
        assert found.high >= known[1] - 1e-12
        wider += found.high > known[1] + 0.01
    assert wider > 20


@pytest.mark.parametrize("n", [20, 80])
def test_bca_equals_scipy(n):
    items = np.random.default_rng(2).lognormal(size=n)
    known = stats.bootstrap((items,), np.std, n_resamples=20_000, method="BCa", rng=np.random.default_rng(0))
    found = bootstrap_metric(lambda rows: float(items[rows].std()), n, draws=10_000)
    width = known.confidence_interval.high - known.confidence_interval.low
    assert found.low == pytest.approx(known.confidence_interval.low, abs=0.03 * width)
    assert found.high == pytest.approx(known.confidence_interval.high, abs=0.03 * width)


def test_the_p_value_is_where_the_bounds_meet_the_null():
    items = np.random.default_rng(3).normal(0.25, 1.0, size=100)
    found = resampled_metric(lambda rows: float(items[rows].mean()), 100, seed=0, draws=2000)
    p = found.p_value()
    assert 1e-3 < p < 0.2
    assert found.bounds(1 - p * 1.05)[0] > found.bounds(1 - p * 0.95)[0]
    assert found.bounds(1 - p)[0] == pytest.approx(0.0, abs=0.005)
    assert p == pytest.approx(stats.ttest_1samp(items, 0.0).pvalue, abs=0.03)


def test_auc_is_covered_and_one_class_resamples_are_left_out():
    random = np.random.default_rng(4)
    hits = 0
    for s in range(60):
        truth = np.arange(60) % 2
        scores = random.normal(size=60) + truth
        found = bootstrap_metric(lambda rows, t=truth, x=scores: pairs_auc(t[rows], x[rows]), 60, seed=s, draws=200)
        hits += found.low <= stats.norm.cdf(1 / math.sqrt(2)) <= found.high
    assert 53 <= hits <= 60
    rare = np.array([1, 0, 0, 0, 0, 0, 0, 0])
    found = bootstrap_metric(lambda rows: pairs_auc(rare[rows], np.arange(8.0)[rows]), 8, draws=100)
    assert math.isfinite(found.low)


def test_far_nulls_are_told_apart_with_few_replicates():
    items = np.random.default_rng(12).normal(1.0, 1.0, size=60)
    found = resampled_metric(lambda rows: float(items[rows].mean()), 60, seed=0, draws=200)
    near, far = found.p_value(0.2), found.p_value(-0.2)
    assert 0 < far < near < 1e-3
    assert far == pytest.approx(2 * stats.norm.sf((items.mean() + 0.2) / stats.sem(items, ddof=0)), rel=9)
    assert found.p_value(2 * items.mean()) < 1e-5


def pairs_auc(truth, scores):
    if truth.min() == truth.max():
        return math.nan
    gaps = scores[truth == 1][:, None] - scores[truth == 0]
    return float((np.sign(gaps) + 1).mean() / 2)


def test_the_share_of_ordered_pairs_is_the_auc():
    random = np.random.default_rng(5)
    truth, scores = random.integers(0, 2, 50), random.normal(size=50).round(1)
    assert pairs_auc(truth, scores) == pytest.approx(roc_auc_score(truth, scores))


def answers(random, n, classes=4):
    """(2, N) truths of unequal frequency and answers that are right three times in four."""
    truth = random.choice(classes, size=n, p=[0.5, 0.3, 0.15, 0.05])
    said = np.where(random.random(n) < 0.75, truth, random.integers(0, classes, n))
    return truth, said


def macro(truth, said, labels=range(4)):
    hits = np.array([[((truth == c) & (said == c)).sum(), (truth == c).sum() + (said == c).sum()] for c in labels])
    return float(np.mean(2 * hits[:, 0] / np.maximum(hits[:, 1], 1)))


def test_macro_f1_is_scikit_learns_and_so_are_its_replicates_and_jackknife():
    truth, said = answers(np.random.default_rng(6), 70)
    found = resampled_macro_f1(np.stack([truth, said]), 4, lambda f1: f1[:, 0], seed=0, draws=3000)
    known = f1_score(truth, said, average="macro", labels=range(4), zero_division=0.0)
    assert (found.value, macro(truth, said)) == pytest.approx((known, known))
    plain = resampled_metric(
        lambda rows: macro(truth[rows], said[rows], np.unique([truth[rows], said[rows]])), 70, 0, 400
    )
    assert found.replicates.mean() == pytest.approx(plain.replicates.mean(), abs=0.015)
    assert found.replicates.std() == pytest.approx(plain.replicates.std(), rel=0.15)
    assert found.acceleration == pytest.approx(plain.acceleration, abs=1e-9)


def test_a_class_without_rows_counts_as_in_the_metric():
    truth, said = np.array([0, 0, 1, 1, 0, 1] * 10), np.array([0, 0, 1, 0, 0, 1] * 10)
    assert macro_f1_interval(truth, said, 4).value == pytest.approx(macro(truth, said))
    assert macro_f1_interval(truth, said, 4).high <= 0.5


def test_macro_f1_is_covered():
    random = np.random.default_rng(7)
    large = answers(random, 1_000_000)
    true = macro(*large)
    found = [macro_f1_interval(*answers(random, 250), 4, seed=s, draws=500) for s in range(400)]
    assert 0.92 <= np.mean([i.low <= true <= i.high for i in found]) <= 0.98


def test_acceleration_of_a_mean_is_a_sixth_of_its_skewness():
    items = np.random.default_rng(8).exponential(size=300)
    left_out = (items.sum() - items) / 299
    assert acceleration(left_out) == pytest.approx(stats.skew(items) / (6 * math.sqrt(300)), rel=1e-9)
    assert acceleration(left_out[:2], np.array([2.0, 3.0])) == pytest.approx(
        acceleration(np.repeat(left_out[:2], [2, 3]))
    )


def test_an_interval_is_plain_json():
    assert Interval(0.5, 0.4, 0.6, 100).to_json() == {
        "value": 0.5, "low": 0.4, "high": 0.6, "n": 100, "level": 0.95, "method": "Wilson",
    }  # fmt: skip


def test_a_statistic_that_resampling_only_raises_keeps_its_value_inside_its_bounds() -> None:
    """A calibration error of rows that are perfectly calibrated: every resample shows more of it."""
    draw = np.random.default_rng(3)
    p = draw.uniform(0.5, 1.0, size=400)
    right = draw.random(400) < p
    probabilities = np.stack([p, 1 - p], 1)

    def error(rows: NDArray[np.int64]) -> float:
        return calibration_error(probabilities[rows], (~right[rows]).astype(np.int64))

    found = bootstrap_metric(error, 400, seed=0, draws=400)
    assert found.low <= found.value <= found.high
    assert found.low < found.value
