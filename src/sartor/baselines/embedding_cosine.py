"""Pairs by a pretrained network without any training: the cosine of its frozen features."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sartor.backbone import Backbone
from sartor.baseline import Baseline, Fitted, State
from sartor.classical.towers import Line, Sides, line_through, told
from sartor.data.rows import Kind
from sartor.part import part
from sartor.predictions import Predictions

if TYPE_CHECKING:
    from sartor.body import Body
    from sartor.data.rows import Rows
    from sartor.task import Task


@dataclass(frozen=True, kw_only=True)
class EmbeddingCosine(Baseline):
    """How near two sides lie in the space of a backbone as it is."""

    predicts: ClassVar[frozenset[Kind]] = frozenset({"number"})
    layouts: ClassVar[frozenset[str]] = frozenset({"sides"})

    backbone: Backbone = field(default_factory=lambda: _packaged())

    @property
    def reads(self) -> frozenset[str]:  # type: ignore[override]
        return self.backbone.reads

    def fit(self, task: Task, rows: Rows, seed: int = 0) -> Fitted:
        body = self.backbone.build("sides")
        line = line_through(task, rows, _sides(body, rows)) if getattr(task, "scored", False) else None
        return Near(task, body, line)

    def restore(self, task: Task, state: State) -> Fitted:
        line = state.values["line"]
        return Near(task, self.backbone.build("sides"), None if line is None else (line[0], line[1]))


@dataclass(frozen=True)
class Near(Fitted):
    """The body, and the line that scores lie on."""

    task: Task
    body: Body
    line: Line | None

    def predict(self, rows: Rows) -> Predictions:
        return told(self.task, rows, _sides(self.body, rows), self.line)

    def state(self) -> State:
        return State({"line": None if self.line is None else list(self.line)}, {"nothing": np.zeros(1)})


def _packaged() -> Backbone:
    found = part("backbones", "minilm")
    assert isinstance(found, Backbone)
    return found


def _sides(body: Body, rows: Rows) -> Sides:
    from sartor.data.inputs import inputs
    from sartor.engine.features import features

    found = features(body, body.encode(inputs(rows, body.reads, body.gaps))).double().numpy()
    found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    return found[0::2], found[1::2]
