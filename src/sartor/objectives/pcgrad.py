"""PCGrad: gradients of tasks that conflict are projected before they are added (Yu et al. 2020, arXiv 2001.06782).

for each task i, for every other task j in random order:
    g_i <- g_i - (g_i . g_j / |g_j|^2) g_j     where g_i . g_j < 0, g_j as it was
gradient = sum_i g_i

Every projected g_i is a sum of the g_j as they were, so the products among these decide all the coefficients, and the
gradient is put together once. Only the body is shared: the head keeps the plain sum.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from sartor import part as parts
from sartor.objective import Objective

if TYPE_CHECKING:
    from torch import Tensor

    from sartor.batch import Batch
    from sartor.network import Beside, Network
    from sartor.predictions import Floats
    from sartor.task import Task

SHARED = "body."
"""How the names of the weights begin that all tasks share."""


@dataclass(frozen=True, kw_only=True)
class PCGrad(Objective):
    """Every task's gradient by itself, freed of what works against the others."""

    of: Objective = field(default_factory=lambda: cast(Objective, parts.part("objectives", "supervised")))
    """The objective whose gradients are projected."""

    def __call__(self, net: Network, task: Task, batch: Batch) -> Tensor:
        return self.of(net, task, batch)

    def beside(self, task: Task) -> Beside | None:
        return self.of.beside(task)

    def parts(self, task: Task, update: Batch) -> Sequence[Batch]:
        which = task.members.places(task, update)
        return [update.take((which == k).nonzero()[:, 0]) for k in sorted(set(which.tolist()))]

    def combine(self, gradients: Sequence[Mapping[str, Tensor]], seed: int) -> dict[str, Tensor]:
        shares = projected(_products(gradients), seed)
        names = dict.fromkeys(name for found in gradients for name in found)
        out = {}
        for name in names:
            weights = shares if name.startswith(SHARED) else np.ones(len(gradients))
            each = [found[name] * float(w) for found, w in zip(gradients, weights, strict=True) if name in found]
            out[name] = functools.reduce(operator.add, each)
        return out

    def facts(self, net: Network, task: Task) -> dict[str, Any]:
        return self.of.facts(net, task)


def projected(products: Floats, seed: int) -> Floats:
    """(K,) how much of each gradient is in the sum of the projected ones; `products` (K, K) are theirs as they were."""
    count, order = len(products), np.random.default_rng(seed)
    shares = np.eye(count)
    for i in range(count):
        for j in order.permutation([k for k in range(count) if k != i]):
            along = shares[i] @ products[:, j]
            if along < 0:
                shares[i, j] -= along / products[j, j]
    total: Floats = shares.sum(0)
    return total


def _products(gradients: Sequence[Mapping[str, Tensor]]) -> Floats:
    """(K, K) the inner products of the shared weights' gradients."""
    out = np.zeros((len(gradients), len(gradients)))
    for i, one in enumerate(gradients):
        for j, other in enumerate(gradients[: i + 1]):
            both = [name for name in one if name.startswith(SHARED) and name in other]
            out[i, j] = out[j, i] = sum(_product(one[name], other[name]) for name in both)
    return out


def _product(a: Tensor, b: Tensor) -> float:
    """Of two gradients of one weight; of a table's rows, those that both have."""
    from sartor.engine.devices import full

    both = (a * b).coalesce().values() if a.is_sparse else a * b
    return float(full(both.sum()))
