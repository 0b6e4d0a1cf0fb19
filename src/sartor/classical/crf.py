"""A linear-chain conditional random field on sparse features (Lafferty, McCallum and Pereira 2001).

Minimised: the summed -log p(tags | row) + |W|^2 / (2 C), steps that IOB2 does not allow left out of every sum.

Legend: N rows, U tokens of all rows, V features, C tags.
"""

from __future__ import annotations

import numpy as np

from sartor.classical.chain import expected, legal, path_scores, step_counts
from sartor.classical.linear import Matrix, Reals, minimise
from sartor.classical.tagging import Tagging
from sartor.predictions import Integers

CLOSE = 3e-3
"""Solved when the gradient is this much shorter than at zero weights."""


def fit_chain(x: Matrix, known: Integers, lengths: Integers, tagging: Tagging, c: float) -> tuple[Reals, Reals]:
    """Weights (V, C) of (U, V) features and steps (C + 1, C) that make the tags (U,) most probable, by L-BFGS."""
    states = len(tagging.labels)
    hot = np.eye(states, dtype=np.float32)[known]
    counts, allowed, transposed = step_counts(known, lengths, states), legal(tagging.labels), x.T.tocsr()

    def value(theta: Reals) -> tuple[float, Reals]:
        weight, free = theta[: x.shape[1]], theta[x.shape[1] :].astype(np.float64)
        emissions = np.asarray(x @ weight, dtype=np.float64)
        found = expected(emissions, free + allowed, lengths)
        loss = found.log_sums.sum() - path_scores(emissions, free + allowed, lengths, known).sum()
        slopes = [transposed @ (found.states.astype(np.float32) - hot), (found.steps - counts).astype(np.float32)]
        penalty = float(np.vdot(theta, theta)) / (2 * c)
        return float(loss) + penalty, np.vstack(slopes) + theta / np.float32(c)

    zero = np.zeros((x.shape[1] + states + 1, states), dtype=np.float32)
    enough = CLOSE * float(np.linalg.norm(value(zero)[1]))
    found = minimise(value, zero, enough)
    return found[: x.shape[1]], found[x.shape[1] :]
