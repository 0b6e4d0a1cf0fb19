"""Least-squares support vector machines with a Gaussian kernel (Suykens and Vandewalle 1999): a closed form, and with
it the answer that every row would get if it were left out (Cawley 2006), by which width and ridge are chosen.

    K(x, x') = exp(-gamma |x - x'|^2)     A = (K + ridge I)^-1 (Y - mean Y)     left out: Y - A / diag (K + ridge I)^-1

Legend: N rows, M rows that are kept, V values of a row, C outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.classical.targets import Target
from sartor.predictions import Floats

Reals = NDArray[np.float32]
SEARCH = 2000
"""Rows that width and ridge are chosen on."""


@dataclass(frozen=True)
class KernelMachine:
    """(x - mean) * scale against the rows (M, V) it keeps, `weight` (M, C), `bias` (C,); `sharpness` makes
    probabilities of scores."""

    rows: Reals
    weight: Reals
    bias: Reals
    mean: Reals
    scale: Reals
    gamma: float
    sharpness: float

    def outputs(self, x: Reals, target: Target) -> Floats:
        """(N,) numbers, or (N, C) probabilities."""
        seen = _standard(x, self.mean, self.scale)
        scores = np.asarray(_kernel(seen, self.rows, self.gamma) @ self.weight + self.bias, dtype=np.float64)
        return scores[:, 0] if target.number else _probabilities(scores, self.sharpness, target)

    def arrays(self) -> dict[str, Reals]:
        return {name: getattr(self, name) for name in ("rows", "weight", "bias", "mean", "scale")}

    def values(self) -> dict[str, float]:
        return {"gamma": self.gamma, "sharpness": self.sharpness}

    @classmethod
    def restored(cls, values: Mapping[str, Any], arrays: Mapping[str, Any]) -> KernelMachine:
        names = ("rows", "weight", "bias", "mean", "scale")
        held = {name: np.asarray(arrays[name], dtype=np.float32) for name in names}
        return cls(**held, gamma=float(values["gamma"]), sharpness=float(values["sharpness"]))


def fit_kernel(
    x: Reals, known: Floats, target: Target, widths: Sequence[float], ridges: Sequence[float], seed: int
) -> KernelMachine:
    """The machine of x (N, V) and known (N,) or (N, C); `widths`: gammas times V."""
    mean, spread = x.mean(0), x.std(0)
    scale = np.asarray(np.where(spread > 0, 1 / np.maximum(spread, 1e-6), 0), dtype=np.float32)
    seen, y = _standard(x, mean, scale), known[:, None] if target.number else known
    few = np.random.default_rng(seed).permutation(len(x))[:SEARCH]
    best = (np.inf, 0.0, 0.0)
    for gamma in (width / x.shape[1] for width in widths):
        kernel = _kernel(seen[few], seen[few], gamma)
        for ridge in ridges:
            error = float(np.square(_left_out(kernel, y[few], ridge) - y[few]).mean())
            best = min(best, (error, gamma, ridge))
    _, gamma, ridge = best
    said = _left_out(_kernel(seen[few], seen[few], gamma), y[few], ridge)
    sharpness = 1.0 if target.number else _sharpness(said, y[few], target)
    centre = y.mean(0)
    solved = _solve(_kernel(seen, seen, gamma), y - centre, ridge)
    held = [np.ascontiguousarray(v, dtype=np.float32) for v in (seen, solved, centre, mean, scale)]
    return KernelMachine(held[0], held[1], held[2], held[3], held[4], gamma, sharpness)


def _standard(x: Reals, mean: Reals, scale: Reals) -> Reals:
    return np.asarray((x - mean) * scale, dtype=np.float32)


def _kernel(a: Reals, b: Reals, gamma: float) -> Reals:
    """(N, M)"""
    apart = np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None] - 2 * a @ b.T
    return np.asarray(np.exp(-gamma * np.maximum(apart, 0)), dtype=np.float32)


def _solve(kernel: Reals, y: Floats, ridge: float) -> Floats:
    from scipy.linalg import solve

    found: Floats = solve(kernel.astype(np.float64) + ridge * np.eye(len(kernel)), y, assume_a="pos")
    return found


def _left_out(kernel: Reals, y: Floats, ridge: float) -> Floats:
    """(N, C) what each row is given by all the others."""
    inverse = np.linalg.inv(kernel.astype(np.float64) + ridge * np.eye(len(kernel)))
    return np.asarray(y - inverse @ (y - y.mean(0)) / np.diag(inverse)[:, None])


def _probabilities(scores: Floats, sharpness: float, target: Target) -> Floats:
    from scipy.special import expit, softmax

    if target.several:
        return np.asarray(expit(sharpness * (2 * scores - 1)))
    return np.asarray(softmax(sharpness * scores, axis=1))


def _sharpness(said: Floats, known: Floats, target: Target) -> float:
    """What makes the left-out scores the likeliest probabilities (Guo et al. 2017, arXiv 1706.04599)."""
    from scipy.optimize import minimize_scalar

    def loss(power: float) -> float:
        return float(target.losses(_probabilities(said, 2.0**power, target), known).mean())

    return float(2.0 ** float(minimize_scalar(loss, bounds=(-3, 7), method="bounded").x))
