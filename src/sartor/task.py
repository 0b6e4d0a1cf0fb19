"""Task: what is predicted, and how well."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from sartor.asking import Asking
from sartor.data.hints import Hints
from sartor.data.rows import Kind
from sartor.errors import BadInput
from sartor.members import Members
from sartor.part import Part, names, part_class
from sartor.predictions import Integers, Predictions, Scores
from sartor.reading import Reading
from sartor.telling import Telling

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sartor.batch import Batch
    from sartor.body import Body
    from sartor.data.rows import Rows
    from sartor.network import Network


@dataclass(frozen=True, kw_only=True)
class Task(Part):
    """What is predicted. Legend: N rows, B batch, U vectors that the head reads of them, C outputs, D width.

    U is N, or B, where the head reads one vector a row (see `Batch.counts`)."""

    shelf: ClassVar[str] = "tasks"
    layout: ClassVar[str] = "row"
    """What its head reads: one vector a "row", one for each of its "tokens" or "frames" or of its two "sides", or many
    of which each may say one of its "boxes"; of "answers", texts that are said of something, or of "texts" that go on,
    one for each token that is to be said. A backbone says which it can be."""
    reading: ClassVar[Reading]
    """How its data are recognised, read, checked and parted."""
    members: ClassVar[Members] = Members()
    """The tasks that it is made of, where it is made of others."""
    asking: ClassVar[Asking] = Asking()
    """How its rows are put to a network."""
    telling: ClassVar[Telling] = Telling()
    """How its answers are told to people."""

    @abstractmethod
    def metrics(self) -> tuple[str, ...]:
        """The names of what `score` finds that a person may choose by, the headline first."""

    @abstractmethod
    def learn(self, rows: Rows) -> Self:
        """What only data knows (labels, scale); returns a new value. Raises `BadInput` for targets it cannot learn."""

    @abstractmethod
    def encode(self, rows: Rows, body: Body) -> Batch:
        """Rows -> tensors; `targets` are there only if the rows have them (serving has none)."""

    @abstractmethod
    def head(self, body: Body) -> nn.Module:
        """(U, D) features -> (U, C) outputs."""

    @abstractmethod
    def solve(self, features: Tensor, batch: Batch, head: nn.Module, seed: int) -> dict[str, Any]:
        """Fit `head` on frozen features (U, D) to its optimum, the penalty by cross-validation; what was chosen."""

    def solve_by(self, solver: str, features: Tensor, batch: Batch, head: nn.Module, seed: int) -> dict[str, Any]:
        """The same in a way that was asked for. Raises `BadInput` where the task knows no such way."""
        said = f"{self.name} has no solver '{solver}'"
        raise BadInput("SOLVER", said, fix="leave the solver out: every task has its own")

    def typical(self) -> Self:
        """The task as costs are measured by before anything is learned: a network that knows nothing says no end."""
        return self

    def solvable(self, examples: Batch) -> Batch | None:
        """The rows that a head can be fitted on by itself; none where it is a part of the body and moves with it."""
        return examples

    def membership(self, batch: Batch) -> Tensor | None:
        """(N, K) 1 where a row belongs to a class, for whoever brings rows of one class together; None: no classes."""
        return None

    @abstractmethod
    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """(B,) the loss of each example."""

    def say(self, net: Network, batch: Batch) -> Tensor:
        """(U, C) what is kept of one pass for `answer`: the outputs, or what of them tells."""
        outputs: Tensor = net(batch)
        return outputs

    @abstractmethod
    def answer(self, outputs: Tensor, rows: Rows) -> Predictions:
        """(U, C) outputs, as `say` keeps them, -> what the user asked for, with probabilities where there are any."""

    def complete(self, said: Predictions, net: Network, rows: Rows) -> Predictions:
        """The answers of one pass with what takes more than one: a text, word by word. Looks on the way go without."""
        return said

    @abstractmethod
    def score(self, predictions: Predictions, rows: Rows) -> Scores:
        """Headline metric first; per-row evidence for paired statistics."""

    def metric(self, name: str, predictions: Predictions, rows: Rows) -> Callable[[Integers], float]:
        """Positions -> the metric on those rows, for resampling; a task may be quicker than scoring anew."""

        def value(where: Integers) -> float:
            return self.score(predictions.take(where), rows.take(where)).metrics.get(name, math.nan)

        return value

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What a transformers `config.json` says of this task: `num_labels`, `id2label`, `problem_type`."""


def guess(kind: Kind) -> str | None:
    """The first task on the shelf that predicts columns of this kind."""
    return next((name for name in names("tasks") if _class(name).reading.offers(kind)), None)


def claimed(columns: Collection[str], hints: Hints) -> str | None:
    """The task whose data columns of these names are, where their names alone say so."""
    return next((name for name in names("tasks") if _class(name).reading.claims(columns, hints)), None)


def _class(name: str) -> type[Task]:
    return cast(type[Task], part_class("tasks", name))
