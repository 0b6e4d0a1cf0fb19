"""All pairs of a batch: rows of one class point the same way, rows of different classes at right angles.

    loss = ½ mean over like pairs (cos(f_i, f_j) − m_ij)²  +  ½ mean over other pairs cos(f_i, f_j)²

m_ij is 1 where i and j have the same class, and the share of their classes in common where rows have several (Jaccard).
It is the loss of SetFit (Tunstall et al. 2022, arXiv 2209.11055), whose list of pairs grows as the square of the rows
and passes both rows of each through the network. Here every row of a pass meets every other one: B rows are B (B - 1)
pairs for B forward passes, like and unlike ones with equal weight.

Legend: N rows, B batch, D width, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from sartor.data.rows import Kind
from sartor.objective import Objective

if TYPE_CHECKING:
    from torch import Tensor

    from sartor.batch import Batch
    from sartor.network import Network
    from sartor.recipe import Plan
    from sartor.task import Task


@dataclass(frozen=True, kw_only=True)
class CosinePairs(Objective):
    """Move features, not the head, which is solved on them at every look and at the end."""

    predicts: ClassVar[frozenset[Kind]] = frozenset({"category", "boolean", "labels"})

    def __call__(self, net: Network, task: Task, batch: Batch) -> Tensor:
        from torch.nn.functional import normalize

        features = normalize(net(batch, "features"), dim=-1)  # (B, D)
        return apart(features, alike(_membership(task, batch).to(features.device)))

    def plan(self, plan: Plan) -> Plan:
        return replace(plan, head_end="solved")

    def groups(self, task: Task, examples: Batch) -> Tensor:
        """One class a row: the class; several: the rarest that it has; none: a group of their own."""
        known = _membership(task, examples)
        rarity = 1.0 / known.sum(0).clamp_min(1.0)
        found: Tensor = (known * rarity).argmax(1)
        return found.where(known.any(1), known.shape[1])


def alike(known: Tensor) -> Tensor:
    """(B, K) membership -> (B, B) the share of their classes that two rows have in common."""
    both = known @ known.T
    either = known.sum(1)[:, None] + known.sum(1)[None, :] - both
    return both / either.clamp_min(1.0)


def apart(features: Tensor, likeness: Tensor) -> Tensor:
    """(B,) each row's share of the loss, so that their mean is the loss. `features` of unit length."""
    import torch

    others = ~torch.eye(len(features), dtype=torch.bool, device=features.device)
    like, unlike = ((others & kind).to(features.dtype) for kind in (likeness > 0, likeness == 0))
    weights = like / like.sum().clamp_min(1) + unlike / unlike.sum().clamp_min(1)
    found: Tensor = (weights * (features @ features.T - likeness) ** 2).sum(1) * (len(features) / 2)
    return found


def _membership(task: Task, batch: Batch) -> Tensor:
    known = task.membership(batch)
    assert known is not None, "a task with such targets has classes"
    return known
