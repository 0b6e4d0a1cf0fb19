"""Supervised contrastive learning: classes draw together, and apart (Khosla et al. 2020, arXiv 2004.11362).

    s_ij = cos(f_i, f_j) / τ        loss_i = − Σ_j w_ij log( e^s_ij / Σ_{k ≠ i} e^s_ik )        w_ij = m_ij / Σ_k m_ik

m_ij is 1 where i and j have the same class, and the share of their classes in common where rows have several (Jaccard).
Every row of a pass meets every other one: B rows are B (B - 1) pairs for B forward passes. SetFit (Tunstall et al.
2022, arXiv 2209.11055) lists pairs instead and passes both rows of each through the network.

Legend: N rows, B batch, D width, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from sartor.data.rows import Kind
from sartor.errors import BadInput
from sartor.objective import Objective

if TYPE_CHECKING:
    from torch import Tensor

    from sartor.batch import Batch
    from sartor.network import Network
    from sartor.recipe import Plan
    from sartor.task import Task


@dataclass(frozen=True, kw_only=True)
class SupervisedContrastive(Objective):
    """Move features, not the head, which is solved on them at every look and at the end."""

    predicts: ClassVar[frozenset[Kind]] = frozenset({"category", "boolean", "labels"})

    temperature: float = 0.1
    """τ: how much the nearest rows count for more."""

    def __post_init__(self) -> None:
        if not 0 < self.temperature <= 10:
            fix = "give one above 0 and at most 10"
            raise BadInput("VALUE_RANGE", f"supervised_contrastive.temperature is {self.temperature:g}", fix=fix)

    def __call__(self, net: Network, task: Task, batch: Batch) -> Tensor:
        from torch.nn.functional import normalize

        features = normalize(net(batch, "features"), dim=-1)  # (B, D)
        return attraction(features, alike(_membership(task, batch).to(features.device)), self.temperature)

    def plan(self, plan: Plan) -> Plan:
        return replace(plan, head_end="solved")

    def groups(self, task: Task, examples: Batch) -> Tensor:
        """One class a row: the class; several: the rarest that it has; none: a group of their own."""
        known = _membership(task, examples)
        rarity = 1.0 / known.sum(0).clamp_min(1.0)
        found: Tensor = (known * rarity).argmax(1)
        return found.where(known.any(1), known.shape[1])


def alike(known: Tensor) -> Tensor:
    """(B, K) membership -> (B, B) the share of their classes that two rows have in common; a row is not like itself."""
    both = known @ known.T
    either = known.sum(1)[:, None] + known.sum(1)[None, :] - both
    return (both / either.clamp_min(1.0)).fill_diagonal_(0.0)


def attraction(features: Tensor, likeness: Tensor, temperature: float) -> Tensor:
    """(B,) the loss of every row among the others; 0 for a row that is like none of them. `features` of unit length."""
    import torch

    itself = torch.eye(len(features), dtype=torch.bool, device=features.device)
    scores = (features @ features.T / temperature).masked_fill(itself, -torch.inf)
    gained = scores.log_softmax(-1).masked_fill(itself, 0.0)
    total = likeness.sum(1)
    found: Tensor = -(likeness * gained).sum(1) / total.clamp_min(1e-9)
    return found


def _membership(task: Task, batch: Batch) -> Tensor:
    known = task.membership(batch)
    assert known is not None, "a task with such targets has classes"
    return known
