"""Linear models on many features, sparse or not: logistic regression and ridge regression by L-BFGS (Liu and Nocedal 1989).

Minimised: the summed loss + |W|^2 / (2 C), the intercept free; C as in scikit-learn, for numbers 1 / alpha of its ridge
regression on a target of unit variance. In 32 bits and without bounds, so that many labels cost seconds.

Legend: N rows, V features, K columns (1 for a number or two labels, else the labels).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.classical.targets import Target
from sartor.predictions import Floats, Integers

Reals = NDArray[np.float32]
Matrix = Any  # scipy.sparse or numpy, (N, V) of 32-bit numbers

SEARCH = 4000
"""Rows that C is chosen on, a fifth held out at a time; the final fit uses them all."""
HELD_OUT = 800
"""Folds are added, up to five, until this many rows were held out."""
CLOSE = 3e-3
"""Solved when the gradient is this much shorter than at zero weights."""
STEPS = 200
MEMORY = 5


@dataclass(frozen=True)
class Linear:
    """outputs = link(x @ weight + intercept); weight (V, K)."""

    weight: Reals
    intercept: Reals

    def outputs(self, x: Matrix, target: Target) -> Floats:
        """(N,) numbers, or (N, C) probabilities."""
        from scipy.special import expit, softmax

        scores = np.asarray(x @ self.weight, dtype=np.float64) + self.intercept
        if target.number:
            return np.asarray(scores[:, 0])
        if target.several or scores.shape[1] > 1:
            return np.asarray(expit(scores) if target.several else softmax(scores, axis=1))
        return np.hstack([expit(-scores), expit(scores)])


def fit_linear(x: Matrix, known: Floats, target: Target, grid: tuple[float, ...], seed: int) -> tuple[Linear, float]:
    """The model with the best C of the grid, and that C. `known`: `Target.known` of the rows."""
    few = np.sort(np.random.default_rng(seed).permutation(len(known))[:SEARCH])
    chosen = choose(x[few], known[few], target, grid, seed) if len(grid) > 1 else grid[0]
    return solve(x, known, target, chosen), chosen


def choose(x: Matrix, known: Floats, target: Target, grid: tuple[float, ...], seed: int) -> float:
    """The C with the least held-out loss, tried from strong penalty to weak until that makes things worse."""
    fold = _folds(known, seed)
    parts = [np.flatnonzero(fold == f) for f in range(min(5, -(-5 * HELD_OUT // len(known))))]
    models: list[Linear | None] = [None for _ in parts]
    best, chosen = float("inf"), min(grid)
    for c in sorted(grid):
        loss = 0.0
        for i, out in enumerate(parts):
            kept = np.setdiff1d(np.arange(len(known)), out)
            model = models[i] = solve(x[kept], known[kept], target, c, models[i])
            loss += _held_out(model.outputs(x[out], target), known[out], target)
        if loss >= best:
            break
        best, chosen = loss, c
    return chosen


def solve(x: Matrix, known: Floats, target: Target, c: float, start: Linear | None = None) -> Linear:
    """The optimum for one C, from zero or from `start`."""
    centre, scale = (known.mean(), known.std() or 1.0) if target.number else (0.0, 1.0)
    columns = ((_columns(known, target) - centre) / scale).astype(np.float32)
    transposed = x.T.tocsr() if hasattr(x, "tocsr") else x.T
    softmax = not target.several and columns.shape[1] > 1

    def value(theta: Reals) -> tuple[float, Reals]:
        loss, slope = _loss_and_slope(x @ theta[:-1] + theta[-1], columns, target.number, softmax)
        gradient = np.vstack([transposed @ slope + theta[:-1] / np.float32(c), slope.sum(0, keepdims=True)])
        return loss + float(np.vdot(theta[:-1], theta[:-1])) / (2 * c), gradient

    zero = np.zeros((x.shape[1] + 1, columns.shape[1]), dtype=np.float32)
    enough = CLOSE * float(np.linalg.norm(value(zero)[1]))
    first = zero if start is None else _again(start, float(centre), float(scale))
    found = minimise(value, first, enough) * np.float32(scale)
    return Linear(found[:-1], found[-1] + np.float32(centre))


def _again(start: Linear, centre: float, scale: float) -> Reals:
    """(V + 1, K) the weights of `start` in the units that are solved in."""
    return np.asarray(np.vstack([start.weight, start.intercept - centre]) / scale, dtype=np.float32)


def minimise(value: Callable[[Reals], tuple[float, Reals]], start: Reals, enough: float) -> Reals:
    """Where the convex `value` -> (loss, gradient) has a gradient no longer than `enough`."""
    at, (loss, gradient) = start, value(start)
    pairs: deque[tuple[Reals, Reals]] = deque(maxlen=MEMORY)
    for _ in range(STEPS):
        length = float(np.linalg.norm(gradient))
        if length <= enough:
            break
        way = _direction(gradient, pairs) if pairs else -gradient / np.float32(length)
        found = _step(value, at, loss, way, float(np.vdot(gradient, way)))
        if found is None:  # no lower value in 32 bits
            break
        moved, loss, now = found
        if float(np.vdot(moved, now - gradient)) > 0:
            pairs.append((moved, now - gradient))
        at, gradient = at + moved, now
    return at


def _step(value: Any, at: Reals, loss: float, way: Reals, slope: float) -> tuple[Reals, float, Reals] | None:
    """The longest of the halved steps that lowers the loss enough (Armijo 1966), with the loss and gradient there."""
    for halvings in range(20):
        moved = way * np.float32(0.5**halvings)
        there, gradient = value(at + moved)
        if there <= loss + 1e-4 * 0.5**halvings * slope:
            return moved, there, gradient
    return None


def _direction(gradient: Reals, pairs: deque[tuple[Reals, Reals]]) -> Reals:
    """The two-loop recursion: minus the inverse curvature of the last steps, times the gradient."""
    way = gradient.copy()
    shares = []
    for moved, turned in reversed(pairs):
        share = np.vdot(moved, way) / np.vdot(moved, turned)
        shares.append(share)
        way -= share * turned
    moved, turned = pairs[-1]
    way *= np.vdot(moved, turned) / np.vdot(turned, turned)
    for (moved, turned), share in zip(pairs, reversed(shares), strict=True):
        way += (share - np.vdot(turned, way) / np.vdot(moved, turned)) * moved
    return -way


def _loss_and_slope(scores: Reals, columns: Reals, number: bool, softmax: bool) -> tuple[float, Reals]:
    """The summed loss, and its derivative by the scores (N, K)."""
    from scipy.special import expit, log_softmax

    if number:
        error = scores - columns
        return float(np.square(error, dtype=np.float64).sum()) / 2, error
    if softmax:
        logp = log_softmax(scores, axis=1)
        return -float((columns * logp).sum(dtype=np.float64)), np.exp(logp) - columns
    loss = np.logaddexp(0, scores).sum(dtype=np.float64) - (columns * scores).sum(dtype=np.float64)
    return float(loss), expit(scores) - columns


def _columns(known: Floats, target: Target) -> Floats:
    """(N, K)"""
    if target.number:
        return known[:, None]
    return known[:, 1:] if known.shape[1] == 2 and not target.several else known


def _folds(known: Floats, seed: int) -> Integers:
    """(N,) which of five folds each row is in, every label (or range of numbers) spread over them."""
    shuffled = np.random.default_rng(seed).permutation(len(known))
    order = known[shuffled] if known.ndim == 1 else known[shuffled].argmax(1)
    fold = np.empty(len(known), dtype=np.int64)
    fold[shuffled[np.argsort(order, kind="stable")]] = np.arange(len(known)) % 5
    return fold


def _held_out(said: Floats, known: Floats, target: Target) -> float:
    return float(target.losses(said, known).sum())
