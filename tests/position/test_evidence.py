"""Anytime evidence: fair by enumeration, valid under continuous peeking, and powerful."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from sartor.position.evidence import BETS, confidence_sequence, evidence, log_wealth


def test_a_fair_game_pays_one_on_average():
    """Over all 2^10 sequences of a fair coin the mean e-value is exactly 1 after every toss."""
    paths = np.array([log_wealth(np.array(s), 2.0) for s in itertools.product([-1.0, 1.0], repeat=10)])
    assert np.exp(paths).mean(0) == pytest.approx(np.ones(10), abs=1e-12)


def test_looking_after_every_toss_does_no_harm():
    """By enumeration of all 2^14 sequences: P(wealth ever reaches 1 / alpha) <= alpha."""
    highest = np.array([log_wealth(np.array(s), 1.0).max() for s in itertools.product([-1.0, 1.0], repeat=14)])
    for alpha in (0.3, 0.1, 0.05):
        assert 0 < (highest >= -math.log(alpha)).mean() <= alpha


def test_the_e_value_is_the_mean_over_the_bets():
    differences = np.array([0.3, -0.9, 2.5, 0.0])
    product = [math.prod(1 + bet * min(d, 1.5) / 1.5 for d in differences) for bet in BETS]
    assert evidence(differences, 1.5) == pytest.approx(np.mean(product))


def test_the_order_of_the_rows_does_not_matter():
    differences = np.random.default_rng(0).normal(0.1, 0.5, size=200)
    assert evidence(differences, 2.0) == pytest.approx(evidence(differences[::-1], 2.0))
    assert confidence_sequence(differences, 0.05, 2.0) == pytest.approx(
        confidence_sequence(differences[::-1], 0.05, 2.0)
    )


def skewed(random, size):
    """Mean zero, bounded by 2, with the long right tail of log-loss differences."""
    return np.where(random.random(size) < 0.1, 1.8, -0.2)


def test_false_decisions_are_rare_with_a_look_after_every_row():
    random = np.random.default_rng(1)
    decided = sum(log_wealth(skewed(random, 600), 2.0).max() >= math.log(20) for _ in range(500))
    assert decided <= 0.05 * 500


def test_the_sequence_contains_the_mean_at_every_row():
    """It leaves out zero when the wealth on either side passes 2 / alpha, which costs less to follow row by row."""
    random = np.random.default_rng(2)
    missed = 0
    for _ in range(300):
        rows = skewed(random, 400)
        missed += max(log_wealth(rows, 2.0).max(), log_wealth(-rows, 2.0).max()) >= math.log(2 / 0.1)
    assert missed <= 0.1 * 300


def test_a_real_difference_is_found_for_less_than_twice_the_rows_of_one_planned_look():
    random = np.random.default_rng(3)
    planned = ((1.96 + 0.84) * 0.3 / 0.05) ** 2
    found = [log_wealth(random.normal(0.05, 0.3, 2000), 2.0) >= math.log(20) for _ in range(200)]
    needed = np.array([f.argmax() if f.any() else 2000 for f in found])
    assert np.median(needed) < 1.6 * planned
    assert (needed < 4 * planned).mean() > 0.95


def test_the_sequence_narrows_around_the_mean_and_mirrors():
    differences = np.random.default_rng(4).normal(0.1, 0.3, 4000)
    widths = []
    for n in (20, 100, 500, 4000):
        low, high = confidence_sequence(differences[:n], 0.05, 2.0)
        assert -2.0 <= low < differences[:n].mean() < high <= 2.0
        mirrored = confidence_sequence(-differences[:n], 0.05, 2.0)
        assert mirrored == pytest.approx((-high, -low))
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 2 * 3.5 * 0.3 / math.sqrt(4000)


def test_the_sequence_excludes_zero_exactly_where_the_evidence_says_so():
    differences = np.random.default_rng(5).normal(0.06, 0.3, 500)
    alpha = 2 / evidence(differences, 2.0)
    assert confidence_sequence(differences, alpha * 1.001, 2.0)[0] > 0
    assert confidence_sequence(differences, alpha * 0.999, 2.0)[0] < 0


def test_differences_are_clipped_to_the_bound():
    assert evidence(np.array([5.0, -9.0]), 1.0) == evidence(np.array([1.0, -1.0]), 1.0)
    assert evidence(np.full(5000, 1.0), 1.0) == pytest.approx(math.exp(700.0))
    with pytest.raises(ValueError, match="bounds nothing"):
        evidence(np.array([0.1]), 0.0)
