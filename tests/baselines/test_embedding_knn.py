"""The votes by hand, on a body whose embeddings are known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sartor.backbone import Backbone
from sartor.baselines.embedding_knn import EmbeddingKNN
from sartor.batch import Batch
from sartor.body import Body
from sartor.data.rows import Rows
from sartor.errors import BadInput
from text_samples import table, task_of


class Compass(Body):
    """A text is a bearing in degrees; its embedding is that direction, its length 3."""

    width = 2
    heads: Mapping[str, nn.Module] = {}

    def __init__(self) -> None:
        super().__init__()
        self.length = nn.Parameter(torch.tensor(3.0))

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> Batch:
        count = len(columns["text"])
        degrees = torch.tensor([float(t) for t in columns["text"]])
        return Batch(rows=torch.arange(count), offsets=torch.arange(count + 1), dense={"degrees": degrees})

    def forward(self, batch: Batch) -> Tensor:
        angle = torch.deg2rad(batch.dense["degrees"])
        return self.length * torch.stack([angle.cos(), angle.sin()], 1)

    def linears(self) -> list[str]:
        return []

    def blocks(self) -> list[nn.Module]:
        return []

    def save(self, folder: Path, head: nn.Module, config: dict[str, Any]) -> None:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Bearings(Backbone):
    def build(self, layout: str, fresh: bool = False) -> Body:
        return Compass()

    def reopen(self, folder: Path, layout: str) -> Body:
        return Compass()


def bearings(degrees: Sequence[float], labels: Sequence[Any] | None = None, kind: Any = "category") -> Rows:
    columns: dict[str, list[Any]] = {"text": [str(d) for d in degrees]}
    if labels is None:
        return table(columns, {"text": "text"}, None)
    return table({**columns, "label": list(labels)}, {"text": "text", "label": kind}, "label")


def test_the_nearest_has_one_vote_and_the_next_less() -> None:
    rows = bearings([0, 30, 180], ["n", "e", "s"])
    said = EmbeddingKNN(backbone=Bearings(), k=(2,)).fit(task_of(rows), rows).predict(bearings([0]))
    faded = math.exp(10 * (math.cos(math.radians(30)) - 1))
    expected = {"n": 1 + 0.1 / 3, "e": faded + 0.1 / 3, "s": 0.1 / 3}
    total = 1 + faded + 0.1
    assert said.labels == ("e", "n", "s")
    assert said.probabilities[0] == pytest.approx([expected[label] / total for label in said.labels], abs=1e-5)


def test_a_number_is_the_weighted_mean_of_its_neighbours() -> None:
    rows = bearings([10, -10, 180], [1.0, 2.0, 900.0], "number")
    said = EmbeddingKNN(backbone=Bearings(), k=(2,)).fit(task_of(rows), rows).predict(bearings([0, 180]))
    assert said.values[0] == pytest.approx(1.5, abs=1e-4)
    assert said.values[1] == pytest.approx(900.0, abs=0.1)


def test_k_is_chosen_by_leaving_each_row_out() -> None:
    """Every row has a twin of its own label, so one neighbour is right; alone with wrong twins, many are better."""
    twins = bearings(
        [d + e for d in range(0, 360, 20) for e in (0, 0.5)], [str(d % 40) for d in range(0, 360, 20) for _ in "ab"]
    )
    draw = np.random.default_rng(0)
    noisy = bearings(draw.uniform(-60, 60, 200), draw.choice(["a", "b"], 200, p=[0.7, 0.3]))
    chosen = [
        EmbeddingKNN(backbone=Bearings(), k=(1, 40)).fit(task_of(r), r).state().values["k"] for r in (twins, noisy)
    ]
    assert chosen == [1, 40]


def test_more_neighbours_than_rows_are_all_rows() -> None:
    rows = bearings([0, 90, 180], ["n", "e", "s"])
    said = EmbeddingKNN(backbone=Bearings(), k=(50,)).fit(task_of(rows), rows).predict(bearings([91]))
    assert list(said.values) == ["e"]


def test_a_row_that_points_nowhere_is_still_answered() -> None:
    rows = bearings([0, 90], ["n", "e"])
    fitted = EmbeddingKNN(backbone=Bearings(), k=(1,)).fit(task_of(rows), rows)
    fitted.body.length.data.zero_()
    assert np.isfinite(fitted.predict(bearings([5])).probabilities).all()


def test_no_neighbours_are_refused() -> None:
    with pytest.raises(BadInput) as caught:
        EmbeddingKNN(backbone=Bearings(), k=(0, 3))
    assert caught.value.sentence() == "error[VALUE_RANGE]: embedding_knn.k is 0+3. Fix: give at least 1."
