"""train: one run from its head start to its best weights, looking at held-out rows on the way."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sartor.batch import Batch
from sartor.data.rows import Rows
from sartor.engine.features import features, outputs
from sartor.engine.fit import State, Step, begin, fit
from sartor.engine.precision import resolve
from sartor.network import Network, assemble
from sartor.predictions import LOWER_IS_BETTER, Predictions, Scores
from sartor.recipe import Recipe


@dataclass(frozen=True)
class Look:
    """What a look at held-out rows showed after some steps."""

    step: int
    seconds: float
    scores: Scores
    predictions: Predictions


@dataclass
class Run:
    """One recipe under way: its network, its state, its looks, and the best weights seen."""

    recipe: Recipe
    net: Network
    state: State | None
    seconds: float = 0.0
    start: dict[str, Any] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)
    kept: dict[str, Tensor] = field(default_factory=dict)

    @property
    def best(self) -> Look:
        """The look with the least held-out loss."""
        return min(self.looks, key=loss_of)

    @property
    def done(self) -> int:
        return 0 if self.state is None else self.state.step


def prepare(recipe: Recipe, examples: Batch, frozen: Tensor | None = None) -> Run:
    """A run at its start: assembled, its head solved on the frozen features (N, D) where the plan says so."""
    recipe = recipe.settled()
    plan = recipe.plan
    steps = plan.steps(len(examples))
    net = assemble(recipe.task, recipe.backbone, recipe.method, steps=steps, seed=plan.seed)
    if plan.dropout is not None:
        _set_dropout(net, plan.dropout)
    start: dict[str, Any] = {}
    if plan.head_start == "solved":
        seen = features(net.body, examples, resolve(plan.precision)) if frozen is None else frozen
        start = recipe.task.solve(seen, examples, net.head, plan.seed)
    return Run(recipe, net, begin(net, plan) if steps else None, start=start)


def advance(run: Run, examples: Batch, until: int) -> Iterator[Step]:
    """Updates up to step `until`, or to the plan's end."""
    if run.state is None:
        return
    for step in fit(run.net, examples, run.recipe, run.state):
        run.seconds += step.seconds
        yield step
        if step.number >= until:
            return


def look(run: Run, held: Batch, rows: Rows) -> Look:
    """Answers and scores on held-out rows; the weights are kept where they are the best so far."""
    said = outputs(run.net, held, resolve(run.recipe.plan.precision))
    predictions = run.recipe.task.answer(said, rows)
    seen = Look(run.done, run.seconds, run.recipe.task.score(predictions, rows), predictions)
    if not run.looks or loss_of(seen) < loss_of(run.best):
        run.kept = {name: w.detach().clone() for name, w in run.net.trainable().items()}
    run.looks.append(seen)
    return seen


def loss_of(seen: Look) -> float:
    """The held-out loss that runs are stopped and chosen by; infinite where it is not a number."""
    value = float(seen.scores.items[seen.scores.evidence].mean())
    signed = value if seen.scores.evidence in LOWER_IS_BETTER else -value
    return signed if math.isfinite(signed) else math.inf


def tired(run: Run) -> bool:
    """Whether the plan's patience is used up."""
    patience = run.recipe.plan.early_stopping_patience
    if patience is None or len(run.looks) <= patience:
        return False
    best = run.looks.index(run.best)
    return len(run.looks) - 1 - best >= patience


def restore_best(run: Run) -> None:
    """The weights of the best look, back in the network."""
    if run.kept:
        with torch.no_grad():
            for name, weight in run.net.trainable().items():
                weight.copy_(run.kept[name])


def train(run: Run, examples: Batch, held: Batch, rows: Rows) -> Iterator[Step | Look]:
    """The whole run: a look before the first step, five on the way or every `eval_steps`, the best weights at the end."""
    plan = run.recipe.plan
    steps = plan.steps(len(examples))
    every = plan.eval_steps or max(1, math.ceil(steps / 5))
    yield look(run, held, rows)
    while run.done < steps and not tired(run):
        yield from advance(run, examples, min(run.done + every, steps))
        yield look(run, held, rows)
    restore_best(run)


def _set_dropout(net: Network, share: float) -> None:
    for module in net.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = share
