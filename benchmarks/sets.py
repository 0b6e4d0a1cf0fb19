"""The rows that benchmarks run on: packed files of the shared folder, in a fixed random order, as Sartor reads them."""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sartor.data.hints import Hints
from sartor.data.read import read
from sartor.data.rows import Rows
from sartor.task import Task
from sartor.tasks.classification import Classification

HERE = Path(__file__).parent
HINTS = Hints(target="label", kinds={"text": "text", "label": "category"})


@dataclass(frozen=True)
class Material:
    """Rows with a text and a label, and the task with all the labels of the set."""

    name: str
    rows: Rows
    task: Task

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def texts(self) -> list[str]:
        return [str(text) for text in self.rows.column("text")]

    @property
    def labels(self) -> list[int]:
        place = {label: i for i, label in enumerate(self.task.labels)}  # type: ignore[attr-defined]
        return [place[str(label)] for label in self.rows.column("label")]

    def part(self, start: int, count: int) -> Material:
        """`count` rows from `start`, beginning again at the end: the rows of one repeat."""
        return self.take((start + np.arange(count)) % len(self))

    def take(self, where: Sequence[int] | np.ndarray[Any, Any]) -> Material:
        return replace(self, rows=self.rows.take(where))


def shared(name: str) -> Path:
    """A file of the folder `SARTOR_SHARED`, or of `../shared/data` beside the repository."""
    folder = Path(os.environ.get("SARTOR_SHARED", HERE.parent.parent / "shared" / "data"))
    if not (folder / name).exists():
        sys.exit(f"there is no '{name}' in {folder}: set SARTOR_SHARED to the folder with the data sets")
    return folder / name


def load(name: str, count: int, seed: int = 0) -> Material:
    """`count` rows of a set's training file, or all it has, in a random order that the seed fixes."""
    with gzip.open(shared(f"{name}/train.jsonl.gz"), "rt", encoding="utf-8") as file:
        found = [json.loads(line) for line in file]
    return material(name, [{"text": _text(row), "label": str(row["label"])} for row in found], count, seed)


def material(name: str, pairs: list[dict[str, str]], count: int, seed: int = 0) -> Material:
    """Plain rows as a `Material`; the task knows every label of the set, the rows are `count` of them."""
    rows = read(pairs, HINTS)
    order = np.random.default_rng(seed).permutation(len(rows))[:count]
    return Material(name, rows.take(order), Classification().learn(rows))


def _text(row: dict[str, Any]) -> str:
    """The text column; of PubMedQA the question and its abstract, the long texts here."""
    return str(row["text"]) if "text" in row else " ".join([row["question"], *row["contexts"]])
