"""Network: body + head, with the method applied; put together in one place, the same one that loading uses."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from sartor.backbone import Backbone
from sartor.batch import Batch
from sartor.body import Body
from sartor.method import Method
from sartor.objective import Objective
from sartor.task import Task


class Head(nn.Module):
    """A head of more than the one linear layer that the transformers layout has a place for.

    layer   the name, in the head, of that layer
    """

    layer: ClassVar[str]

    @abstractmethod
    def keep(self, folder: Path) -> nn.Module:
        """The layer for that place; the rest is written into `folder`."""

    @abstractmethod
    def take_up(self, layer: nn.Module, folder: Path) -> None:
        """Become what `keep` left: its layer, and its files in `folder`."""


class Beside(nn.Module):
    """Numbers that an objective learns besides a network: (K,) `values`, at a peak rate of their own."""

    def __init__(self, values: Tensor, learning_rate: float) -> None:
        super().__init__()
        self.values = nn.Parameter(values)
        self.learning_rate = learning_rate

    def forward(self, places: Tensor) -> Tensor:
        """(B,) the value at each of `places` (B,)."""
        found: Tensor = self.values[places]
        return found


class Network(nn.Module):
    """What is trained: features by the body, outputs by the head; and `beside`, where the objective learns too.

    anatomy  names in the body's state before a method inserted anything
    steps    what the method was applied for
    """

    def __init__(self, body: Body, head: nn.Module, steps: int = 0, anatomy: frozenset[str] | None = None) -> None:
        super().__init__()
        self.body = body
        self.head = head
        self.anatomy = frozenset(body.state_dict()) if anatomy is None else anatomy
        self.steps = steps
        self.beside: Beside | None = None

    def forward(self, batch: Batch, asked: Literal["outputs", "features"] = "outputs") -> Tensor:
        """(U, C) outputs, or the (U, D) features that they are made of; U is B where the head reads one a row."""
        features: Tensor = self.body(batch).float()
        if asked == "features":
            return features
        with torch.autocast(features.device.type, enabled=False):  # the last product decides answers: always 32 bits
            outputs: Tensor = self.head(features)
        return outputs

    def trainable(self) -> dict[str, nn.Parameter]:
        """Name -> weight, for the weights that move."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def inserted(self) -> set[str]:
        """Names in the body's state that its own anatomy does not have; none are left once a method has merged."""
        return set(self.body.state_dict()) - self.anatomy

    def changing(self) -> dict[str, Tensor]:
        """Name -> tensor, for all that training may change: the weights that move, and the buffers that are saved."""
        state = self.state_dict(keep_vars=True)
        buffers = {name: b for name, b in state.items() if not isinstance(b, nn.Parameter)}
        return {**self.trainable(), **buffers}


def assemble(
    task: Task,
    backbone: Backbone,
    method: Method,
    *,
    steps: int,
    seed: int,
    objective: Objective | None = None,
    dropout: float | None = None,
    fresh: bool = False,
) -> Network:
    """Body + head + method. Weights that are drawn (the head, a fresh body, adapters) depend on `seed` alone.

    `dropout` is the body's; what a method inserts keeps its own.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = backbone.build(task.layout, fresh)
        for module in body.modules():
            if dropout is not None and isinstance(module, nn.Dropout):
                module.p = dropout
        net = joined(body, task, method, steps)
        net.beside = None if objective is None else objective.beside(task)
    return net.eval()


def joined(body: Body, task: Task, method: Method, steps: int) -> Network:
    """A body with the task's head and the method applied, for as many steps."""
    anatomy = frozenset(body.state_dict())
    method.read(body)
    net = Network(body, task.head(body), steps, anatomy)
    method.apply(net, steps)
    return net


def laid_down(head: nn.Module, folder: Path) -> nn.Module:
    """The layer of a head that belongs in the transformers layout; what does not is written into `folder`."""
    return head.keep(folder) if isinstance(head, Head) else head


def described(task: Task, layer: nn.Module) -> dict[str, Any]:
    """What a transformers configuration says of the outputs; where a task has no names for them, how many they are."""
    return ({"num_labels": layer.out_features} if isinstance(layer, nn.Linear) else {}) | task.describe()


def taken_up(task: Task, body: Body, folder: Path) -> nn.Module:
    """The head that `laid_down` left."""
    head = task.head(body)
    if not isinstance(head, Head):
        return body.heads["classifier"]
    head.take_up(body.heads["classifier"], folder)
    return head
