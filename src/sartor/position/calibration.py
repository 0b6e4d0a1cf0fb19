"""Calibration: whether probabilities can be taken at their word. Legend: N rows, C classes."""

from __future__ import annotations

import math

import numpy as np

from sartor.predictions import Floats, Integers

FLOOR = 1e-7
"""Probabilities are kept this far from 0: what 32-bit outputs can tell apart."""
WIDEST = math.log(20.0)
"""Temperatures are looked for between 1/20 and 20."""


def temperature(log_probabilities: Floats, targets: Integers, prior: float = 0.0) -> float:
    """The T that minimises the log-loss of softmax(log p / T) over (N, C) rows (Guo et al. 2017, arXiv 1706.04599).

    `prior`: weight, in rows, of a standard normal prior on log T; keeps a part without mistakes from T = 0."""
    from scipy.optimize import minimize_scalar

    def cost(log_t: float) -> float:
        return float(tempered_log_loss(log_probabilities, targets, math.exp(log_t)).sum()) + prior * log_t**2 / 2

    return math.exp(float(minimize_scalar(cost, bounds=(-WIDEST, WIDEST), method="bounded", options={"xatol": 1e-5}).x))


def tempered_log_loss(log_probabilities: Floats, targets: Integers, t: float) -> Floats:
    """(N,) log-loss of softmax(log p / t), in nats; `log_probabilities` may be logits."""
    scaled = log_probabilities / t
    most = scaled.max(1)
    total = most + np.log(np.exp(scaled - most[:, None]).sum(1))
    return np.asarray(total - scaled[np.arange(len(scaled)), targets], dtype=np.float64)


def cross_fitted_log_loss(probabilities: Floats, targets: Integers, folds: int = 2, seed: int = 0) -> Floats:
    """(N,) log-loss of each row at the temperature fitted on the other folds, so that how sure a method sounds is not
    mistaken for how much it knows; two candidates with the same seed and rows get the same folds."""
    n = len(targets)
    logs = np.log(np.clip(probabilities, FLOOR, None))
    if n < 2 * folds:
        return tempered_log_loss(logs, targets, 1.0)
    fold = np.random.default_rng(seed).permutation(n) % folds
    items = np.empty(n)
    for k in range(folds):
        here = fold == k
        fitted = temperature(logs[~here], targets[~here], prior=1.0)
        items[here] = tempered_log_loss(logs[here], targets[here], fitted)
    return np.minimum(items, -math.log(FLOOR))


def calibration_error(probabilities: Floats, targets: Integers, bins: int = 15) -> float:
    """Expected calibration error of the likeliest label in bins of equal mass (Nixon et al. 2019, arXiv 1904.01685).

    Rows with equal confidence share a bin, so the order of the rows does not matter."""
    n = len(targets)
    said = probabilities.argmax(1)
    confidence = probabilities[np.arange(n), said]
    right = (said == targets).astype(float)
    _, level, counts = np.unique(confidence, return_inverse=True, return_counts=True)
    middle_rank = np.cumsum(counts) - counts / 2
    bin_of = np.minimum((middle_rank[level] * bins / n).astype(np.int64), bins - 1)
    gaps = np.bincount(bin_of, weights=confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / n)
