"""Inner loops: what a network becomes by learning from an episode's examples, and the gradient through it.

    w_0 = w      w_{k+1} = w_k - rate * d loss(w_k, examples) / d w_k

The gradient of what comes after by w itself contains second derivatives of the loss (Finn et al. 2017, arXiv
1703.03400); taking each inner gradient as a constant leaves them out (their first-order approximation).

Episodes are taken one after the other, or, where rows are plain arrays of one size and the network keeps no running
statistics, all at once: `torch.func` maps one episode's loss over them.

Legend: M episodes, S examples, Q questions, R rows of an episode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from sartor.asking import Shape
from sartor.batch import Batch
from sartor.engine.episodes import LENGTHS, known, opened
from sartor.errors import BadInput
from sartor.network import Network
from sartor.task import Task

Weights = dict[str, Tensor]
Slope = Callable[[Callable[[Weights], Tensor], Weights, bool], Weights]
"""(loss, weights, second) -> its gradient; `second`: with what a second derivative needs."""
OneEpisode = Callable[[Batch, Slope], Tensor]
"""(all rows of an episode, slope) -> its loss."""


@contextmanager
def plain(net: Network, second: bool) -> Iterator[None]:
    """Inside, torch's own functions in 32 bits: the loop's operators stand in for weights that they know, and what an
    inner loop makes of them is unknown. `second`: every operation can be differentiated twice."""
    device = next(net.parameters()).device.type
    with torch._C.DisableTorchFunction(), torch.autocast(device, enabled=False):
        if not second:
            yield
            return
        with net.body.twice():
            yield


def descended(
    loss: Callable[[Weights], Tensor], start: Mapping[str, Tensor], rates: Sequence[float], second: bool, slope: Slope
) -> Weights:
    """The weights after one step of gradient descent for each of `rates`."""
    weights = dict(start)
    for rate in rates:
        slopes = slope(loss, weights, second)
        weights = {name: w - rate * (slopes[name] if second else slopes[name].detach()) for name, w in weights.items()}
    return weights


def by_graph(loss: Callable[[Weights], Tensor], weights: Weights, second: bool) -> Weights:
    """The gradient by torch's graph: goes through operations that have their own backward pass."""
    found = torch.autograd.grad(loss(weights), list(weights.values()), create_graph=second, materialize_grads=True)
    return dict(zip(weights, found, strict=True))


def by_transform(loss: Callable[[Weights], Tensor], weights: Weights, second: bool) -> Weights:
    """The gradient as a function, which can be mapped over episodes."""
    found: Weights = grad(loss)(weights)
    return found


def loss_of(net: Network, task: Task, rows: Batch) -> Callable[[Weights], Tensor]:
    """Weights -> the mean loss of the rows under them."""
    return lambda weights: task.loss(functional_call(net, weights, (rows,)), rows).mean()


def examples_of(task: Task, batch: Batch) -> Batch:
    """The rows that can be learned from before the others are answered: those whose target is known.

    Raises `BadInput` where they are of more classes than the network has outputs."""
    found = known(batch)
    assert found.targets is not None
    outputs = int(task.describe()["num_labels"])
    if len(found) and not found.targets.is_floating_point() and int(found.targets.max()) >= outputs:
        said = f"the examples are of {int(found.targets.max()) + 1} classes and the network tells {outputs} apart"
        raise BadInput("FEWSHOT_WIDTH", said, fix=f"give examples of at most {outputs}, or train with more ways")
    return found


def learned(net: Network, task: Task, batch: Batch, start: Mapping[str, Tensor], rates: Sequence[float]) -> Weights:
    """The weights `start` after learning from the rows of `batch` whose target is known; none where there is none."""
    examples = examples_of(task, batch)
    if not len(examples):
        return {}
    first = {name: w.detach().clone().requires_grad_() for name, w in start.items()}
    with torch.enable_grad(), plain(net, second=False):
        found = descended(loss_of(net, task, examples), first, rates, False, by_graph)
    return {name: w.detach() for name, w in found.items()}


def over_episodes(net: Network, batch: Batch, one: OneEpisode) -> Tensor:
    """(M,) the loss of every episode."""
    if mappable(net, batch):
        return _mapped(batch, one)
    return torch.stack([one(opened(batch.take(torch.tensor([i]))), by_graph) for i in range(len(batch))])


def heads_over_episodes(
    net: Network, task: Task, batch: Batch, shape: Shape, rates: Sequence[float], second: bool
) -> Tensor:
    """(M,) the loss of each episode's questions under the head that learned from its examples; one pass of the body."""
    assert batch.targets is not None
    features = net.body(opened(batch)).float().unflatten(0, tuple(batch.rows.shape))  # (M, R, D)
    head = {name: w for name, w in net.head.named_parameters() if w.requires_grad}

    def loss(found: Tensor, targets: Tensor) -> Callable[[Weights], Tensor]:
        rows = replace(batch, targets=targets)
        return lambda weights: task.loss(functional_call(net.head, weights, (found,)), rows).mean()

    def one(found: Tensor, targets: Tensor) -> Tensor:
        """Of one episode: features (R, D), targets (R,)."""
        told, asked = (slice(0, shape.support), slice(shape.support, None))
        weights = descended(loss(found[told], targets[told]), head, rates, second, by_transform)
        return loss(found[asked], targets[asked])(weights)

    with plain(net, second=False):
        losses: Tensor = vmap(one)(features, batch.targets.to(features.device))
    return losses


def mappable(net: nn.Module, batch: Batch) -> bool:
    """Whether all episodes can be taken at once: no ragged rows, nothing that a pass writes down."""
    return not batch.sequences and next(net.buffers(), None) is None


def _mapped(batch: Batch, one: OneEpisode) -> Tensor:
    assert batch.targets is not None
    dense = {name: values for name, values in batch.dense.items() if name != LENGTHS}
    count = batch.targets.shape[1]

    def loss(targets: Tensor, *arrays: Tensor) -> Tensor:
        """Of one episode: targets (R,), each array (R, ...)."""
        rows = Batch(
            rows=torch.arange(count),
            offsets=torch.zeros(count + 1, dtype=torch.long),
            dense=dict(zip(dense, arrays, strict=True)),
            targets=targets,
        )
        return one(rows, by_transform)

    found: Tensor = vmap(loss, randomness="different")(batch.targets, *dense.values())
    return found
