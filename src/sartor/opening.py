"""Opening: data, checked and split, with the task that fits it: how every training verb begins. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from sartor import part as parts
from sartor.data.checks import Problem, require_clean
from sartor.data.hints import Hints
from sartor.data.read import open_table, read
from sartor.data.rows import KINDS, Rows
from sartor.data.split import Split
from sartor.errors import BadInput, did_you_mean
from sartor.task import Task, claimed, guess


@dataclass(frozen=True)
class Opening:
    """Three parts, the task with what the training part taught it, and what is worth a warning."""

    split: Split
    task: Task
    warnings: tuple[Problem, ...]

    def facts(self) -> dict[str, Any]:
        schema = self.split.train.schema
        return {
            "source": self.split.train.source,
            "schema": schema.to_json(),
            "parts": self.split.sizes(),
            "how": self.split.how,
            "fingerprint": self.split.fingerprint,
            "task": self.task.to_json(),
        }

    def numbers(self) -> dict[str, list[int]]:
        """Which row is in which part, by its number in its file."""
        parts = {"train": self.split.train, "validation": self.split.validation, "test": self.split.test}
        return {name: rows.numbers.tolist() for name, rows in parts.items()}


def open_data(data: Any, hints: Hints, task: str | None, validation: Any, test: Any, seed: int) -> Opening:
    """Read, check and split the data; guess the task from them. Raises `BadInput` for the first mistake."""
    rows, asked = read_for(data, hints, task)
    given = {"validation": validation, "test": test}
    others = {name: read(source, hints, like=rows.schema) for name, source in given.items() if source is not None}
    for name, part in others.items():
        if part.schema.target is None and rows.schema.target is not None:
            fix = f"add the column '{rows.schema.target}'"
            raise BadInput("LABEL_COLUMN", f"the {name} part has no target column", fix=fix, where=part.source)
    warnings = require_clean(asked.reading.problems(rows, others), rows.source)
    made = asked.reading.divide(rows, seed, others.get("validation"), others.get("test"))
    return Opening(made, asked.learn(made.train), warnings)


def read_for(data: Any, hints: Hints, task: str | None) -> tuple[Rows, Task]:
    """The rows as the task reads them, and the task: the named one, the one that columns of such names are for, or the
    one that the target's kind asks for."""
    table = open_table(data)
    named = task or claimed(table.columns, hints)
    if named is not None:
        asked = cast(Task, parts.part("tasks", named))
        rows = read(table, asked.reading.hinted(table.columns, hints))
        _refuse(asked, rows)
        return rows, asked
    rows = read(table, hints)
    found = guess(rows.schema.kind(str(rows.schema.target)))
    return rows, cast(Task, parts.part("tasks", str(found)))


def _refuse(task: Task, rows: Rows) -> None:
    """Raise `BadInput` where the target column is of no kind that the task predicts."""
    target, known = rows.schema.target, task.reading.predicts
    if target is None or rows.schema.kind(target) in known:
        return
    kind = rows.schema.kind(target)
    kinds = " or ".join(k for k in KINDS if k in known)
    instead, first = guess(kind), next(k for k in KINDS if k in known)
    fix = f"use --task {instead}, or --kind {target}={first}" if instead else f"pass --kind {target}={first}"
    message = f"{task.name} predicts a column of kind {kinds}, and '{target}' is of kind {kind}"
    raise BadInput("LABEL_TYPE", message, fix=fix, where=rows.source)


def check_metric(metric: str | None, task: Task) -> None:
    """Raises `BadInput` where the task has no such metric."""
    if metric is not None and metric not in task.metrics():
        fix = did_you_mean(metric, task.metrics())
        raise BadInput("METRIC_TASK", f"{task.name} has no metric '{metric}'", fix=fix)
