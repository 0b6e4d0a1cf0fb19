"""Texts and images without a network: ridge regression from what images look like to what is said of them.

Latent semantic analysis of the texts (Deerwester et al. 1990), colours, edges and a small copy of the image, a ridge
from these to those by exact leave-one-out error, and cosines there. What two towers must beat.

Legend: N training pairs, V numbers of an image, S of a text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sartor.baseline import Baseline, Fitted, State
from sartor.classical.hues import described
from sartor.classical.ngrams import NGrams, learn, matrix
from sartor.classical.towers import Line, Sides, line_through, told
from sartor.data.inputs import inputs
from sartor.data.rows import Kind
from sartor.errors import BadInput
from sartor.predictions import Floats, Predictions

if TYPE_CHECKING:
    from collections.abc import Collection

    from sartor.data.rows import Rows
    from sartor.task import Task

PARTS = ("terms", "mean", "scale", "weight", "shift")


@dataclass(frozen=True, kw_only=True)
class RidgeCosine(Baseline):
    """How near what an image's colours and edges foretell lies to what a text says."""

    reads: ClassVar[frozenset[str]] = frozenset({"text", "image"})
    predicts: ClassVar[frozenset[Kind]] = frozenset({"number"})
    layouts: ClassVar[frozenset[str]] = frozenset({"sides"})

    size: int = 100
    """Directions of the texts that are kept."""
    most_rows: int = 20_000
    """Of more training pairs so many are drawn."""

    def __post_init__(self) -> None:
        if self.size < 2 or self.most_rows < 10:
            said = f"ridge_cosine.size is {self.size} and ridge_cosine.most_rows {self.most_rows}"
            raise BadInput("VALUE_RANGE", said, fix="give at least 2 and at least 10")

    def fits(self, kinds: Collection[str]) -> bool:
        return self.reads <= set(kinds)

    def fit(self, task: Task, rows: Rows, seed: int = 0) -> Fitted:
        if len(rows) > self.most_rows:
            rows = rows.take(np.sort(np.random.default_rng(seed).permutation(len(rows))[: self.most_rows]))
        texts, images = _both(rows)
        families = list(learn({"text": texts}, 20_000))
        terms = _directions(matrix(families, {"text": texts}), self.size, seed)
        looks = described(images)
        mean, spread = looks.mean(0), looks.std(0)
        scale = np.where(spread > 0, 1 / np.maximum(spread, 1e-6), 0.0)
        weight, shift = _ridge((looks - mean) * scale, _unit(matrix(families, {"text": texts}) @ terms))
        arrays = {"terms": terms, "mean": mean, "scale": scale, "weight": weight, "shift": shift}
        made = Foretold(task, families, arrays, None)
        return Foretold(task, families, arrays, line_through(task, rows, made.sides(rows)))

    def restore(self, task: Task, state: State) -> Fitted:
        arrays = {name: np.asarray(state.arrays[name], dtype=np.float64) for name in PARTS}
        families = [
            NGrams("text", f["analyzer"], f["terms"], np.asarray(state.arrays[f"idf.{i}"], dtype=np.float32))
            for i, f in enumerate(state.values["families"])
        ]
        line = state.values["line"]
        return Foretold(task, families, arrays, None if line is None else (line[0], line[1]))


@dataclass(frozen=True)
class Foretold(Fitted):
    """Terms, their directions, how images are seen, and the ridge from these to those."""

    task: Task
    families: list[NGrams]
    arrays: dict[str, Floats]
    line: Line | None

    def predict(self, rows: Rows) -> Predictions:
        return told(self.task, rows, self.sides(rows), self.line)

    def sides(self, rows: Rows) -> Sides:
        texts, images = _both(rows)
        a, there = self.arrays, [i for i, image in enumerate(images) if image is not None]
        said = _unit(matrix(self.families, {"text": texts}) @ a["terms"])
        seen = np.zeros_like(said)
        seen[there] = (described([images[i] for i in there]) - a["mean"]) * a["scale"] @ a["weight"] + a["shift"]
        return said, _unit(seen)

    def state(self) -> State:
        families = [{"analyzer": f.analyzer, "terms": f.terms} for f in self.families]
        line = None if self.line is None else list(self.line)
        idf = {f"idf.{i}": np.asarray(f.idf) for i, f in enumerate(self.families)}
        return State({"families": families, "line": line}, {**idf, **self.arrays})


def _both(rows: Rows) -> tuple[list[str], list[Any]]:
    found = inputs(rows, {"text", "image"}, {"image"})
    return found["text"], found["image"]


def _directions(x: Any, size: int, seed: int) -> Floats:
    """(terms, S) the main directions of the texts."""
    from sklearn.decomposition import TruncatedSVD

    size = min(size, x.shape[1] - 1, x.shape[0] - 1)
    if size < 1:
        return np.ones((x.shape[1], 1))
    found: Floats = TruncatedSVD(size, random_state=seed).fit(x).components_.T.astype(np.float64)
    return found


def _ridge(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """(V, S) weights and (S,) shift, the penalty by exact leave-one-out error."""
    import torch

    from sartor.engine.heads import solve_ridge

    found = solve_ridge(torch.from_numpy(x).float(), torch.from_numpy(y).float())
    return found.weight.T.double().numpy(), found.bias.double().numpy()


def _unit(x: Floats) -> Floats:
    x = np.asarray(x, dtype=np.float64)
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12))
