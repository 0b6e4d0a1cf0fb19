"""MAML's gradient against sums written out by hand, by differences in 64 bits, and what it is for: sine waves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from curves import arcs, network, waves
from sartor.batch import Batch
from sartor.engine import inner
from sartor.engine.episodes import batches, opened, parted
from sartor.errors import BadInput
from sartor.network import Network
from sartor.objectives.maml import Maml
from sartor.tasks.few_shot import FewShot
from text_samples import families
from tiny_runs import begun, recipe

WAVES = FewShot(number=True, shots=3, queries=4, scale=2.0)
CLASSES = FewShot(ways=3, shots=2, queries=2)
STEPS, RATE = 2, 0.3


def wide(net: Network, update: Batch) -> tuple[Network, Batch]:
    """Both in 64 bits. The features stay so too: `Network.forward` rounds them, which differences would see."""
    dense = {name: v.double() if v.is_floating_point() else v for name, v in update.dense.items()}
    assert update.targets is not None
    targets = update.targets.double() if update.targets.is_floating_point() else update.targets
    return net.double(), replace(update, dense=dense, targets=targets)


@pytest.fixture(params=["number", "classes"])
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[FewShot, Network, Batch]:
    monkeypatch.setattr(Network, "forward", lambda self, batch: self.head(self.body(batch)))
    task, rows, outputs = (
        (WAVES, waves(6, 8), 1) if request.param == "number" else (CLASSES, arcs(5, 6), CLASSES.episode().ways)
    )
    shape = task.episode()
    return task, *wide(network(outputs), next(batches(rows, shape, 3 * shape.rows, 0, 0)))


def by_hand(net: Network, task: FewShot, update: Batch, second: bool) -> Tensor:
    """The mean loss of the questions, every inner step written with torch.autograd.grad on a copy of the layers."""
    names = list(dict(net.named_parameters()))
    losses = []
    for i in range(len(update)):
        examples, questions = parted(opened(update.take(torch.tensor([i]))), task.episode())
        weights = list(net.parameters())
        for _ in range(STEPS):
            slopes = torch.autograd.grad(loss(weights, names, task, examples), weights, create_graph=second)
            weights = [w - RATE * s for w, s in zip(weights, slopes, strict=True)]
        losses.append(loss(weights, names, task, questions))
    return torch.stack(losses).mean()


def loss(weights: list[Tensor], names: list[str], task: FewShot, rows: Batch) -> Tensor:
    """The network and its loss in plain products; nothing of the product's own code."""
    w = dict(zip(names, weights, strict=True))
    x = rows.dense["x"]
    hidden = torch.tanh(x @ w["body.layers.0.weight"].T + w["body.layers.0.bias"])
    hidden = torch.tanh(hidden @ w["body.layers.2.weight"].T + w["body.layers.2.bias"])
    outputs = hidden @ w["head.weight"].T + w["head.bias"]
    assert rows.targets is not None
    if task.number:
        return (((outputs[:, 0] - rows.targets) / task.scale) ** 2).mean()
    chosen = outputs.gather(1, rows.targets[:, None])[:, 0]
    return (torch.logsumexp(outputs, 1) - chosen).mean()


def gradient(net: Network, value: Tensor) -> dict[str, Tensor]:
    names = list(dict(net.named_parameters()))
    return dict(zip(names, torch.autograd.grad(value, list(net.parameters())), strict=True))


@pytest.mark.parametrize("first_order", [False, True])
def test_its_gradient_is_the_one_by_hand(case: Any, first_order: bool) -> None:
    task, net, update = case
    made = Maml(inner_steps=STEPS, inner_learning_rate=RATE, first_order=first_order)
    found = made(net, task, update).mean()
    expected = by_hand(net, task, update, second=not first_order)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient(net, found), gradient(net, expected), rtol=1e-9, atol=1e-11)


def test_its_gradient_is_the_one_by_differences(case: Any) -> None:
    task, net, update = case
    made = Maml(inner_steps=STEPS, inner_learning_rate=RATE)
    found = gradient(net, made(net, task, update).mean())
    first = gradient(net, replace(made, first_order=True)(net, task, update).mean())
    draw = torch.Generator().manual_seed(0)
    for name, weight in net.named_parameters():
        place = int(torch.randint(weight.numel(), (1,), generator=draw))
        slope = difference(lambda: made(net, task, update).mean(), weight, place)
        assert float(found[name].flatten()[place]) == pytest.approx(slope, rel=1e-5, abs=1e-8)
    assert not torch.allclose(found["body.layers.0.weight"], first["body.layers.0.weight"], rtol=1e-3)


def difference(value: Callable[[], Tensor], weight: Tensor, place: int, step: float = 1e-5) -> float:
    """(f(w + h) - f(w - h)) / 2 h"""
    flat = weight.detach().view(-1)
    before, found = float(flat[place]), []
    for sign in (1, -1):
        flat[place] = before + sign * step
        found.append(float(value().detach()))
    flat[place] = before
    return (found[0] - found[1]) / (2 * step)


@pytest.mark.parametrize("first_order", [False, True])
def test_all_at_once_is_one_after_the_other(case: Any, first_order: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    task, net, update = case
    made = Maml(inner_steps=STEPS, inner_learning_rate=RATE, first_order=first_order)
    assert inner.mappable(net, update)
    together = made(net, task, update)
    monkeypatch.setattr(inner, "mappable", lambda net, batch: False)
    alone = made(net, task, update)
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient(net, together.mean()), gradient(net, alone.mean()), rtol=1e-9, atol=1e-12)


def test_before_answering_it_takes_its_steps_on_the_examples(case: Any) -> None:
    task, net, update = case
    examples, _ = parted(opened(update.take(torch.tensor([0]))), task.episode())
    learned = Maml(inner_steps=1, inner_learning_rate=RATE, answer_steps=STEPS).adapted(net, task, examples)
    weights = list(net.parameters())
    for _ in range(STEPS):
        slopes = torch.autograd.grad(loss(weights, list(learned), task, examples), weights)
        weights = [(w - RATE * s).detach().requires_grad_() for w, s in zip(weights, slopes, strict=True)]
    torch.testing.assert_close(list(learned.values()), [w.detach() for w in weights], rtol=1e-9, atol=1e-12)
    assert not any(w.requires_grad for w in learned.values())


def test_through_a_text_encoder_too(tiny_encoder: Path) -> None:
    """Packed rows and fused attention have no second derivative; without it, along the gradient, 32 bits differ."""
    rows = families(120)
    task = FewShot(ways=3, shots=2, queries=2).learn(rows)
    made = recipe(tiny_encoder, rows, objective="maml:inner_steps=2,inner_learning_rate=0.1", task=task, max_steps=1)
    run, encoded = begun(made, rows)
    torch.nn.init.normal_(run.net.head.weight, std=0.5, generator=torch.Generator().manual_seed(1))
    update = next(batches(encoded, task.episode(), 2 * task.episode().rows, 0, 0))
    slopes = {}
    for objective in (made.objective, replace(made.objective, first_order=True)):
        run.net.zero_grad()
        objective(run.net, task, update).mean().backward()
        slopes[objective] = {name: w.grad.clone() for name, w in run.net.trainable().items() if w.grad is not None}
    exact, first = slopes.values()
    length = sum(float((g**2).sum()) for g in exact.values()) ** 0.5
    way = {name: g / length for name, g in exact.items()}
    found = along(lambda: float(made.objective(run.net, task, update).detach().mean()), run.net, way)
    assert found == pytest.approx(length, rel=0.02)
    assert sum(float((first[name] * g).sum()) for name, g in way.items()) != pytest.approx(length, rel=0.02)


def along(value: Callable[[], float], net: Network, way: dict[str, Tensor], step: float = 2e-3) -> float:
    """The slope of a value along a direction of all weights."""
    found = []
    for sign in (1, -2):
        with torch.no_grad():
            for name, direction in way.items():
                net.get_parameter(name).add_(direction, alpha=sign * step)
        found.append(value())
    return (found[0] - found[1]) / (2 * step)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"inner_steps": 0}, "error[VALUE_RANGE]: maml.inner_steps is 0. Fix: give at least 1."),
        ({"answer_steps": 0}, "error[VALUE_RANGE]: maml.answer_steps is 0. Fix: give at least 1."),
        (
            {"inner_learning_rate": 0.0},
            "error[VALUE_RANGE]: maml.inner_learning_rate is 0. Fix: give more than 0.",
        ),
    ],
)
def test_settings_without_a_step_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput) as raised:
        Maml(**settings)
    assert str(raised.value) == said
