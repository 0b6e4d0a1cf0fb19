"""Asking: how a task's rows are put to a network: one by one, or a few examples and what is asked beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.data.split import Split
    from sartor.predictions import Predictions

Answer = Callable[["Rows"], "Predictions"]


@dataclass(frozen=True)
class Shape:
    """An episode: `shots` examples of each of `ways` classes, then `queries` more of each, which are asked.

    mixed   its classes come from all groups, not from one
    named   its classes keep their numbers, because they mean the same in every group; else the first of an episode
            is its class 0, whatever it is
    """

    ways: int
    shots: int
    queries: int
    mixed: bool = False
    named: bool = False

    @property
    def each(self) -> int:
        """Rows that an episode takes of a class."""
        return self.shots + self.queries

    @property
    def support(self) -> int:
        """Rows that are learned from; they come first."""
        return self.ways * self.shots

    @property
    def rows(self) -> int:
        return self.ways * self.each


@dataclass(frozen=True)
class Asking:
    """The way of most tasks: a row is a question of its own, and a batch is any rows."""

    def shape(self, task: Any) -> Shape | None:
        """The episodes that the task is asked in; none: rows are asked as they are."""
        return None

    def refuse(self, task: Any, split: Split, learned: Shape | None) -> None:
        """Raise `BadInput` where a part of the data is too little to ask, or to learn from in the shape `learned`."""

    def ask(self, task: Any, answer: Answer, rows: Rows, most: int | None = None) -> Predictions:
        """The answers on held-out rows that `score` judges; of many questions at most `most`, where that is given."""
        return answer(rows)

    def served(self, task: Any, answer: Answer, rows: Rows) -> Answer:
        """The same for rows that come alone: with what must stand beside them, taken from `rows`."""
        return answer
