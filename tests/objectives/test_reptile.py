"""Reptile's gradient against plain descent written out by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from curves import arcs, network, waves
from sartor.batch import Batch
from sartor.engine import inner
from sartor.engine.episodes import batches, opened
from sartor.network import Network
from sartor.objectives.reptile import Reptile
from sartor.tasks.few_shot import FewShot

RATE = 0.1
WAVES = FewShot(number=True, shots=3, queries=3, scale=2.0)
CLASSES = FewShot(ways=3, shots=1, queries=2)


@pytest.fixture(params=["number", "classes"])
def case(request: pytest.FixtureRequest) -> tuple[FewShot, Network, Batch]:
    task, rows, outputs = (WAVES, waves(6, 8), 1) if request.param == "number" else (CLASSES, arcs(5, 6), 3)
    shape = task.episode()
    return task, network(outputs), next(batches(rows, shape, 3 * shape.rows, 0, 0))


def gradient(net: Network, value: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(value, list(net.parameters())))


def test_one_step_on_all_rows_is_the_plain_gradient(case: Any) -> None:
    task, net, update = case
    made = Reptile(inner_steps=1, inner_learning_rate=RATE, inner_batch=task.episode().rows)
    rows = opened(update)
    plain = task.loss(net(rows), rows).mean()
    found = made(net, task, update).mean()
    torch.testing.assert_close(found, plain)
    torch.testing.assert_close(gradient(net, found), gradient(net, plain), rtol=1e-4, atol=1e-5)


def test_more_steps_are_the_way_that_descent_goes(case: Any) -> None:
    task, net, update = case
    shape = task.episode()
    made = Reptile(inner_steps=4, inner_learning_rate=RATE)
    found = gradient(net, made(net, task, update).mean())
    start = {name: w.detach().clone() for name, w in net.named_parameters()}
    moved = {name: torch.zeros_like(w) for name, w in start.items()}
    for i in range(len(update)):
        rows = opened(update.take(torch.tensor([i])))
        net.load_state_dict(start)
        order = turns(shape.ways, shape.shots, shape.queries)
        for step in range(4):
            part = rows.take(order[(step * shape.support + torch.arange(shape.support)) % shape.rows])
            slopes = gradient(net, task.loss(net(part), part).mean())
            with torch.no_grad():
                for w, s in zip(net.parameters(), slopes, strict=True):
                    w -= RATE * s
        for name, w in net.named_parameters():
            moved[name] += (start[name] - w.detach()) / RATE / len(update)
    torch.testing.assert_close(found, list(moved.values()), rtol=1e-3, atol=1e-5)


def turns(ways: int, shots: int, queries: int) -> Tensor:
    """The places of an episode's rows, one of each class in turn: the examples, then the questions."""
    examples = [way * shots + shot for shot in range(shots) for way in range(ways)]
    questions = [ways * shots + way * queries + query for query in range(queries) for way in range(ways)]
    return torch.tensor(examples + questions)


def test_all_at_once_is_one_after_the_other(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    task, net, update = case
    made = Reptile(inner_steps=3, inner_learning_rate=RATE)
    together = made(net, task, update)
    monkeypatch.setattr(inner, "mappable", lambda net, batch: False)
    alone = made(net, task, update)
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(gradient(net, together.mean()), gradient(net, alone.mean()), rtol=1e-4, atol=1e-5)
