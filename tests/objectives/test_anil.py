"""ANIL's gradient against the head's steps written out by hand; the features stay what they are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from curves import arcs, network, waves
from sartor.batch import Batch
from sartor.engine.episodes import batches, opened, parted
from sartor.network import Network
from sartor.objectives.anil import Anil
from sartor.tasks.few_shot import FewShot

STEPS, RATE = 3, 0.2
WAVES = FewShot(number=True, shots=3, queries=3, scale=2.0)
CLASSES = FewShot(ways=3, shots=2, queries=2)


@pytest.fixture(params=["number", "classes"])
def case(request: pytest.FixtureRequest) -> tuple[FewShot, Network, Batch]:
    task, rows, outputs = (WAVES, waves(6, 8), 1) if request.param == "number" else (CLASSES, arcs(5, 6), 3)
    shape = task.episode()
    return task, network(outputs), next(batches(rows, shape, 3 * shape.rows, 0, 0))


def by_hand(net: Network, task: FewShot, update: Batch, second: bool) -> Tensor:
    losses = []
    for i in range(len(update)):
        examples, questions = parted(opened(update.take(torch.tensor([i]))), task.episode())
        weight, bias = net.head.weight, net.head.bias
        assert isinstance(weight, Tensor) and isinstance(bias, Tensor)
        for _ in range(STEPS):
            value = task.loss(net.body(examples) @ weight.T + bias, examples).mean()
            slopes = torch.autograd.grad(value, [weight, bias], create_graph=second, retain_graph=True)
            weight, bias = weight - RATE * slopes[0], bias - RATE * slopes[1]
        losses.append(task.loss(net.body(questions) @ weight.T + bias, questions).mean())
    return torch.stack(losses).mean()


@pytest.mark.parametrize("first_order", [False, True])
def test_its_gradient_is_the_one_by_hand(case: Any, first_order: bool) -> None:
    task, net, update = case
    made = Anil(inner_steps=STEPS, inner_learning_rate=RATE, first_order=first_order)
    found, expected = made(net, task, update).mean(), by_hand(net, task, update, second=not first_order)
    torch.testing.assert_close(found, expected)
    slopes = [torch.autograd.grad(value, list(net.parameters())) for value in (found, expected)]
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-3, atol=1e-5)


def test_only_the_head_learns_from_examples(case: Any) -> None:
    task, net, update = case
    examples, questions = parted(opened(update.take(torch.tensor([0]))), task.episode())
    learned = Anil(inner_steps=STEPS, inner_learning_rate=RATE).adapted(net, task, examples)
    assert set(learned) == {"head.weight", "head.bias"}
    said = net.body(questions) @ learned["head.weight"].T + learned["head.bias"]
    one = Anil(inner_steps=STEPS, inner_learning_rate=RATE)(net, task, update.take(torch.tensor([0])))
    torch.testing.assert_close(task.loss(said, questions).mean(), one[0])
