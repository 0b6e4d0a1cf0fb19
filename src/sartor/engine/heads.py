"""Heads fitted to their optimum on frozen features, the penalty by cross-validation.

Multinomial or one-per-label logistic regression by L-BFGS (Liu and Nocedal 1989), ridge regression in closed form by
the singular vectors with exact leave-one-out errors (Golub, Heath and Wahba 1979). All folds are solved at once: the
problem is separable, so one optimisation over the stacked weights finds every fold's optimum.

Legend: N rows, D width, C outputs, F folds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

PENALTIES = (1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1)
"""Strong to weak: the objective is the summed loss + penalty / 2 |W|^2 on standardised features (1 / C elsewhere)."""
RIDGES = tuple(10.0**e for e in range(-3, 6))
FOLDS = 3
LARGEST_SEARCH = 4000
"""Rows the penalty is searched on; the final fit uses them all."""


@dataclass(frozen=True)
class Solved:
    """outputs = features @ weight.T + bias; and what was chosen on the way."""

    weight: Tensor  # (C, D)
    bias: Tensor  # (C,)
    penalty: float
    held_out_loss: float


def solve_logistic(features: Tensor, targets: Tensor, weights: Tensor, seed: int, several: Tensor | None) -> Solved:
    """features (N, D), targets (N, C), weights (N,) of the rows; `several`: (C,) weights of the
    labels, each a yes-or-no of its own; None where a row has one label."""
    mean, scale = features.mean(0), features.std(0).clamp_min(1e-6)
    x = (features - mean) / scale
    few = torch.from_numpy(np.random.default_rng(seed).permutation(len(x))[:LARGEST_SEARCH])
    penalty, held_out = _choose_penalty(x[few], targets[few], several, weights[few])
    w, b = _lbfgs(x, targets, several, weights[None], penalty, None)
    weight = w[0].T / scale
    return Solved(weight, b[0] - weight @ mean, penalty, held_out)


def _choose_penalty(x: Tensor, targets: Tensor, several: Tensor | None, weights: Tensor) -> tuple[float, float]:
    """The penalty with the least held-out loss; stops once weakening it has made things worse."""
    folds = torch.arange(len(x)) % FOLDS
    kept = torch.stack([weights * (folds != f) for f in range(FOLDS)])  # (F, N)
    start: tuple[Tensor, Tensor] | None = None
    best = (PENALTIES[0], float("inf"))
    for penalty in PENALTIES:
        start = _lbfgs(x, targets, several, kept, penalty, start)
        logits = torch.einsum("nd,fdc->fnc", x, start[0]) + start[1][:, None]
        losses = torch.stack([_losses(logits[f], targets, several) for f in range(FOLDS)])
        held = (losses * (weights - kept)).sum() / weights.sum()
        if float(held) >= best[1]:
            break
        best = (penalty, float(held))
    return best


def _losses(logits: Tensor, targets: Tensor, several: Tensor | None) -> Tensor:
    """(N,)"""
    if several is not None:
        each = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return (each * several).mean(-1)
    return -(functional.log_softmax(logits, -1) * targets).sum(-1)


def _lbfgs(
    x: Tensor,
    targets: Tensor,
    several: Tensor | None,
    weights: Tensor,
    penalty: float,
    start: tuple[Tensor, Tensor] | None,
) -> tuple[Tensor, Tensor]:
    """Weights (F, D, C), biases (F, C) that minimise sum_n weights[f, n] loss_n + penalty / 2 |W_f|^2 for every f."""
    from scipy.optimize import minimize

    f, d, c = len(weights), x.shape[1], targets.shape[1]
    size = f * d * c
    first = np.zeros(size + f * c) if start is None else np.concatenate([s.double().numpy().ravel() for s in start])
    rows = weights.sum()

    def value(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = torch.from_numpy(flat[:size].astype(np.float32)).reshape(f, d, c)
        b = torch.from_numpy(flat[size:].astype(np.float32)).reshape(f, c)
        wide = x @ w.permute(1, 0, 2).reshape(d, f * c)  # one product for all folds
        logits = wide.reshape(-1, f, c).permute(1, 0, 2) + b[:, None]  # (F, N, C)
        loss, slope = _value_and_slope(logits, targets, several, weights)
        narrow = slope.permute(1, 0, 2).reshape(-1, f * c)
        grad_w = (x.T @ narrow).reshape(d, f, c).permute(1, 0, 2) + penalty * w
        total = (loss + 0.5 * penalty * (w * w).sum()) / rows
        grad = torch.cat([grad_w.reshape(-1), slope.sum(1).reshape(-1)]) / rows
        return float(total), grad.double().numpy()

    found = minimize(value, first, jac=True, method="L-BFGS-B", options={"maxiter": 200, "gtol": 1e-5, "ftol": 1e-7})
    flat = torch.from_numpy(found.x.astype(np.float32))
    return flat[:size].reshape(f, d, c), flat[size:].reshape(f, c)


def _value_and_slope(logits: Tensor, targets: Tensor, several: Tensor | None, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The weighted loss over all folds, and its derivative by the logits (F, N, C)."""
    if several is not None:
        c = logits.shape[-1]
        each = functional.binary_cross_entropy_with_logits(logits, targets.expand_as(logits), reduction="none")
        losses = (each * several).mean(-1)
        slope = (torch.sigmoid(logits) - targets) * several / c
    else:
        logp = functional.log_softmax(logits, -1)
        losses = -(logp * targets).sum(-1)
        slope = logp.exp() - targets
    return (losses * weights).sum(), slope * weights[..., None]


def solve_ridge(features: Tensor, targets: Tensor) -> Solved:
    """features (N, D), targets (N, C) numbers; the ridge by exact leave-one-out squared error."""
    return _ridge(features, targets, torch.ones(len(features)))[0]


def solve_least_squares(features: Tensor, targets: Tensor, weights: Tensor, several: Tensor | None) -> Solved:
    """Ridge regression on the signs of classes (as scikit-learn's RidgeClassifier), its outputs scaled so that what
    each row gets when it is left out has the least log-loss: one number makes probabilities of them (Guo et al. 2017,
    arXiv 1706.04599). Arguments are those of `solve_logistic`."""
    from scipy.optimize import minimize_scalar

    found, left_out = _ridge(features, 2 * targets - 1, weights)

    def loss(power: float) -> float:
        each = _losses(left_out.float() * 2.0**power, targets, several)
        return float((each * weights).sum() / weights.sum())

    best = minimize_scalar(loss, bounds=(-6, 8), method="bounded")
    scale = 2.0 ** float(best.x)
    return Solved(found.weight * scale, found.bias * scale, found.penalty, float(best.fun))


def _ridge(features: Tensor, targets: Tensor, weights: Tensor) -> tuple[Solved, Tensor]:
    """The solution for rows that count `weights` (N,), and (N, C) what each row is given by all the others."""
    x, y, w = features.double(), targets.double(), weights.double()[:, None]
    share = w / w.sum()
    mean, scale, centre = (share * x).sum(0), x.std(0).clamp_min(1e-6), (share * y).sum(0)
    z, t = w.sqrt() * (x - mean) / scale, w.sqrt() * (y - centre)
    u, s, v = torch.linalg.svd(z, full_matrices=False)
    best, chosen, errors = float("inf"), RIDGES[0], torch.zeros_like(t)
    for ridge in RIDGES:
        shrink = s**2 / (s**2 + ridge)
        hat = (u * u * shrink).sum(1, keepdim=True) + share
        found = (t - u @ (shrink[:, None] * (u.T @ t))) / (1 - hat).clamp_min(1e-9)
        if float((found**2).mean()) < best:
            best, chosen, errors = float((found**2).mean()), ridge, found
    w_z = (v.T * (s / (s**2 + chosen))) @ (u.T @ t)  # (D, C)
    weight = (w_z / scale[:, None]).T
    return Solved(weight.float(), (centre - weight @ mean).float(), chosen, best), y - errors / w.sqrt()
