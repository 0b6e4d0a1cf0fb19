"""Next item: what a user will take next, from what the user took before.

Every item that the user has not had is ranked (Krichene and Rendle 2020: rankings of a sample order models otherwise);
the last item of each user is asked, as the field does.

Legend: N rows, B batch, U positions of all rows, C items, D width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from sartor.classical.ranking import Ranking, gains
from sartor.data import histories
from sartor.data.hints import Hints
from sartor.data.inputs import inputs
from sartor.data.items import NEXT, catalogue, of_rows
from sartor.data.leave_one_out import leave_one_out
from sartor.data.problem import Problem
from sartor.data.rows import Rows, Schema
from sartor.data.split import Split
from sartor.data.table import Table
from sartor.errors import BadInput
from sartor.part import learned
from sartor.predictions import Floats, Integers, Predictions, Scores
from sartor.reading import Reading
from sartor.task import Task
from sartor.telling import Telling

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sartor.batch import Batch
    from sartor.body import Body

LEAST = 20
"""Users of a table that can be parted."""
SHOWN = 5
"""Items of a history that the report shows."""


class _Interactions(Reading):
    """A user, an item and a time in each row, or a user and a list of items."""

    def offers(self, kind: str) -> bool:
        return False

    def claims(self, columns: Collection[str], hints: Hints) -> bool:
        return histories.recognised(columns, hints)

    def formed(self, task: Any, table: Table, hints: Hints, like: Schema | None = None, asked: bool = False) -> Table:
        found = histories.roles(table, hints if like is None else _remembered(table, like))
        if like is not None and like.time and found.time is None and not found.listed:
            fix = f"add it, or give each user one row with a list of items in '{like.inputs[0]}'"
            said = f"the time column '{like.time}' is missing"
            raise BadInput("DATA_COLUMN_MISSING", said, fix=fix, where=table.source)
        item = like.inputs[0] if like is not None else found.item
        return histories.formed(
            table, found, asked=asked, learns=like is None, repeats=task.repeats, seed=task.tie_seed, item=item
        )

    def hinted(self, columns: Collection[str], hints: Hints) -> Hints:
        """The columns of `formed`, the history before what came next."""
        names = [name for name in columns if name != NEXT]
        item, user, time = names[len(names) > 1], names[:-1][:1], names[2:]
        kinds = {item: "items", NEXT: "items"} | dict.fromkeys(user, "id") | dict.fromkeys(time, "number")
        reasons = {item: "what a user had, oldest first", NEXT: "what came next"}
        reasons |= dict.fromkeys(user, "who") | dict.fromkeys(time, "when the last of it was")
        return Hints(
            target=NEXT, kinds=kinds, reasons=reasons, group=next(iter(user), None), time=next(iter(time), None)
        )

    def problems(self, rows: Rows, others: Mapping[str, Rows]) -> tuple[Problem, ...]:
        return tuple(sorted(histories.problems(rows, others, LEAST), key=lambda p: p.severity != "error"))

    def divide(self, rows: Rows, seed: int, validation: Rows | None, test: Rows | None) -> Split:
        return leave_one_out(rows, seed, validation, test)


def _remembered(table: Table, like: Schema) -> Hints:
    """The columns of the training part, where this table has them."""
    there = {name: name if name in table.columns else None for name in (like.group, like.time, *like.inputs) if name}
    group, time = (there.get(name) if name else None for name in (like.group, like.time))
    return Hints(target=there[like.inputs[0]], group=group, time=time)


class _Ranked(Telling):
    """The first items, the most probable first."""

    def notes(self, task: Task) -> tuple[str, ...]:
        items = len(getattr(task, "items", ()))
        words = f"Its words are the {items:,} items in the order of their names, then MASK and NONE."
        return (words, "Items that no training user had cannot be answered, and are passed over in a history.")

    def told(self, predictions: Predictions, rows: Rows) -> list[dict[str, Any]]:
        """`prediction`: the items; `chances`: how probable each is; who asked; `unknown`: items that are not known."""
        assert predictions.probabilities is not None
        place, user = {item: i for i, item in enumerate(predictions.labels)}, rows.schema.group
        out: list[dict[str, Any]] = []
        for i, (items, history) in enumerate(zip(predictions.values, of_rows(rows), strict=True)):
            who = {user: rows.columns[user][i]} if user in rows.columns else {}
            chances = [float(predictions.probabilities[i, place[item]]) for item in items]
            unknown = [item for item in history if item not in place]
            more = {"unknown": unknown} if unknown else {}
            out.append({**who, "prediction": list(items), "chances": chances, **more})
        return out

    def mistakes(self, predictions: Predictions, rows: Rows, most: int) -> list[dict[str, Any]]:
        """The users whose next item was not among the first, those first that were surest of theirs."""
        assert predictions.probabilities is not None
        truths, user = rows.targets() or (), rows.schema.group
        wrong = [i for i, truth in enumerate(truths) if truth and truth[0] not in predictions.values[i]]
        size = predictions.probabilities.max(1)
        histories_ = of_rows(rows)
        return [
            {
                "text": (f"{rows.columns[user][i]}: " if user in rows.columns else "")
                + " → ".join(["…", *histories_[i][-SHOWN:]] if len(histories_[i]) > SHOWN else histories_[i]),
                "label": truths[i][0],
                "prediction": ", ".join(predictions.values[i][:SHOWN]),
                "probability": float(size[i]),
                "row": int(rows.numbers[i]),
                "line": int(rows.lines[i]),
            }
            for i in sorted(wrong, key=lambda i: -size[i])[:most]
        ]


@dataclass(frozen=True, kw_only=True)
class NextItem(Task):
    """Which item comes next; every item of the training part is ranked, those left out that the user had before.

    The loss of a row is summed over its positions, in units of the training rows' mean: every item weighs the same."""

    layout: ClassVar[str] = "items"
    reading: ClassVar[Reading] = _Interactions(frozenset({"items"}))
    telling: ClassVar[Telling] = _Ranked("text-generation")
    several: ClassVar[bool] = False

    k: int = 10
    """Places that are scored and shown."""
    repeats: bool = False
    """An item that a user had may come again; otherwise only the first time counts and such items are not ranked."""
    tie_seed: int = 0
    """Draws the order of one user's interactions at one moment."""
    items: tuple[str, ...] = learned(())
    mean_length: float = learned(1.0)
    """Items to predict in a training row."""

    def __post_init__(self) -> None:
        if self.k < 1:
            raise BadInput("VALUE_RANGE", f"next_item.k is {self.k}", fix="give at least 1")

    def metrics(self) -> tuple[str, ...]:
        return (*gains(np.zeros(0, dtype=np.int64), self.k), "log_loss")

    def learn(self, rows: Rows) -> Self:
        targets = rows.targets()
        if targets is None:
            raise BadInput(
                "LABEL_COLUMN", "the rows have no target column", fix="pass --target NAME", where=rows.source
            )
        length = sum(len(t or ()) for t in targets) / max(1, len(rows))
        return self.with_settings(items=catalogue(rows), mean_length=max(1.0, length))

    def encode(self, rows: Rows, body: Body) -> Batch:
        """Targets: the number of the item that came next, at each position that is read; -1 for an unknown one."""
        import torch

        targets, place = rows.targets(), self._ranking().place()
        asked = [len(t or ()) for t in targets] if targets is not None else [1] * len(rows)
        batch = body.encode({**inputs(rows, body.reads), "asked": asked})
        found = replace(batch, rows=torch.from_numpy(rows.numbers))
        if targets is None or batch.counts is None:
            return found
        known = [[place.get(item, -1) for item in t or ()] or [-1] for t in targets]
        told = [line[-count:] for line, count in zip(known, batch.counts.tolist(), strict=True)]
        return replace(found, targets=torch.tensor([number for line in told for number in line]))

    def head(self, body: Body) -> nn.Module:
        return body.heads["classifier"]

    def solve(self, features: Tensor, batch: Batch, head: nn.Module, seed: int) -> dict[str, Any]:
        """Nothing: the head is the body's own table, which is learned with it."""
        return {}

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """(B,)"""
        from torch.nn import functional

        assert batch.targets is not None
        targets = batch.targets.to(outputs.device)
        each = functional.cross_entropy(outputs, targets, reduction="none", ignore_index=-1)
        return batch.summed(each) / self.mean_length

    def answer(self, outputs: Tensor, rows: Rows) -> Predictions:
        """The first k items, and how probable each item is among those that the user has not had."""
        import torch

        return self._ranking().answers(rows, outputs.detach().to(torch.float64).numpy())

    def score(self, predictions: Predictions, rows: Rows) -> Scores:
        """Means over users; an item that cannot be answered counts as never found."""
        items = self._evidence(predictions, rows)
        return Scores({name: float(each.mean()) for name, each in items.items()}, items, unit="users")

    def metric(self, name: str, predictions: Predictions, rows: Rows) -> Callable[[Integers], float]:
        each = self._evidence(predictions, rows).get(name)
        return lambda where: math.nan if each is None else float(each[where].mean())

    def describe(self) -> dict[str, Any]:
        return {
            "num_labels": len(self.items),
            "id2label": dict(enumerate(self.items)),
            "label2id": {item: i for i, item in enumerate(self.items)},
        }

    def _evidence(self, predictions: Predictions, rows: Rows) -> dict[str, Floats]:
        if rows.targets() is None:
            fix = "use `sartor predict` for rows without labels"
            raise BadInput("EVAL_NO_LABELS", "the rows have no labels to score against", fix=fix, where=rows.source)
        ranking = self._ranking()
        found = gains(ranking.ranks(predictions, rows), self.k)
        return {**found, "log_loss": ranking.losses(predictions, rows)}

    def _ranking(self) -> Ranking:
        return Ranking.of(self)
