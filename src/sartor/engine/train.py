"""train: one run from its head start to its best weights, looking at held-out rows on the way."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sartor.batch import Batch
from sartor.body import Body
from sartor.data.rows import Rows
from sartor.engine import launch
from sartor.engine.devices import join, sharded, whole_state
from sartor.engine.features import cuts, features, outputs
from sartor.engine.fit import State, Step, begin, fit
from sartor.engine.precision import resolve
from sartor.engine.prefix import PrefixCache
from sartor.network import Network, assemble
from sartor.predictions import LOWER_IS_BETTER, Predictions, Scores
from sartor.recipe import Recipe

RECENT = 3
"""h of the average: about the last quarter of the steps counts."""


GLANCE = 100
"""Questions of a look, where many can be asked of the same rows."""


@dataclass(frozen=True)
class Look:
    """What a look at held-out rows showed after some steps."""

    step: int
    seconds: float
    scores: Scores
    predictions: Predictions


@dataclass
class Run:
    """One recipe under way: its network, its state, its held-out losses, and the best weights seen.

    losses   (step, held-out loss) of every look so far; what early stopping and the choice of weights rest on
    last     the latest look
    average  the mean of the weights so far, recent ones counting more; `averaged` of them went in
    depth    blocks from the input on that do not move: their work is kept in `prefixes`; `behind` has the rows so far
    """

    recipe: Recipe
    net: Network
    state: State | None
    seconds: float = 0.0
    start: dict[str, Any] = field(default_factory=dict)
    losses: list[tuple[int, float]] = field(default_factory=list)
    last: Look | None = None
    kept: dict[str, Tensor] = field(default_factory=dict)
    average: dict[str, Tensor] = field(default_factory=dict)
    averaged: int = 0
    diverged: bool = False
    depth: int = 0
    prefixes: PrefixCache = field(default_factory=PrefixCache)
    behind: dict[int, tuple[Batch, Batch]] = field(default_factory=dict)

    @property
    def done(self) -> int:
        return 0 if self.state is None else self.state.step


@dataclass(frozen=True)
class Start:
    """A head at its optimum on frozen features, and what was chosen on the way; every method begins here."""

    head: dict[str, Tensor]
    chosen: dict[str, Any]
    seconds: float


def solve(recipe: Recipe, examples: Batch, frozen: Tensor, width_of: Body) -> Start:
    """Fit the task's head on frozen features (N, D) of the examples."""
    began = time.perf_counter()
    head = recipe.task.head(width_of)
    chosen = recipe.task.solve(frozen, examples, head, recipe.plan.seed)
    return Start(head.state_dict(), chosen, time.perf_counter() - began)


def prepare(recipe: Recipe, examples: Batch, start: Start | None = None, prefixes: PrefixCache | None = None) -> Run:
    """A run at its start: assembled, its head solved on frozen features where the plan says so, or `start`'s.

    What its frozen blocks make of the rows is kept in `prefixes`, which other runs may share."""
    recipe = recipe.settled()
    plan = recipe.plan
    crew, precision = join(), resolve(plan.precision)
    steps = plan.steps(len(examples), crew.world)
    net = _assembled(recipe, steps)
    recipe.objective.fits(net)
    net.to(crew.device)
    if plan.head_start == "solved":
        if start is None:
            frozen = crew.answers(examples, cuts(examples), lambda part: features(net.body, part, precision))
            start = solve(recipe, examples, frozen, net.body)
        net.head.load_state_dict(start.head)
    crew.place(net, plan)
    chosen = start.chosen if start is not None else {}
    keeps = plan.prefix_cache == "auto" and crew.world == 1 and steps > 0
    depth = min(net.body.depth(), len(net.body.blocks()) - 1) if keeps else 0
    state = begin(net, plan) if steps else None
    return Run(recipe, net, state, start=chosen, depth=depth, prefixes=prefixes or PrefixCache())


def read(run: Run, examples: Batch) -> Batch:
    """The examples as the run reads them: behind its frozen blocks, whose work is done at the first call."""
    if not run.depth:
        return examples
    if id(examples) not in run.behind:
        precision = resolve(run.recipe.plan.precision)
        found = run.prefixes.behind(run.net.body, examples, run.depth, precision)
        run.behind[id(examples)] = (examples, found)  # the examples too: an id is theirs only while they are there
    return run.behind[id(examples)][1]


def advance(run: Run, examples: Batch, until: int) -> Iterator[Step]:
    """Updates up to step `until`, or to the plan's end, or until the run has diverged."""
    if run.state is None or run.done >= until:
        return
    began = time.perf_counter()
    examples = read(run, examples)
    run.seconds += time.perf_counter() - began
    for step in fit(run.net, examples, run.recipe, run.state):
        run.seconds += step.seconds
        run.diverged = run.state.faults.diverged(run.recipe.plan.nonfinite)
        if run.diverged or step.number >= until:
            run.state.optimizer.settle()
            yield step
            return
        yield step


def look(run: Run, held: Batch, rows: Rows) -> Look:
    """Answers and scores on held-out rows; the weights are kept where they are the best so far."""
    recipe, precision = run.recipe, resolve(run.recipe.plan.precision)
    whole = read(run, held)

    def answer(asked: Rows) -> Predictions:
        batch = whole if asked is rows else recipe.task.encode(asked, run.net.body)
        learned = recipe.objective.adapted(run.net, recipe.task, batch)
        said = join().answers(batch, cuts(batch), lambda part: outputs(run.net, part, precision, learned))
        return recipe.task.answer(said, asked)

    predictions = recipe.task.asking.ask(recipe.task, answer, rows, GLANCE)
    return note(run, Look(run.done, run.seconds, run.recipe.task.score(predictions, rows), predictions))


def note(run: Run, seen: Look) -> Look:
    """Take a look into account: its own, or that of another run whose network says the same (a common start)."""
    run.last, loss = seen, loss_of(seen)
    if not run.losses or loss < min(known for _, known in run.losses):
        run.kept = {name: w.detach().clone() for name, w in run.net.trainable().items()}
    run.losses.append((run.done, loss))
    return seen


@torch.no_grad()
def accumulate(run: Run) -> None:
    """Take the weights as they stand into their average, the t-th with share (h + 1) / (t + h): polynomial decay
    (Shamir and Zhang 2013, arXiv 1212.1824). It shows before the end what cooling down would give."""
    if run.state is not None:
        run.state.optimizer.settle(unread=False)
    run.averaged += 1
    share = (RECENT + 1) / (run.averaged + RECENT)
    for name, weight in run.net.trainable().items():
        if name in run.average:
            run.average[name].lerp_(weight, share)
        else:
            run.average[name] = weight.detach().clone()


@contextmanager
def averaged(run: Run) -> Iterator[None]:
    """The network with its averaged weights, for a look; the weights it trains are back afterwards."""
    if not run.average:
        yield
        return
    now = {name: w.detach().clone() for name, w in run.net.trainable().items()}
    _put(run, run.average)
    try:
        yield
    finally:
        _put(run, now)


def loss_of(seen: Look) -> float:
    """The held-out loss that runs are stopped and chosen by; infinite where it is not a number."""
    value = float(seen.scores.items[seen.scores.evidence].mean())
    signed = value if seen.scores.evidence in LOWER_IS_BETTER else -value
    return signed if math.isfinite(signed) else math.inf


def tired(run: Run) -> bool:
    """Whether the plan's patience is used up: that many looks since the best one."""
    patience = run.recipe.plan.early_stopping_patience
    if patience is None or not run.losses:
        return False
    values = [loss for _, loss in run.losses]
    return len(values) - 1 - values.index(min(values)) >= patience


def restore_best(run: Run) -> None:
    """The weights of the best look, back in the network."""
    if run.kept:
        _put(run, run.kept)


def train(run: Run, examples: Batch, held: Batch, rows: Rows) -> Iterator[Step | Look]:
    """The whole run, from wherever it stands: a look before the first step, then five on the way or one every
    `eval_steps`; the best weights at the end. Looks come at fixed steps, so a resumed run takes the same ones."""
    plan = run.recipe.plan
    steps = plan.steps(len(examples), launch.world())
    every = plan.eval_steps or max(1, math.ceil(steps / 5))
    while True:
        due = run.done % every == 0 or run.done == steps
        if due and all(step != run.done for step, _ in run.losses):  # a run stopped before its look still takes it
            yield look(run, held, rows)
        if run.done >= steps or tired(run) or run.diverged:
            break
        yield from advance(run, examples, min((run.done // every + 1) * every, steps))
    restore_best(run)


def gathered(run: Run) -> Network:
    """The run's network with all its weights, for measuring and saving; of a sharded one only the first process has
    it, and all must ask."""
    if not sharded(run.net):
        return run.net
    found = whole_state(run.net)
    if not launch.first():
        return run.net
    net = _assembled(run.recipe, run.done)
    net.load_state_dict(found)
    return net


def _assembled(recipe: Recipe, steps: int) -> Network:
    plan = recipe.plan
    return assemble(recipe.task, recipe.backbone, recipe.method, steps=steps, seed=plan.seed, dropout=plan.dropout)


@torch.no_grad()
def _put(run: Run, weights: dict[str, Tensor]) -> None:
    for name, weight in run.net.trainable().items():
        weight.copy_(weights[name])
