"""train: one run from its head start to its best weights, looking at held-out rows on the way."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from sartor.batch import Batch
from sartor.body import Body, Front
from sartor.data.rows import Rows
from sartor.engine import launch
from sartor.engine.devices import join, like, sharded, whole_state
from sartor.engine.features import cuts, features, head_reads, outputs, remembering
from sartor.engine.fit import State, Step, begin, fit
from sartor.engine.precision import resolve
from sartor.engine.prefix import PrefixCache
from sartor.errors import BadInput
from sartor.network import Network, assemble
from sartor.predictions import Predictions, Scores
from sartor.recipe import Recipe

LARGEST_SAMPLE = 10_000
"""Rows that a head is solved on at a look."""
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

    rows     of the training part
    losses   (step, held-out loss) of every look so far; what early stopping and the choice of weights rest on
    best     that of the look whose weights are kept
    last     the latest look
    average  the mean of the weights so far, recent ones counting more; `averaged` of them went in
    parameters  how many moved in training, and how many there are
    examples    what it trains on
    depth    blocks from the input on that do not move: their work is kept in `prefixes`; `behind` has the rows so far
    """

    recipe: Recipe
    net: Network
    state: State | None
    rows: int = 0
    seconds: float = 0.0
    start: dict[str, Any] = field(default_factory=dict)
    losses: list[tuple[int, float]] = field(default_factory=list)
    best: tuple[int, float] | None = None
    last: Look | None = None
    kept: dict[str, Tensor] = field(default_factory=dict)
    average: dict[str, Tensor] = field(default_factory=dict)
    averaged: int = 0
    diverged: bool = False
    parameters: dict[str, int] = field(default_factory=dict)
    examples: Batch | None = None
    depth: int = 0
    prefixes: PrefixCache = field(default_factory=PrefixCache)
    behind: dict[int, tuple[Batch, Batch]] = field(default_factory=dict)

    @property
    def done(self) -> int:
        return 0 if self.state is None else self.state.step

    @property
    def steps(self) -> int:
        """The plan's end, which a race may move."""
        return self.recipe.plan.steps(self.rows, launch.world())

    @property
    def final(self) -> int:
        """The first update whose weights may be kept; the end where a moved one comes sooner."""
        return min(self.steps, self.recipe.method.final_from(self.steps))


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
    chosen = recipe.method.solve(recipe.task, frozen, examples, head, recipe.plan.seed)
    return Start(head.state_dict(), chosen, time.perf_counter() - began)


def prepare(recipe: Recipe, examples: Batch, start: Start | None = None, prefixes: PrefixCache | None = None) -> Run:
    """A run at its start: assembled, its head solved on frozen features where the plan says so, or `start`'s.

    A head solved on a plain body's features is no start for one that reads something before every row: that is solved
    on its own. What its frozen blocks make of the rows is kept in `prefixes`, which other runs may share."""
    recipe = recipe.settled()
    plan = recipe.plan
    crew, precision = join(), resolve(plan.precision)
    steps = plan.steps(len(examples), crew.world)
    _long_enough(recipe, steps)
    net = _assembled(recipe, steps)
    counted = {"trained": _count(net.trainable().values()), "all": _count(net.parameters())}
    recipe.objective.fits(net)
    net.to(crew.device)
    if plan.head_start == "solved":
        if start is None or net.body.front != Front():
            frozen = crew.answers(examples, cuts(examples), lambda part: features(net.body, part, precision))
            start = solve(recipe, examples, frozen, net.body)
        net.head.load_state_dict(start.head)
    crew.place(net, plan)
    chosen = start.chosen if start is not None else {}
    keeps = plan.prefix_cache == "auto" and crew.world == 1 and steps > 0
    depth = min(net.body.depth(), len(net.body.blocks()) - 1) if keeps else 0
    state = begin(net, plan, _rates(recipe, net)) if steps else None
    rows = len(examples)
    run = Run(recipe, net, state, rows, start=chosen, parameters=counted, examples=examples, depth=depth)
    run.prefixes = prefixes or run.prefixes
    return run


def _rates(recipe: Recipe, net: Network) -> dict[str, float]:
    """Name -> factor on the plan's rate, as the method and the body have it."""
    found = dict(recipe.method.rates(net))
    for name, factor in net.body.rates().items():
        found[f"body.{name}"] = factor * found.get(f"body.{name}", 1.0)
    return found


def _count(weights: Iterable[Tensor]) -> int:
    return sum(w.numel() for w in weights)


def _long_enough(recipe: Recipe, steps: int) -> None:
    """Raises `BadInput` where the method does not come to its final form in the run."""
    final = recipe.method.final_from(steps)
    if final > steps:
        said = f"{recipe.method.name} comes to its final form after {final} updates, and the run has {steps}"
        fix = f"give at least {final} updates with --set plan.max_steps={final}, or shorten the method's schedule"
        raise BadInput("METHOD_STEPS", said, fix=fix)


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
    recipe.method.conform(run.net, run.done, run.steps)
    whole = read(run, held)

    def answer(asked: Rows) -> Predictions:
        batch = whole if asked is rows else recipe.task.encode(asked, run.net.body)
        learned = recipe.objective.adapted(run.net, recipe.task, batch)
        say = recipe.task.say
        said = join().answers(batch, cuts(batch), lambda part: outputs(run.net, part, precision, learned, say))
        return recipe.task.answer(said, asked)

    with headed(run), asking(run.net, recipe, lambda: whole, precision):
        predictions = recipe.task.asking.ask(recipe.task, answer, rows, GLANCE)
        return note(run, Look(run.done, run.seconds, recipe.task.score(predictions, rows), predictions))


def asking(
    net: Network, recipe: Recipe, held: Callable[[], Batch], precision: str = "fp32"
) -> AbstractContextManager[None]:
    """Inside, held-out rows may be asked in many episodes at the price of one pass, where their features stay."""
    if recipe.task.asking.shape(recipe.task) is None or recipe.objective.learns == "network":
        return nullcontext()
    return remembering(net.body, held(), precision)


@contextmanager
def headed(run: Run) -> Iterator[None]:
    """The network with the head that a look is for: the one it trains, or, where the plan says so, the optimal one on
    the features as they are now; what it trains is back afterwards."""
    plan, examples = run.recipe.plan, run.examples
    started = run.done == 0 and plan.head_start == "solved"
    if plan.head_end == "trained" or run.state is None or examples is None or started:
        yield
        return
    few = read(run, examples).take(_sample(len(examples)))
    precision = resolve(plan.precision)
    frozen = join().answers(few, cuts(few), lambda part: head_reads(run.net, part, precision))
    found = solve(run.recipe, few, frozen, run.net.body)
    before = {name: w.detach().clone() for name, w in run.net.head.state_dict().items()}
    _load(run.net.head, found.head)
    try:
        yield
    finally:
        _load(run.net.head, before)


def note(run: Run, seen: Look) -> Look:
    """Take a look into account: its own, or that of another run whose network says the same (a common start)."""
    run.last, loss = seen, loss_of(seen)
    if run.done >= run.final and (run.best is None or loss < run.best[1]):
        run.kept = {name: w.detach().clone() for name, w in run.net.changing().items()}
        run.best = run.done, loss
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
    for name, weight in run.net.changing().items():
        if name in run.average:
            run.average[name].lerp_(weight, share)
        elif weight.is_floating_point():  # the statistics of norms over the batch belong to the weights they come from
            run.average[name] = weight.detach().clone()


@contextmanager
def averaged(run: Run) -> Iterator[None]:
    """The network with its averaged weights, for a look; the weights it trains are back afterwards."""
    if not run.average:
        yield
        return
    now = {name: w.detach().clone() for name, w in run.net.changing().items()}
    _put(run, run.average)
    try:
        yield
    finally:
        _put(run, now)


def loss_of(seen: Look) -> float:
    """The held-out loss that runs are stopped and chosen by; infinite where it is not a number."""
    value = float(seen.scores.losses.mean())
    return value if math.isfinite(value) else math.inf


def tired(run: Run) -> bool:
    """Whether the plan's patience is used up: that many looks since the best one."""
    patience = run.recipe.plan.early_stopping_patience
    if patience is None or run.best is None:
        return False
    return sum(step > run.best[0] for step, _ in run.losses) >= patience


def restore_best(run: Run) -> None:
    """The weights of the best look, back in the network."""
    if run.kept:
        _put(run, run.kept)


def train(run: Run, examples: Batch, held: Batch, rows: Rows) -> Iterator[Step | Look]:
    """The whole run, from wherever it stands: a look before the first step, then five on the way or one every
    `eval_steps`; the best weights at the end. Looks come at fixed steps, so a resumed run takes the same ones."""
    plan, steps = run.recipe.plan, run.steps
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
    net = _assembled(run.recipe, run.net.steps)
    net.load_state_dict(found)
    return net


def _assembled(recipe: Recipe, steps: int) -> Network:
    plan = recipe.plan
    return assemble(
        recipe.task,
        recipe.backbone,
        recipe.method,
        steps=steps,
        seed=plan.seed,
        objective=recipe.objective,
        dropout=plan.dropout,
    )


def _sample(rows: int) -> Tensor:
    """Positions of the rows that a head is solved on at a look: all, or so many drawn by a fixed seed."""
    drawn = torch.randperm(rows, generator=torch.Generator().manual_seed(0))[:LARGEST_SAMPLE]
    return drawn.sort().values


@torch.no_grad()
def _load(module: nn.Module, values: dict[str, Tensor]) -> None:
    """Whole tensors, or parts of them, into a module that may be sharded."""
    for name, weight in module.state_dict(keep_vars=True).items():
        weight.copy_(like(values[name].to(weight.device), weight))


@torch.no_grad()
def _put(run: Run, weights: dict[str, Tensor]) -> None:
    for name, value in run.net.changing().items():
        if name in weights:
            value.copy_(weights[name])
