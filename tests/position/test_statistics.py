"""Comparisons against published examples, exact enumeration, scipy, closed forms and seeded simulations."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from sartor.position import statistics
from sartor.position.intervals import mean_interval
from sartor.position.statistics import (
    expected_discordance,
    holm,
    mcnemar_midp,
    paired,
    paired_macro_f1,
    paired_many,
    paired_metric,
    resolvable,
    rows_needed,
    sign_flip,
    tango,
    verdict,
)


def test_mcnemar_equals_the_published_example():
    """Airway hyper-responsiveness, 1 and 7 discordant pairs: Fagerland et al. 2013, table 1 (mid-p 0.039)."""
    assert mcnemar_midp(1, 7) == pytest.approx(0.0391, abs=5e-5)


@pytest.mark.parametrize(("gains", "losses"), [(0, 1), (2, 9), (9, 2), (30, 45), (0, 12)])
def test_mcnemar_counts_half_of_what_was_seen(gains, losses):
    count = gains + losses
    chances = [math.comb(count, k) / 2**count for k in range(count + 1)]
    rarer = sum(c for k, c in enumerate(chances) if abs(k - count / 2) > abs(gains - count / 2))
    assert mcnemar_midp(gains, losses) == pytest.approx(rarer + chances[gains])


def test_mcnemar_without_a_winner_is_one():
    assert mcnemar_midp(0, 0) == 1.0
    assert mcnemar_midp(6, 6) == 1.0


def quartic(gains, losses, n, level):
    """The bounds as roots of Tango's equation in its polynomial form (Yang, Sun and Hardin 2013)."""
    g, gap, both = stats.norm.ppf((1 + level) / 2) ** 2, gains - losses, gains + losses
    polynomial = [
        n**2 * (n / g + 1) ** 2,
        -n * gap * (n / g + 1) * (4 * n / g + 1),
        2 * n * gap**2 * (3 * n / g + 2) / g - n**2 * (both / g + 1),
        n * gap * (2 * both / g + 1) - gap**3 * (4 * n / g + 1) / g,
        gap**2 * (gap**2 / g - both) / g,
    ]
    roots = np.roots(polynomial)
    return [float(r.real) for r in roots if abs(r.imag) < 1e-9]


@pytest.mark.parametrize(
    ("gains", "losses", "n"), [(40, 20, 160), (1, 7, 21), (30, 25, 500), (3, 0, 60), (86, 150, 1600)]
)
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_tango_solves_the_quartic(gains, losses, n, level):
    low, high = tango(gains, losses, n, level)
    roots = quartic(gains, losses, n, level)
    assert min(abs(r - low) for r in roots) < 1e-8
    assert min(abs(r - high) for r in roots) < 1e-8
    assert low < (gains - losses) / n < high


def test_tango_is_symmetric_and_stays_in_range():
    low, high = tango(12, 5, 90)
    assert tango(5, 12, 90) == pytest.approx((-high, -low))
    z2 = stats.norm.ppf(0.975) ** 2
    assert tango(0, 0, 50) == pytest.approx((-z2 / (50 + z2), z2 / (50 + z2)), abs=1e-9)
    assert tango(10, 0, 10)[1] == 1.0
    assert tango(0, 10, 10)[0] == -1.0


def test_tango_covers_by_exact_enumeration():
    n, right_a, right_b = 60, 0.09, 0.03
    covered = 0.0
    for gains, losses in itertools.product(range(25), range(25)):
        chance = stats.multinomial.pmf(
            [gains, losses, n - gains - losses], n, [right_a, right_b, 1 - right_a - right_b]
        )
        low, high = tango(gains, losses, n)
        covered += chance * (low <= right_a - right_b <= high)
    assert 0.93 <= covered <= 0.98


def test_zeros_and_ones_are_compared_by_tango_and_mcnemar():
    a = np.repeat([1.0, 1.0, 0.0, 0.0], [300, 40, 20, 40])
    b = np.repeat([1.0, 0.0, 1.0, 0.0], [300, 40, 20, 40])
    found = paired(a, b, lower_is_better=False, metric="accuracy")
    assert (found.low, found.high) == tango(40, 20, 400)
    assert (found.p, found.difference, found.verdict) == (mcnemar_midp(40, 20), 0.05, "better")
    assert paired(b, a, lower_is_better=False).verdict == "worse"


def test_other_items_are_compared_by_the_interval_of_their_differences():
    random = np.random.default_rng(0)
    a, b = random.exponential(size=200), random.exponential(size=200)
    found, known = paired(a, b, lower_is_better=True, seed=7), mean_interval(a - b, seed=7)
    assert (found.difference, found.low, found.high) == (known.value, known.low, known.high)


def test_pairing_sees_what_separate_intervals_do_not():
    random = np.random.default_rng(1)
    hard = random.exponential(size=300)
    a, b = hard + 0.05 * random.normal(size=300) - 0.02, hard + 0.05 * random.normal(size=300)
    assert paired(a, b, lower_is_better=True).verdict == "better"
    assert paired(a, b, lower_is_better=False).verdict == "worse"
    assert mean_interval(a).high > mean_interval(b).low


def test_comparing_many_equals_comparing_each():
    random = np.random.default_rng(2)
    items, reference = random.exponential(size=(3, 80)), random.exponential(size=80)
    together = paired_many(items, reference, lower_is_better=True, seed=5)
    for row, found in zip(items, together, strict=True):
        alone = paired(row, reference, lower_is_better=True, seed=5)
        assert (alone.low, alone.high, alone.p) == pytest.approx((found.low, found.high, found.p))


def test_rows_must_match():
    with pytest.raises(ValueError, match=r"4 rows cannot be paired with \[3\]"):
        paired(np.zeros(3), np.zeros(4), lower_is_better=True)


def test_few_sign_flips_are_all_counted_as_in_scipy():
    difference = np.random.default_rng(3).normal(0.4, 1.0, size=10)
    known = stats.permutation_test(
        (difference, np.zeros(10)),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
    )
    padded = np.concatenate([difference, np.zeros(30)])
    assert sign_flip(padded[:, None], 0, 100)[0] == pytest.approx(known.pvalue)


def test_many_sign_flips_and_the_normal_limit_agree(monkeypatch):
    difference = np.random.default_rng(4).normal(0.06, 1.0, size=(900, 2))
    sampled = sign_flip(difference, 0, 20_000)
    again = sign_flip(difference, 0, 20_000)
    monkeypatch.setattr(statistics, "LARGE", 100)
    limit = sign_flip(difference, 0, 20_000)
    assert (sampled == again).all()
    assert sampled == pytest.approx(limit, abs=0.012)
    assert sampled == pytest.approx([stats.ttest_1samp(d, 0.0).pvalue for d in difference.T], abs=0.012)


def test_hoeffding_holds_for_every_pattern_and_refines_what_few_draws_show():
    random = np.random.default_rng(13)
    for shift in (0.2, 1.0, 3.0):
        difference = random.normal(shift, 1.0, size=(14, 1))
        every = sign_flip(difference, 0, 10)[0]
        assert every <= 2 * math.exp(-(difference.sum() ** 2) / (2 * (difference**2).sum())) + 1e-15
    clear = random.normal(0.5, 1.0, size=(400, 1))
    assert 0 < sign_flip(clear, 0, 100)[0] < 1e-10


def test_equal_items_are_no_evidence():
    found = paired(np.full(40, 0.3), np.full(40, 0.3), lower_is_better=True)
    assert (found.difference, found.p, found.verdict) == (0.0, 1.0, "undecided")
    assert paired(np.full(40, 0.3), np.full(40, 0.3), lower_is_better=True, rope=0.01).verdict == "tied"


def test_p_values_are_uniform_enough_where_nothing_differs():
    random = np.random.default_rng(5)
    p = sign_flip(random.exponential(size=(60, 400)) - random.exponential(size=(60, 400)), 0, 1000)
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_paired_differences_are_covered():
    random = np.random.default_rng(6)
    hits = 0
    for s in range(400):
        hard = random.exponential(size=120)
        a, b = hard * random.lognormal(0, 0.5, 120), hard * random.lognormal(0.1, 0.5, 120)
        true = math.exp(0.125) * (1 - math.exp(0.1))
        found = paired(a, b, lower_is_better=True, seed=s, draws=400)
        hits += found.low <= true <= found.high
    assert 0.92 * 400 <= hits <= 0.98 * 400


@pytest.mark.parametrize(
    ("low", "high", "rope", "lower_is_better", "expected"),
    [
        (0.01, 0.03, 0.0, False, "better"),
        (0.01, 0.03, 0.0, True, "worse"),
        (-0.03, -0.01, 0.0, True, "better"),
        (-0.03, -0.01, 0.0, False, "worse"),
        (-0.01, 0.03, 0.0, False, "undecided"),
        (-0.01, 0.01, 0.02, False, "tied"),
        (0.005, 0.01, 0.02, False, "tied"),
        (0.005, 0.03, 0.02, False, "better"),
        (-0.03, 0.01, 0.02, True, "undecided"),
        (0.0, 0.0, 0.0, True, "undecided"),
    ],
)
def test_what_bounds_say(low, high, rope, lower_is_better, expected):
    assert verdict(low, high, rope, lower_is_better) == expected


def test_a_metric_that_is_no_mean_is_resampled_jointly():
    random = np.random.default_rng(7)
    common = random.normal(size=150)
    a, b = common + 0.1 * random.normal(size=150) + 0.05, common + 0.1 * random.normal(size=150)
    found = paired_metric(
        lambda rows: float(np.median(a[rows])),
        lambda rows: float(np.median(b[rows])),
        150,
        lower_is_better=False,
        draws=600,
        metric="median",
    )
    assert found.difference == pytest.approx(np.median(a) - np.median(b))
    assert found.high - found.low < 0.25 < mean_interval(a).high - mean_interval(a).low
    means = paired_metric(lambda r: float(a[r].mean()), lambda r: float(b[r].mean()), 150, lower_is_better=False)
    known = paired(a, b, lower_is_better=False)
    assert (means.low, means.high) == pytest.approx((known.low, known.high), abs=0.004)
    assert means.verdict == known.verdict == "better"


def test_paired_macro_f1_equals_row_by_row_resampling():
    random = np.random.default_rng(8)
    truth = random.choice(3, size=120, p=[0.6, 0.3, 0.1])
    a = np.where(random.random(120) < 0.85, truth, random.integers(0, 3, 120))
    b = np.where(random.random(120) < 0.7, truth, random.integers(0, 3, 120))

    def macro(said, rows=slice(None)):
        t, y = truth[rows], said[rows]
        return float(np.mean([2 * ((t == c) & (y == c)).sum() / ((t == c).sum() + (y == c).sum()) for c in range(3)]))

    fast = paired_macro_f1(truth, a, b, 3, draws=3000)
    slow = paired_metric(lambda r: macro(a, r), lambda r: macro(b, r), 120, lower_is_better=False, draws=400)
    assert macro(a) == pytest.approx(f1_score(truth, a, average="macro"))
    assert fast.difference == pytest.approx(macro(a) - macro(b))
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high), abs=0.03)
    assert paired_macro_f1(truth, b, a, 3, draws=3000).difference == pytest.approx(-fast.difference)


def test_a_paired_macro_f1_of_equals_is_rarely_a_difference():
    random = np.random.default_rng(9)
    shown = 0
    for s in range(300):
        truth = random.choice(3, size=200, p=[0.6, 0.3, 0.1])
        a, b = (np.where(random.random(200) < 0.8, truth, random.integers(0, 3, 200)) for _ in range(2))
        found = paired_macro_f1(truth, a, b, 3, seed=s, draws=400)
        shown += found.p < 0.05
        assert (found.verdict != "undecided") == (found.p < 0.05) or 0.02 < found.p < 0.08
    assert shown <= 0.085 * 300


def test_holm_equals_the_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]).tolist() == []
    assert holm([0.6, 0.7]).tolist() == [1.0, 1.0]


def test_holm_rejects_what_the_step_down_rule_rejects():
    random = np.random.default_rng(10)
    for _ in range(50):
        p = random.random(8) ** 3
        rejected = set()
        for rank, k in enumerate(np.argsort(p)):
            if p[k] > 0.05 / (8 - rank):
                break
            rejected.add(int(k))
        assert set(np.flatnonzero(holm(p) <= 0.05).tolist()) == rejected


def test_the_arithmetic_of_resolution():
    """4,700 rows for 1 point and 1,170 for 2 points at 6 % discordance; 600 rows resolve 2.8 points."""
    assert rows_needed(0.01) == pytest.approx(4700, rel=0.005)
    assert rows_needed(0.02) == pytest.approx(1170, rel=0.005)
    assert resolvable(4707) == pytest.approx(0.01, rel=1e-3)
    assert resolvable(600) == pytest.approx(0.028, abs=5e-4)
    assert resolvable(500) > 0.03
    assert resolvable(3) == 1.0
    assert resolvable(1000, discordant=0.03) < resolvable(1000) < resolvable(1000, power=0.9)


def test_more_rows_always_resolve_more():
    found = [resolvable(n) for n in (4, 10, 30, 100, 300, 1000, 10_000, 1_000_000)]
    assert all(a > b for a, b in itertools.pairwise(found))


def test_the_resolvable_difference_is_found_four_times_in_five():
    n, discordant = 800, 0.06
    size = resolvable(n, discordant)
    random = np.random.default_rng(11)
    drawn = random.multinomial(n, [(discordant + size) / 2, (discordant - size) / 2, 1 - discordant], size=2000)
    power = np.mean([mcnemar_midp(gains, losses) < 0.05 for gains, losses, _ in drawn])
    assert power == pytest.approx(0.8, abs=0.04)


def test_discordance_follows_from_accuracy_and_correlation():
    random = np.random.default_rng(12)
    shared = random.random(400_000) < 0.7
    a, b = (random.random(400_000) < 0.88 for _ in range(2))
    b = np.where(shared, a, b)
    assert (a != b).mean() == pytest.approx(expected_discordance(0.88, 0.7), abs=0.002)
    assert expected_discordance(0.88) == pytest.approx(0.063, abs=5e-4)


def test_a_comparison_is_plain_json():
    found = paired(np.array([0.2]), np.array([0.1]), lower_is_better=True, metric="log_loss").to_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == {
        "metric": "log_loss", "difference": 0.1, "low": None, "high": None, "p": 1.0, "n": 1, "verdict": "undecided",
    }  # fmt: skip
