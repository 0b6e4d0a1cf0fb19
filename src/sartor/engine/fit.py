"""fit: the one training loop, a generator. A paused generator is a paused run.

A run is its network and a `State`. `fit` advances them one update at a time; whoever drives it logs, looks, saves or
stops. Order and randomness depend on (seed, step) alone, so a run that is paused, interleaved with others, saved or
continued under a longer plan takes the same steps as one that was never disturbed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sartor.batch import Batch
from sartor.engine import launch
from sartor.engine.adamw import AdamW
from sartor.engine.devices import Crew, Share, full, join, sharded
from sartor.engine.episodes import batches as episodes
from sartor.engine.episodes import entries, row_by_row
from sartor.engine.faults import Faults, undisturbed, within_memory
from sartor.engine.operators import Operators
from sartor.engine.order import balanced_batches, epoch_batches, step_seed
from sartor.engine.precision import Mode, resolve, running
from sartor.errors import BadInput
from sartor.network import Network
from sartor.recipe import Plan, Recipe

LARGE_TABLE = 2048
"""Rows of a table from which an update reads only a small part."""


@dataclass
class State:
    """What a run remembers besides the network's weights."""

    optimizer: AdamW
    step: int = 0
    whole: bool = True
    """False while an update is being applied: an error that comes then leaves nothing worth keeping."""
    faults: Faults = field(default_factory=Faults)
    last: Step | None = None
    """The latest update, for those whom a signal kept from hearing of it."""
    descent: nn.Module | None = None
    """What a step calls, once it has been put together for the devices there are."""


@dataclass(frozen=True)
class Step:
    """One update: the mean loss over its rows before it, the norm of its gradient, and what it cost.

    An update whose loss or gradient is no number is not applied; `unapplied` then has the numbers of its rows."""

    number: int
    loss: float
    learning_rate: float
    grad_norm: float
    rows: int
    tokens: int
    seconds: float
    unapplied: tuple[int, ...] = ()


def begin(net: Network, plan: Plan, rates: Mapping[str, float] | None = None) -> State:
    """A run at its first step; `rates` are the method's. Raises `BadInput` where the method left nothing to train."""
    moving = net.trainable()
    if not moving:
        fix = "choose a method that trains some weights: full, lora or probe"
        raise BadInput("NOTHING_TO_TRAIN", "no weight of the network may move", fix=fix)
    beside = [] if net.beside is None else list(net.beside.parameters())
    own = {id(p) for p in beside}
    inside = {name: p for name, p in moving.items() if id(p) not in own}
    made = groups(inside, plan.weight_decay, rates or {})
    if net.beside is not None:
        pace = net.beside.learning_rate / (plan.learning_rate or net.beside.learning_rate)
        made.append({"params": beside, "weight_decay": 0.0, "factor": pace})
    by_rows = tables(net) if launch.world() == 1 else []  # processes meet in whole gradients
    return State(AdamW(made, lr=rate(plan, 0, 1), tables=by_rows))


def groups(moving: Mapping[str, Tensor], decay: float, rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """The optimizer's groups: one for each factor on the rate, the highest first; decay for matrices only."""
    found: dict[tuple[float, bool], list[Tensor]] = {}
    for name, weight in moving.items():
        found.setdefault((-rates.get(name, 1.0), weight.ndim <= 1), []).append(weight)
    return [
        {"params": found[factor, vector], "weight_decay": 0.0 if vector else decay, "factor": -factor}
        for factor, vector in sorted(found)
    ]


def tables(net: Network) -> list[Tensor]:
    """The word tables that move and are large enough for their gradient to be worth taking by rows."""
    inside = [m for m in net.body.modules() if isinstance(m, nn.Embedding) and m.num_embeddings >= LARGE_TABLE]
    return [m.weight for m in inside if m.weight.requires_grad and m.weight.device.type == "cpu"]


def rate(plan: Plan, step: int, steps: int) -> float:
    """The learning rate of an update; `steps` is the plan's end, which a run still racing may see moved."""
    peak = plan.learning_rate or 0.0
    warmup = max(1, round(plan.warmup_ratio * steps))
    if step < warmup:
        return peak * (step + 1) / warmup
    left = (step - warmup) / max(1, steps - warmup)  # 0 at the end of warm-up, 1 at the end of the run
    if plan.lr_scheduler_type == "linear":
        return peak * (1 - left)
    if plan.lr_scheduler_type == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * left))
    if plan.lr_scheduler_type == "constant_with_warmup":
        return peak
    decay_from = (1 - plan.cooldown_ratio) * steps
    return peak if step < decay_from else peak * (1 - math.sqrt((step - decay_from) / max(1.0, steps - decay_from)))


def fit(net: Network, examples: Batch, recipe: Recipe, state: State) -> Iterator[Step]:
    """Updates from where `state` stands to the plan's end. `net` and `state` change in place; between updates the
    network is in training mode, and in evaluation mode when this ends or is closed."""
    try:
        yield from _updates(net, examples, recipe, state)
    finally:
        net.eval()


def _updates(net: Network, examples: Batch, recipe: Recipe, state: State) -> Iterator[Step]:
    plan = recipe.plan
    crew = join()
    steps = plan.steps(len(examples), crew.world)
    state.descent = state.descent or crew.descent(net, plan)
    precision = resolve(plan.precision)
    update = plan.per_device_train_batch_size * plan.gradient_accumulation_steps * crew.world
    operators = Operators(net.body, precision, state.optimizer.tables, state.optimizer.read)
    mode = running(operators, precision, sharded(net))
    state.optimizer.copies = operators.casts
    shape = recipe.objective.shape(recipe.task)
    size = entries(shape, plan.per_device_train_batch_size)
    for batch in _from(recipe, examples, update, state.step):
        if state.step >= steps:
            return
        started = time.perf_counter()
        learning_rate = rate(plan, state.step, steps) * state.faults.share()
        set_rate(state.optimizer, learning_rate)
        if not net.training:
            net.train()
        descend = partial(
            _descend, net, state.descent, recipe, batch, crew, mode, operators, step_seed(plan.seed, state.step)
        )
        with at_rest(net, recipe.method.resting(net, state.step, steps)):
            loss = within_memory(descend, net, batch, size, state.faults, alone=crew.world == 1)
        loss, norm = crew.mean(loss, state.optimizer.norm())
        with undisturbed():
            state.whole = False
            applied = state.faults.judge(loss, norm, plan.nonfinite)
            if applied:
                state.optimizer.step(shrink=min(1.0, (plan.max_grad_norm or math.inf) / (norm + 1e-6)))
                recipe.method.after_step(net, state.step + 1, steps)
            state.optimizer.zero_grad(set_to_none=True)
            tokens, seconds = int(batch.lengths.sum()), time.perf_counter() - started
            unapplied = () if applied else tuple(batch.rows.flatten().tolist())
            step = Step(state.step + 1, loss, learning_rate, norm, batch.rows.numel(), tokens, seconds, unapplied)
            state.step, state.last, state.whole = step.number, step, True
        yield step


def set_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """The rate of an update; what an objective learns keeps its own proportion to it."""
    for group in optimizer.param_groups:
        group["lr"] = value * group["factor"]


@contextmanager
def at_rest(net: Network, names: Collection[str]) -> Iterator[None]:
    """Inside, the weights of these names get no gradient; an optimizer leaves such weights and their moments alone."""
    weights = [w for name, w in net.trainable().items() if name in names] if names else []
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)


def _descend(
    net: Network,
    descent: nn.Module,
    recipe: Recipe,
    batch: Batch,
    crew: Crew,
    mode: Mode,
    operators: Operators,
    seed: int,
    size: int,
) -> float:
    """Gradients of the mean loss over the whole update, put together from those of its parts where the objective wants
    them apart; this process's part of the loss."""
    parts = [crew.shares(part, size) for part in recipe.objective.parts(recipe.task, batch)]
    operators.narrow_gradients(alone=crew.world == len(parts) == len(parts[0]) == 1)
    total, found = 0.0, []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + crew.rank)
        for shares in parts:
            total += _gather(net, descent, recipe, shares, len(batch), crew, mode, seed)
            if len(parts) > 1:
                found.append(_taken(net))
    if len(parts) > 1:
        for name, gradient in recipe.objective.combine(found, seed).items():
            net.get_parameter(name).grad = gradient
    return total


def _gather(
    net: Network,
    descent: nn.Module,
    recipe: Recipe,
    shares: Sequence[Share],
    rows: int,
    crew: Crew,
    mode: Mode,
    seed: int,
) -> float:
    """Gradients of what one part gives to the mean loss over `rows`, gathered in micro-batches on each device; this
    process's part of the loss."""
    total = 0.0
    for share in shares:
        penalty = share.whole / rows * full(recipe.method.penalty(net))
        seen = row_by_row(share.batch, lambda rows: net.body.augment(rows, seed))
        with crew.reducing(descent, last=share is shares[-1]):
            losses = descent(recipe.objective, recipe.task, seen, mode)
            mean = losses[: share.counted].float().sum() * crew.world / rows
            loss: Tensor = mean + penalty
            _require_gradient(loss)
            crew.accelerator.backward(loss)
        total += float(loss.detach())
    return total


def _taken(net: Network) -> dict[str, Tensor]:
    """The gradients that lie in the weights, which then have none."""
    found = {name: weight.grad.clone() for name, weight in net.trainable().items() if weight.grad is not None}
    net.zero_grad(set_to_none=True)
    return found


def _require_gradient(loss: Tensor) -> None:
    """Raises `BadInput` where nothing that the loss depends on may move in this update."""
    if not loss.requires_grad:
        fix = "let more weights move from the start, or descend another objective"
        raise BadInput("NO_GRADIENT", "the loss depends on no weight that moves in this update", fix=fix)


def _from(recipe: Recipe, examples: Batch, size: int, step: int) -> Iterator[Batch]:
    """The batches of every epoch without end, from the one that update number `step` takes; or episodes, where the
    objective learns from those."""
    task, seed, shape = recipe.task, recipe.plan.seed, recipe.objective.shape(recipe.task)
    if shape is not None:
        yield from episodes(examples, shape, size, seed, step)
    groups = recipe.objective.groups(task, examples)
    each = -(-len(task.members.epoch(task, examples, seed, 0)) // size)
    epoch, first = divmod(step, each)
    while True:
        taken = task.members.epoch(task, examples, seed, epoch)
        rows = examples.rows[taken]
        if groups is None:
            batches = epoch_batches(rows, size, seed, epoch)
        else:
            batches = balanced_batches(rows, groups[taken], size, seed, epoch)
        for places in batches[first:]:
            yield examples.take(taken[places])
        epoch, first = epoch + 1, 0
