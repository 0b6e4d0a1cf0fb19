"""Recovering: a network that was cut learns again what the whole one said, and the labels (Hinton et al. 2015,
arXiv 1503.02531; DistilBERT, Sanh et al. 2019, arXiv 1910.01108)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from sartor import part as parts
from sartor.batch import Batch
from sartor.engine.fit import begin, fit
from sartor.method import Method
from sartor.network import Network
from sartor.objective import Objective
from sartor.recipe import Plan, Recipe

TAUGHT = "taught"
"""The name, among a batch's dense arrays, of what a teacher said: see `by_row`."""


def by_row(examples: Batch, said: Tensor) -> Tensor:
    """(U, C) outputs -> (N, M, C), M the most vectors that a head reads of one row; zeros behind fewer."""
    if examples.counts is None:
        return said[:, None]
    there = torch.arange(int(examples.counts.max()))[None] < examples.counts[:, None]
    out = said.new_zeros(*there.shape, said.shape[-1])
    out[there] = said
    return out


def by_unit(batch: Batch) -> Tensor:
    """(U, C) what the teacher said of the rows of a batch."""
    taught = batch.dense[TAUGHT]
    if batch.counts is None:
        return taught[:, 0]
    return taught[torch.arange(taught.shape[1])[None] < batch.counts[:, None]]


def recover(
    net: Network,
    recipe: Recipe,
    examples: Batch,
    said: Tensor,
    epochs: float,
    learning_rate: float,
    after: Callable[[], None] = lambda: None,
) -> list[float]:
    """Train every weight for `epochs` against what the whole network said (U, C) and the labels; `after` is called
    behind every update. The loss of every update; empty where `epochs` is 0."""
    if not epochs:
        return []
    plan = Plan(learning_rate=learning_rate, num_train_epochs=epochs, min_steps=0, seed=recipe.plan.seed)
    plan = replace(plan, precision=recipe.plan.precision)
    aim = cast(Objective, parts.part("objectives", "distillation"))
    made = replace(recipe, method=cast(Method, parts.part("methods", "full")), objective=aim, plan=plan, compress=())
    taught = replace(examples, dense={**examples.dense, TAUGHT: by_row(examples, said)})
    net.requires_grad_(True)
    losses = []
    try:
        with _as_they_are(net, examples):
            for step in fit(net, taught, made, begin(net, plan)):
                after()
                losses.append(step.loss)
    finally:
        net.requires_grad_(False)
    return losses


@contextmanager
def _as_they_are(net: Network, examples: Batch) -> Iterator[None]:
    """Inside, rows of several vectors are not augmented: what was said is of each of them as they are."""
    if examples.counts is None:
        yield
        return
    vars(net.body)["augment"] = lambda rows, seed: rows
    try:
        yield
    finally:
        del vars(net.body)["augment"]
