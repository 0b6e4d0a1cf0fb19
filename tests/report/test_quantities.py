from __future__ import annotations

import math

import pytest

from sartor.report.quantities import Spread, decimals_of, finite, number, quantity, seconds, signed, spread


@pytest.mark.parametrize(
    ("half", "decimals"),
    [(0.1, 2), (0.34, 2), (0.36, 1), (0.94, 1), (1.2, 1), (4.0, 0), (12.0, 0), (0.0012, 4), (0, 0)],
)
def test_decimals_follow_the_uncertainty(half: float, decimals: int) -> None:
    assert decimals_of(half) == decimals


def test_values_are_said_with_unit_and_interval() -> None:
    accuracy, latency = quantity("accuracy"), quantity("latency_ms_p50")
    assert accuracy.full(Spread(0.9258, 0.9097, 0.9393)) == "92.6% [91.0, 93.9]"
    assert accuracy.full(Spread(0.9258, 0.88, 0.97)) == "93% [88, 97]"
    assert accuracy.full(Spread(1.0, 1.0, 1.0)) == "100.0%"
    assert latency.full(Spread(3.9812, 3.82, 4.19)) == "3.98 ms [3.82, 4.19]"
    assert latency.full(Spread(1234.5)) == "1,234 ms"
    assert latency.full(None) == "not measured"


def test_numbers_have_a_real_minus_and_no_minus_zero() -> None:
    assert number(-0.0001, 2) == "0.00"
    assert number(-1234.5, 1) == "−1,234.5"
    assert signed(0.5, 1) == "+0.5"
    assert signed(-0.5, 1) == "−0.5"
    assert signed(0.0, 1) == "0.0"


@pytest.mark.parametrize("value", [None, "3", True, math.nan, math.inf, [], {"value": None}])
def test_what_is_no_number_is_not_measured(value: object) -> None:
    assert spread(value) is None


def test_spreads_come_from_numbers_and_mappings() -> None:
    assert spread(2, [1, 3]) == Spread(2.0, 1.0, 3.0)
    assert spread({"value": 2.0, "low": 1.0, "high": math.nan}) == Spread(2.0, 1.0, None)
    assert finite(7) == 7.0


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "not measured"),
        (0, "0 s"),
        (0.123, "0.12 s"),
        (12.4, "12 s"),
        (588.1, "9 min 48 s"),
        (600, "10 min"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations_are_said_for_people(value: object, said: str) -> None:
    assert seconds(value) == said
