"""Several tasks at once: several data sets, one body, one head each (Caruana 1997, Multitask Learning).

            ┌─► head of sst2 ──► outputs 0, 1
x ──► body ─┼─► head of trec6 ─► outputs 2 ... 7      the heads side by side: one linear layer
            └─► head of price ─► output 8

A batch mixes rows of all tasks; of every row only its own task's outputs count. How often a task comes is tempered by
its size: n_k rows come with probability p_k ~ n_k^alpha (Raffel et al. 2019, arXiv 1910.10683, section 3.5.2).
How the tasks' losses are weighed against each other is the objective's: `uncertainty`, `pcgrad`.

Legend: N rows, B batch, K tasks, C outputs of all tasks, D width.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np

from sartor import part as parts
from sartor.data import sets
from sartor.data.hints import Hints
from sartor.data.rows import TASK
from sartor.data.table import Table
from sartor.errors import BadInput
from sartor.members import Members, Share
from sartor.part import learned
from sartor.predictions import Predictions, Scores
from sartor.reading import Reading
from sartor.task import Task, guess
from sartor.telling import Telling

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sartor.batch import Batch
    from sartor.body import Body
    from sartor.data.rows import Rows

WHICH = "task"
"""`Batch.dense`: (N,) the number of each row's task."""
TARGETS = "targets of "
"""`Batch.dense`: (N, ...) the targets of one task; zeros in the rows of the others."""


class _Sets(Reading):
    """Data sets of their own, or one table whose column `task` parts it into them."""

    def apart(self, table: Table) -> dict[str, Table]:
        if TASK not in table.columns:
            message = f"multitask learns from several data sets, or from one with a column '{TASK}'"
            raise BadInput("TASKS_COLUMN", message, fix="give several data sets", where=table.source)
        return {name: part for name, (_, part) in sets.apart(table).items()}

    def gathered(self, task: Task, tasks: Mapping[str, Task]) -> Task:
        return task.with_settings(names=tuple(tasks), tasks=tuple(tasks.values()))

    def hinted(self, columns: Collection[str], hints: Hints) -> Hints:
        message = "the data sets of multitask are read one by one"
        raise BadInput("TASKS_APART", message, fix="give each alone, without --task multitask")


class _Tasks(Members):
    """Those that a `Multitask` was made of."""

    def tasks(self, task: Task) -> dict[str, Task]:
        assert isinstance(task, Multitask)
        return dict(zip(task.names, task.tasks, strict=True))

    def places(self, task: Task, batch: Batch) -> Tensor:
        return batch.dense[WHICH]

    def outputs(self, task: Task) -> dict[str, slice]:
        ends = np.cumsum([0, *(int(t.describe()["num_labels"]) for t in self.tasks(task).values())]).tolist()
        return {name: slice(ends[k], ends[k + 1]) for k, name in enumerate(self.tasks(task))}

    def epoch(self, task: Task, examples: Batch, seed: int, epoch: int) -> Tensor:
        from sartor.engine.order import tempered

        assert isinstance(task, Multitask)
        return tempered(examples.rows, examples.dense[WHICH], task.alpha, seed, epoch)

    def shares(self, task: Task, said: Predictions, rows: Rows) -> dict[str, Share]:
        where = {name: sets.places(rows, name) for name in self.tasks(task)}
        return {
            name: Share(one, _alone(said.take(where[name]), name), sets.one(rows, name))
            for name, one in self.tasks(task).items()
            if len(where[name])
        }


@dataclass(frozen=True, kw_only=True)
class Multitask(Task):
    """A task made of tasks. `alpha` 1: every row once in an epoch; 0: all tasks equally often, whatever their sizes."""

    reading: ClassVar[Reading] = _Sets(frozenset())
    members: ClassVar[Members] = _Tasks()
    telling: ClassVar[Telling] = Telling(pipeline="")

    alpha: float = 1.0
    names: tuple[str, ...] = learned(())
    tasks: tuple[Task, ...] = learned(())

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise BadInput("VALUE_RANGE", f"multitask.alpha is {self.alpha:g}", fix="give between 0 and 1")
        for name, task in zip(self.names, self.tasks, strict=True):
            if task.layout != self.layout:
                message = f"multitask has one answer a row, and '{name}' ({task.name}) has one for its {task.layout}"
                raise BadInput("TASKS_LAYOUT", message, fix="train it alone")

    def metrics(self) -> tuple[str, ...]:
        return ("mean_loss",)

    def learn(self, rows: Rows) -> Self:
        known = dict(zip(self.names, self.tasks, strict=True))
        found = {name: sets.one(rows, name) for name in rows.schema.members}
        tasks = tuple((known.get(name) or _guessed(some)).learn(some) for name, some in found.items())
        return self.with_settings(names=tuple(found), tasks=tasks)

    def encode(self, rows: Rows, body: Body) -> Batch:
        import torch

        parts = []
        for k, (name, task) in enumerate(self.members.tasks(self).items()):
            where = sets.places(rows, name)
            if len(where):
                parts.append((k, where, task.encode(sets.one(rows, name), body)))
        return replace(_mixed(parts), rows=torch.from_numpy(rows.numbers))

    def head(self, body: Body) -> nn.Module:
        import torch
        from torch import nn

        heads = {name: task.head(body) for name, task in self.members.tasks(self).items()}
        for name, head in heads.items():
            if not isinstance(head, nn.Linear) or head.bias is None:
                message = (
                    f"the head of '{name}' is a {type(head).__name__}, and multitask puts linear heads side by side"
                )
                raise BadInput("TASKS_HEAD", message, fix="train it alone")
        linear = cast("list[nn.Linear]", list(heads.values()))
        whole = nn.Linear(body.width, sum(head.out_features for head in linear))
        whole.load_state_dict({part: torch.cat([h.state_dict()[part] for h in linear]) for part in ("weight", "bias")})
        return whole

    def solve(self, features: Tensor, batch: Batch, head: nn.Module, seed: int) -> dict[str, Any]:
        """Every head at its own optimum, on the rows of its task."""
        from torch import nn

        weights, outputs = head.state_dict(), self.members.outputs(self)
        chosen: dict[str, dict[str, Any]] = {}
        for k, (name, task) in enumerate(self.members.tasks(self).items()):
            where, own = _own(batch, k)
            if len(where):
                alone = nn.Linear(features.shape[1], outputs[name].stop - outputs[name].start)
                found = task.solve(features[where], own, alone, seed)
                for part, values in alone.state_dict().items():
                    weights[part][outputs[name]] = values
                for said, value in found.items():
                    chosen.setdefault(said, {})[name] = value
        head.load_state_dict(weights)
        return chosen

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        losses = outputs.new_zeros(len(batch))
        stretches = self.members.outputs(self)
        for k, (name, task) in enumerate(self.members.tasks(self).items()):
            where, own = _own(batch, k)
            if len(where):
                there = where.to(outputs.device)
                losses = losses.index_put((there,), task.loss(outputs[there][:, stretches[name]], own))
        return losses

    def answer(self, outputs: Tensor, rows: Rows) -> Predictions:
        """Every row's answer by its own task; of the labels `task/label`, those of other tasks have no probability."""
        stretches = self.members.outputs(self)
        found = []
        for name, task in self.members.tasks(self).items():
            where = sets.places(rows, name)
            some = sets.one(rows, name) if len(where) else rows.take([])
            found.append((name, where, task.answer(outputs[where][:, stretches[name]], some)))
        return _together(found, rows)

    def score(self, predictions: Predictions, rows: Rows) -> Scores:
        """The mean over the tasks of what each one's runs are judged by: log-loss behind a temperature, or the absolute
        error in deviations of the training targets. The tasks' own metrics stand in `members`."""
        shares = self.members.shares(self, predictions, rows)
        found = {name: share.task.score(share.said, share.rows) for name, share in shares.items()}
        losses = np.zeros(len(rows))
        for name, scores in found.items():
            where = sets.places(rows, name)
            losses[where] = scores.losses * len(rows) / (len(found) * len(where))
        return Scores({"mean_loss": float(losses.mean())}, {"mean_loss": losses}, members=found)

    def describe(self) -> dict[str, Any]:
        """All outputs under the names `task/label`; what they mean differs from task to task."""
        told = [(name, task.describe()) for name, task in self.members.tasks(self).items()]
        labels = [f"{name}/{label}" for name, one in told for label in one["id2label"].values()]
        places = {label: i for i, label in enumerate(labels)}
        return {"num_labels": len(labels), "id2label": dict(enumerate(labels)), "label2id": places}


def _guessed(rows: Rows) -> Task:
    """The task that rows of one set are for by the kind of their target."""
    target = rows.schema.target
    if target is None:
        raise BadInput("LABEL_COLUMN", "the rows have no target column", fix="pass --target NAME", where=rows.source)
    return cast(Task, parts.part("tasks", str(guess(rows.schema.kind(target)))))


def _own(batch: Batch, number: int) -> tuple[Tensor, Batch]:
    """Where the rows of one task lie, and they as its own batch."""
    where = (batch.dense[WHICH] == number).nonzero()[:, 0]
    known = batch.dense.get(f"{TARGETS}{number}")
    return where, replace(batch.take(where), targets=None if known is None else known[where])


def _mixed(parts: list[tuple[int, Any, Batch]]) -> Batch:
    """Batches of several tasks as one, every row at its place; `targets`: (N, K) 1 where the row has its task's."""
    import torch

    from sartor.batch import joined

    order = torch.from_numpy(np.argsort(np.concatenate([where for _, where, _ in parts])))
    batch = joined([some for _, _, some in parts])
    which = torch.cat([torch.full((len(some),), k) for k, _, some in parts])
    dense = {**batch.dense, WHICH: which}
    known = [some.targets for _, _, some in parts if some.targets is not None]
    if len(known) < len(parts):
        return replace(batch, dense=dense, targets=None).take(order)
    for (k, _, _), targets in zip(parts, known, strict=True):
        dense[f"{TARGETS}{k}"] = targets.new_zeros(len(batch), *targets.shape[1:])
        dense[f"{TARGETS}{k}"][which == k] = targets
    there = torch.nn.functional.one_hot(which, 1 + max(k for k, _, _ in parts))
    return replace(batch, dense=dense, targets=there).take(order)


def _together(found: list[tuple[str, Any, Predictions]], rows: Rows) -> Predictions:
    """The answers of several tasks in the order of the rows."""
    values = np.empty(len(rows), dtype=object)
    labels = tuple(f"{name}/{label}" for name, _, said in found for label in said.labels)
    probabilities = np.full((len(rows), len(labels)), np.nan)
    start = 0
    for _, where, said in found:
        values[where] = said.values
        if said.probabilities is not None:
            end = start + len(said.labels)
            probabilities[where, start:end] = said.probabilities
            start = end
    if not labels:
        return Predictions(rows.numbers, values.astype(np.float64))
    return Predictions(rows.numbers, values, labels, probabilities)


def _alone(said: Predictions, name: str) -> Predictions:
    """One task's answers as it gives them by itself."""
    mine = [i for i, label in enumerate(said.labels) if label.startswith(f"{name}/")]
    rows = said.rows % sets.SPAN
    if not mine or said.probabilities is None:
        return Predictions(rows, said.values.astype(np.float64))
    labels = tuple(said.labels[i].removeprefix(f"{name}/") for i in mine)
    return Predictions(rows, said.values, labels, said.probabilities[:, mine])
