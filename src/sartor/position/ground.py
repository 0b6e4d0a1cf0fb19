"""Ground: what every candidate of a course shares: the parts, the clock, encoded rows, frozen features."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sartor.batch import Batch
from sartor.data.rows import Rows
from sartor.data.split import Split
from sartor.engine.features import features
from sartor.engine.precision import place, resolve
from sartor.engine.prefix import PrefixCache
from sartor.engine.train import Look, Start, solve
from sartor.position.clock import Budget
from sartor.position.entry import Candidate
from sartor.recipe import Recipe
from sartor.task import Task

PROBE_ROWS = 500
"""Held-out rows that the race looks at: enough for paired log-loss, little enough to look often."""


@dataclass
class Base:
    """One backbone's view of the data: encoded once, its frozen features computed once.

    pace     seconds for a token in a forward pass
    first    the look at held-out rows that every run from the solved head begins with
    solved   rows of the training part that the head was fitted on
    glance   the race's held-out rows
    """

    train: Batch
    validation: Batch
    pace: float
    frozen: Tensor
    solved: Tensor
    start: Start
    seconds: float
    first: Look | None = None
    glance: Batch | None = None


@dataclass
class Ground:
    """The shared state of a course."""

    split: Split
    task: Task
    budget: Budget
    seed: int
    bases: dict[str, Base] = field(default_factory=dict)
    """By the view of a recipe: one for each backbone, and one more for each other way of reading it."""
    prefixes: PrefixCache = field(default_factory=PrefixCache)
    record: Callable[[dict[str, Any]], None] = lambda event: None

    def base(self, recipe: Recipe) -> Base:
        return self.bases[recipe.view()]

    def glance(self) -> Rows:
        """The held-out rows of the race: a seeded sample of the validation part, the same for every candidate."""
        return self.split.validation.take(self.glance_places().numpy())

    def glanced(self, recipe: Recipe) -> Batch:
        """The race's held-out rows as the recipe's backbone encodes them: one batch for every look."""
        base = self.base(recipe)
        if base.glance is None:
            base.glance = base.validation.take(self.glance_places())
        return base.glance

    def glance_places(self) -> Tensor:
        count = len(self.split.validation)
        drawn = torch.randperm(count, generator=torch.Generator().manual_seed(self.seed))[:PROBE_ROWS]
        return drawn.sort().values


def backbones(candidates: list[Candidate]) -> dict[str, Candidate]:
    """Backbone -> the first candidate that uses it."""
    found: dict[str, Candidate] = {}
    for candidate in candidates:
        if candidate.recipe is not None:
            found.setdefault(candidate.recipe.backbone.spelled(), candidate)
    return found


def views(candidates: list[Candidate]) -> dict[str, Recipe]:
    """View -> the recipe of the first candidate that has it."""
    found: dict[str, Recipe] = {}
    for recipe in (c.recipe for c in candidates if c.recipe is not None):
        found.setdefault(recipe.view(), recipe)
    return found


def feel(ground: Ground, recipe: Recipe, share: float) -> Base:
    """Encode both parts and pass the training part through the frozen body, once for every candidate that will use it.

    `share` of the time left bounds the pass: of a large training part only as many rows as that allows are used for the
    head, which is said in the candidate's reason.
    """
    began = time.perf_counter()
    body = recipe.backbone.build(ground.task.layout)
    recipe.method.read(body)
    body.eval().to(place())
    train = ground.task.encode(ground.split.train, body)
    validation = ground.task.encode(ground.split.validation, body)
    precision = resolve(recipe.plan.precision)
    pace = _pace(body, train, precision)
    rows = _affordable(train, pace, share * ground.budget.left)
    few = train.take(rows)
    if recipe.task.solvable(few) is None:
        return Base(train, validation, pace, torch.empty(0), rows, Start({}, {}, 0.0), time.perf_counter() - began)
    frozen = features(body, few, precision)
    start = solve(recipe, few, frozen, body)
    return Base(train, validation, pace, frozen, rows, start, time.perf_counter() - began)


def _pace(body: Any, examples: Batch, precision: str) -> float:
    """Seconds a token, on a sample that was run once before it was timed."""
    some = examples.take(torch.arange(min(len(examples), 64)))
    features(body, some, precision)
    began = time.perf_counter()
    features(body, some, precision)
    return (time.perf_counter() - began) / max(1, int(some.lengths.sum()))


def _affordable(examples: Batch, pace: float, seconds: float) -> Tensor:
    """Positions of as many rows, from a seeded order, as a pass of `seconds` can take; at least 200."""
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(0))
    tokens = examples.lengths[order].cumsum(0)
    count = max(200, int((tokens * pace <= seconds).sum()))
    return order[:count].sort().values
