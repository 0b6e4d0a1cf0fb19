"""Entry: one candidate in the course, and everything that has been found out about it so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sartor.baseline import Baseline, Fitted
from sartor.data.rows import Rows
from sartor.engine.measure import Costs
from sartor.engine.train import Run
from sartor.predictions import Predictions, Scores
from sartor.recipe import Recipe

Status = Literal["waiting", "racing", "finished", "eliminated", "failed", "over limit", "out of time"]


@dataclass(frozen=True)
class Candidate:
    """What might fit: a recipe, or a baseline. `family` is the file it came from."""

    name: str
    family: str
    recipe: Recipe | None = None
    baseline: Baseline | None = None

    def to_json(self) -> dict[str, Any]:
        if self.recipe is not None:
            return self.recipe.to_json()
        return {"baseline": self.baseline.to_json()} if self.baseline is not None else {}

    def spelled(self) -> str:
        """The words that make this candidate again on the command line."""
        if self.recipe is None:
            return self.baseline.spelled() if self.baseline is not None else ""
        rate = "" if self.recipe.plan.learning_rate is None else f"@{self.recipe.plan.learning_rate:g}"
        backbone = self.recipe.backbone.spelled()
        return f"{f'({backbone})' if '+' in backbone else backbone}+{self.recipe.method.spelled()}{rate}"


@dataclass
class Entry:
    """A candidate under way.

    predictions, scores   on the whole validation part, once it is finished
    answer                the deployed path: raw rows -> predictions
    looks                 one dict per look at held-out rows during the race
    repeats               the headline on the validation part of every repeat with another seed, the first one included
    kept                  where it was saved as a bundle, once it is finished
    facts                 what its method says of its network, once it is finished
    engine                how its run computes, once it has begun: precision, packed or padded rows, blocks kept
    """

    candidate: Candidate
    status: Status = "waiting"
    reason: str | None = None
    run: Run | None = None
    fitted: Fitted | None = None
    answer: Callable[[Rows], Predictions] | None = None
    predictions: Predictions | None = None
    scores: Scores | None = None
    train_seconds: float = 0.0
    costs: Costs | None = None
    looks: list[dict[str, Any]] = field(default_factory=list)
    repeats: list[float] = field(default_factory=list)
    kept: Path | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    engine: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.candidate.name

    @property
    def family(self) -> str:
        return self.candidate.family

    @property
    def network(self) -> bool:
        return self.candidate.recipe is not None

    def out(self, status: Status, reason: str) -> None:
        """Leave the course; what holds memory goes with it."""
        self.status, self.reason, self.run, self.answer = status, reason, None, None

    def finish(self, predictions: Predictions, scores: Scores) -> None:
        self.status, self.predictions, self.scores = "finished", predictions, scores
        self.repeats = [scores.metrics[scores.headline]]

    def items(self, metric: str) -> np.ndarray:
        """(N,) the per-row evidence of a finished candidate."""
        assert self.scores is not None
        return self.scores.items[metric]
