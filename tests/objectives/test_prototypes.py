"""Prototypes against distances to means, counted one by one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from curves import arcs, network
from sartor.batch import Batch
from sartor.engine.episodes import batches, opened, parted
from sartor.engine.features import outputs
from sartor.errors import BadInput
from sartor.network import Network
from sartor.objectives.prototypes import Prototypes
from sartor.tasks.few_shot import FewShot

TASK = FewShot(ways=3, shots=2, queries=4)


def update(task: FewShot = TASK, made: Prototypes | None = None) -> Batch:
    shape = (made or Prototypes()).shape(task)
    assert shape is not None
    return next(batches(arcs(8, 8), shape, 3 * shape.rows, 0, 0))


def by_distances(net: Network, examples: Batch, asked: Batch, temperature: float) -> Tensor:
    """(Q, W) log-probabilities: minus the squared distance to each class's mean, normalised."""
    assert examples.targets is not None
    found, near = net.body(asked), net.body(examples)
    centres = [near[examples.targets == k].mean(0) for k in range(int(examples.targets.max()) + 1)]
    far = torch.stack([torch.stack([((f - c) ** 2).sum() for c in centres]) for f in found])
    return torch.log_softmax(-far / temperature, -1)


@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_its_loss_is_that_of_the_distances(temperature: float) -> None:
    net, batch, made = network(3), update(), Prototypes(temperature=temperature)
    for i, found in enumerate(made(net, TASK, batch)):
        examples, questions = parted(opened(batch.take(torch.tensor([i]))), TASK.episode())
        assert questions.targets is not None
        said = by_distances(net, examples, questions, temperature)
        torch.testing.assert_close(found, -said.gather(1, questions.targets[:, None]).mean(), rtol=1e-4, atol=1e-5)


def test_what_it_learns_is_a_head_that_says_the_same() -> None:
    net = network(3)
    examples, questions = parted(opened(update().take(torch.tensor([1]))), TASK.episode())
    learned = Prototypes(temperature=0.5).adapted(net, TASK, examples)
    said = torch.log_softmax(outputs(net, questions, learned=learned), -1)
    torch.testing.assert_close(said, by_distances(net, examples, questions, 0.5), rtol=1e-4, atol=1e-4)


def test_it_tells_more_classes_apart_than_it_was_asked_in_training() -> None:
    net, rows = network(3), arcs(7, 3)
    learned = Prototypes().adapted(net, TASK, rows)
    assert learned["head.weight"].shape == (7, net.body.width)
    assert outputs(net, rows, learned=learned).shape == (21, 7)


def test_training_episodes_may_have_more_ways() -> None:
    made = Prototypes(ways=6)
    batch = update(made=made)
    assert batch.rows.shape == (3, 6 * 6)
    assert made(network(3), TASK, batch).shape == (3,)
    assert TASK.episode().ways == 3


def test_numbers_have_no_prototypes() -> None:
    with pytest.raises(BadInput) as raised:
        Prototypes().suits(FewShot(number=True))
    said = (
        "error[OBJECTIVE_TASK]: prototypes tell classes apart, and the target is a number. "
        "Fix: use --objective maml, anil or reptile."
    )
    assert str(raised.value) == said


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ways": 1}, "error[VALUE_RANGE]: prototypes.ways is 1. Fix: give at least 2."),
        ({"temperature": 0.0}, "error[VALUE_RANGE]: prototypes.temperature is 0. Fix: give more than 0."),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, float], said: str) -> None:
    with pytest.raises(BadInput) as raised:
        Prototypes(**settings)  # type: ignore[arg-type]
    assert str(raised.value) == said
