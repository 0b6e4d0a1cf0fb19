"""Evidence that stays valid however often it is looked at. Legend: N rows, G bets.

One bets on the differences as they come in; wealth that only luck could bring if the null held measures the evidence
(Waudby-Smith and Ramdas 2023, arXiv 2010.09686). The bets are a fixed mixture (their diversified Kelly betting), so the
result depends on which rows were seen but not on their order. Rows come in random order, each once; differences may
come from models that change between rows: the null of `evidence` is that none of them is expected to be above zero.
"""

from __future__ import annotations

import math

import numpy as np

from sartor.position.intervals import rows_of_numbers
from sartor.predictions import Floats

BETS = np.geomspace(2e-3, 0.95, 32)
"""Shares of the wealth put at risk; a bet below 1 never goes bankrupt."""


def evidence(differences: Floats, bound: float) -> float:
    """The e-value, at least 0, that the mean of (N,) differences clipped to +-`bound` is above zero.

    If it is not, the value exceeds 1 / alpha at any time at all with probability at most alpha."""
    return float(math.exp(min(log_wealth(differences, bound)[-1], 700.0)))


def log_wealth(differences: Floats, bound: float) -> Floats:
    """(N,) the logarithm of the e-value after each row."""
    clipped = _clipped(differences, bound)
    gains = np.log1p(BETS * (clipped / bound)[:, None])
    return _mixed(np.cumsum(gains, axis=0))


def confidence_sequence(differences: Floats, alpha: float, bound: float) -> tuple[float, float]:
    """Bounds on the mean of (N,) differences clipped to +-`bound`; with probability 1 - alpha the bounds computed after
    every single row contain it. The null is one mean for all rows, given the rows before."""
    clipped = _clipped(differences, bound)
    return _lowest(clipped, alpha / 2, bound), -_lowest(-clipped, alpha / 2, bound)


def _clipped(differences: Floats, bound: float) -> Floats:
    if not (bound > 0 and math.isfinite(bound)):
        raise ValueError(f"a bound of {bound} bounds nothing")
    return np.clip(rows_of_numbers(differences), -bound, bound)


def _lowest(clipped: Floats, alpha: float, bound: float) -> float:
    """The least mean against which one has not won 1 / alpha; the wealth falls in the mean, hence the bisection."""
    low, high = -bound, bound
    for _ in range(30):
        middle = (low + high) / 2
        ratio = (clipped - middle) / (bound + middle)
        won = float(_mixed(np.log1p(BETS * ratio[:, None]).sum(0)[None])[0])
        low, high = (middle, high) if won >= -math.log(alpha) else (low, middle)
    return low


def _mixed(log_wealths: Floats) -> Floats:
    """(T, G) log wealth of each bet -> (T,) log of their mean."""
    most = log_wealths.max(1)
    return np.asarray(most + np.log(np.exp(log_wealths - most[:, None]).mean(1)), dtype=np.float64)
