"""fit: the one training loop, a generator. A paused generator is a paused run.

A run is its network and a `State`. `fit` advances them one update at a time; whoever drives it logs, looks, saves or
stops. Order and randomness depend on (seed, step) alone, so a run that is paused, interleaved with others, saved or
continued under a longer plan takes the same steps as one that was never disturbed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from sartor.asking import Shape
from sartor.batch import Batch
from sartor.engine import launch
from sartor.engine.adamw import AdamW
from sartor.engine.devices import Crew, full, join, sharded
from sartor.engine.episodes import batches as episodes
from sartor.engine.episodes import entries, row_by_row
from sartor.engine.faults import Faults, undisturbed, within_memory
from sartor.engine.operators import Operators
from sartor.engine.order import epoch_batches, step_seed
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


def begin(net: Network, plan: Plan) -> State:
    """A run at its first step. Raises `BadInput` where the method left nothing to train."""
    moving = net.trainable()
    if not moving:
        fix = "choose a method that trains some weights: full, lora or probe"
        raise BadInput("NOTHING_TO_TRAIN", "no weight of the network may move", fix=fix)
    matrices = [p for p in moving.values() if p.ndim > 1]
    vectors = [p for p in moving.values() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": plan.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    by_rows = tables(net) if launch.world() == 1 else []  # processes meet in whole gradients
    return State(AdamW([g for g in groups if g["params"]], lr=rate(plan, 0, 1), tables=by_rows))


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
    shape = recipe.objective.shape(recipe.task)
    size = entries(shape, plan.per_device_train_batch_size)
    for batch in _from(examples, shape, update, plan.seed, state.step):
        if state.step >= steps:
            return
        started = time.perf_counter()
        set_rate(state.optimizer, rate(plan, state.step, steps) * state.faults.share())
        if not net.training:
            net.train()
        descend = partial(_descend, net, state.descent, recipe, batch, crew, mode, step_seed(plan.seed, state.step))
        loss = within_memory(descend, net, batch, size, state.faults, alone=crew.world == 1)
        loss, norm = crew.mean(loss, state.optimizer.norm())
        with undisturbed():
            state.whole = False
            applied = state.faults.judge(loss, norm, plan.nonfinite)
            if applied:
                state.optimizer.step(shrink=min(1.0, (plan.max_grad_norm or math.inf) / (norm + 1e-6)))
                recipe.method.after_step(net, state.step)
            state.optimizer.zero_grad(set_to_none=True)
            tokens, learning_rate = int(batch.lengths.sum()), state.optimizer.param_groups[0]["lr"]
            seconds = time.perf_counter() - started
            unapplied = () if applied else tuple(batch.rows.flatten().tolist())
            step = Step(state.step + 1, loss, learning_rate, norm, batch.rows.numel(), tokens, seconds, unapplied)
            state.step, state.last, state.whole = step.number, step, True
        yield step


def set_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = value


def _descend(
    net: Network,
    descent: nn.Module,
    recipe: Recipe,
    batch: Batch,
    crew: Crew,
    mode: Mode,
    seed: int,
    size: int,
) -> float:
    """Gradients of the mean loss over the whole update, gathered in micro-batches of `size` rows on each device; this
    process's part of the loss."""
    shares, total = crew.shares(batch, size), 0.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + crew.rank)
        for share in shares:
            penalty = share.whole / len(batch) * full(recipe.method.penalty(net))
            seen = row_by_row(share.batch, partial(net.body.augment, seed=seed))
            with crew.reducing(descent, last=share is shares[-1]):
                losses = descent(recipe.objective, recipe.task, seen, mode)
                mean = losses[: share.counted].float().sum() * crew.world / len(batch)
                loss: Tensor = mean + penalty
                crew.accelerator.backward(loss)
            total += float(loss.detach())
    return total


def _from(examples: Batch, shape: Shape | None, size: int, seed: int, step: int) -> Iterator[Batch]:
    """The batches of every epoch without end, from the one that update number `step` takes; or episodes, where the
    objective learns from those."""
    if shape is not None:
        yield from episodes(examples, shape, size, seed, step)
    each = -(-len(examples) // size)
    epoch, first = divmod(step, each)
    while True:
        for places in epoch_batches(examples.rows, size, seed, epoch)[first:]:
            yield examples.take(places)
        epoch, first = epoch + 1, 0
