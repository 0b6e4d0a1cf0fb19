"""Worded: what tasks share whose answers are texts, said word by word by the network's own output layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sartor.errors import BadInput
from sartor.task import Task

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sartor.batch import Batch
    from sartor.body import Body
    from sartor.network import Network


@dataclass(frozen=True, kw_only=True)
class Worded(Task):
    """A text for an answer. Batches hold `unit`, by which a row's words are divided."""

    label_smoothing: float = 0.0
    """Share of the right word that training gives to all others."""

    def head(self, body: Body) -> nn.Module:
        return body.heads["classifier"]

    def solvable(self, examples: Batch) -> Batch | None:
        return None

    def solve(self, features: Tensor, batch: Batch, head: nn.Module, seed: int) -> dict[str, Any]:
        fix = "use a method that moves weights inside the body: full, lora, ia3"
        raise BadInput("HEAD_INSIDE", "what says words is a part of the network, with no head of its own", fix=fix)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        from sartor.pretrained.speaking import losses

        assert batch.targets is not None
        each = losses(outputs, batch.targets.to(outputs.device), self.label_smoothing)
        found: Tensor = batch.summed(each) / batch.dense["unit"].to(each.device)
        return found

    def say(self, net: Network, batch: Batch) -> Tensor:
        """(U, 2) what each right word costs, in nats, and the number of its row."""
        from sartor.pretrained.speaking import costs

        return costs(net, batch, getattr(getattr(net, "body", None), "unknown", None))
