"""Opening: data, checked and split, with the task that fits it: how every training verb begins. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from sartor import part as parts
from sartor.backbone import Backbone
from sartor.data import joint, sets
from sartor.data.checks import Problem, require_clean
from sartor.data.hints import Hints
from sartor.data.read import open_table, read
from sartor.data.rows import KINDS, Rows
from sartor.data.sources import Source, sources
from sartor.data.split import Split
from sartor.data.table import Table
from sartor.errors import BadInput, did_you_mean
from sartor.task import Task, claimed, guess

TOGETHER = "multitask"
"""The task that several data sets are learned by, where none is named."""


@dataclass(frozen=True)
class Opening:
    """Three parts, the task with what the training part taught it, and what is worth a warning."""

    split: Split
    task: Task
    warnings: tuple[Problem, ...]

    def facts(self) -> dict[str, Any]:
        schema = self.split.train.schema
        told = {
            "source": self.split.train.source,
            "schema": schema.to_json(),
            "parts": self.split.sizes(),
            "how": self.split.how,
            "fingerprint": self.split.fingerprint,
            "task": self.task.to_json(),
        }
        return told | ({"sets": self._sets()} if schema.members else {})

    def _sets(self) -> dict[str, Any]:
        """Of each data set: its file and the sizes of its parts; the numbers of its rows begin at `first`."""
        parts = {"train": self.split.train, "validation": self.split.validation, "test": self.split.test}
        return {
            name: {
                "source": source,
                "parts": {part: len(sets.places(rows, name)) for part, rows in parts.items()},
                "first": k * sets.SPAN,
            }
            for k, (name, source) in enumerate(self.split.train.sources.items())
        }

    def numbers(self) -> dict[str, list[int]]:
        """Which row is in which part, by its number in its file."""
        parts = {"train": self.split.train, "validation": self.split.validation, "test": self.split.test}
        return {name: rows.numbers.tolist() for name, rows in parts.items()}


def open_data(data: Any, hints: Hints, task: str | None, validation: Any, test: Any, seed: int) -> Opening:
    """Read, check and split the data; guess the task from them. Raises `BadInput` for the first mistake."""
    apart = sources(data, hints)
    if apart:
        _refuse_parts(validation, test, len(apart))
        return _together(apart, task, seed)
    table = open_table(data)
    apart = _within(table, hints, task, {"validation": validation, "test": test})
    return _together(apart, task, seed) if apart else _alone(Source(table, hints, task, validation, test), seed)


def aware(opening: Opening, backbones: Iterable[Backbone]) -> Opening:
    """The opening with a warning for each backbone that has seen the same data before, parted otherwise: what is held
    out now it may have been trained on."""
    now = opening.facts()
    found = {}
    for name, told in ((b.spelled(), told) for b in backbones for told in b.trained_on()):
        seen = sorted(_places(now) & _places(told))
        if seen and told.get("fingerprint") != now["fingerprint"]:
            message = f"{name} was trained on rows of {', '.join(seen)}, parted otherwise: it may know what is held out"
            fix = "hold out rows that it has never seen"
            found[message] = Problem("BACKBONE_SEEN", "warning", message, fix, len(opening.split.train))
    return replace(opening, warnings=(*opening.warnings, *found.values()))


def _places(facts: Mapping[str, Any]) -> set[str]:
    """Where data came from, of several data sets each one's; a table in memory comes from nowhere."""
    names = [str(one["source"]) for one in facts.get("sets", {}).values()] or [str(facts.get("source"))]
    return {os.path.abspath(n) if os.path.exists(n) else n for n in names if os.path.exists(n) or ":" in n}


def _alone(source: Source, seed: int, twin: Split | None = None) -> Opening:
    """One data set by itself; parted like its `twin`, where another task's split is of the same rows."""
    rows, asked = read_for(source.data, source.hints, source.task)
    given = {"validation": source.validation, "test": source.test}
    others = {n: read_like(part, source.hints, asked, rows) for n, part in given.items() if part is not None}
    for name, part in others.items():
        if part.schema.target is None and rows.schema.target is not None:
            fix = f"add the column '{rows.schema.target}'"
            raise BadInput("LABEL_COLUMN", f"the {name} part has no target column", fix=fix, where=part.source)
    warnings = require_clean(asked.reading.problems(rows, others), rows.source)
    if twin is not None:
        made = joint.alike(rows, twin)
    else:
        made = asked.reading.divide(rows, seed, others.get("validation"), others.get("test"))
    return Opening(made, asked.learn(made.train), warnings)


def _together(apart: Mapping[str, Source], task: str | None, seed: int) -> Opening:
    """Every data set as it is alone, then all in one; what one holds out is not trained on by another."""
    asked = cast(Task, parts.part("tasks", task or TOGETHER))
    opened: dict[str, Opening] = {}
    for name, source in apart.items():
        opened[name] = _alone(source, seed, next((opened[o].split for o in opened if _same(apart[o], source)), None))
    made = asked.reading.gathered(asked, {name: one.task for name, one in opened.items()})
    split, left_out = joint.together({name: one.split for name, one in opened.items()})
    warnings = [replace(w, message=f"{name}: {w.message}") for name, one in opened.items() for w in one.warnings]
    return Opening(split, made, (*warnings, *left_out))


def _within(table: Table, hints: Hints, task: str | None, given: Mapping[str, Any]) -> dict[str, Source]:
    """The data sets that lie in one table, where the named task is one that learns from several."""
    if task is None:
        return {}
    reading = cast(Task, parts.part("tasks", task)).reading
    found = reading.apart(table)
    others = {name: reading.apart(open_table(part)) for name, part in given.items() if found and part is not None}
    sides = {name: {which: tables.get(name) for which, tables in others.items()} for name in found}
    return {
        name: Source(table, hints, validation=sides[name].get("validation"), test=sides[name].get("test"))
        for name, table in found.items()
    }


def _same(one: Source, other: Source) -> bool:
    """Whether two tasks are learned from the same rows, and may be parted alike."""
    given = (one.validation, one.test, other.validation, other.test)
    same = one.data is other.data or (isinstance(one.data, str) and one.data == other.data)
    return same and all(part is None for part in given) and one.hints.time == other.hints.time


def _refuse_parts(validation: Any, test: Any, count: int) -> None:
    for name, part in (("validation", validation), ("test", test)):
        if part is not None:
            fix = f"give each data set its own {name} part, under tasks: in a configuration"
            raise BadInput("TASKS_PARTS", f"one {name} part is given for {count} data sets", fix=fix)


def read_for(data: Any, hints: Hints, task: str | None) -> tuple[Rows, Task]:
    """The rows as the task reads them, and the task: the named one, the one that columns of such names are for, or the
    one that the target's kind asks for."""
    table = open_table(data)
    named = task or claimed(table.columns, hints)
    if named is not None:
        asked = cast(Task, parts.part("tasks", named))
        table = asked.reading.formed(asked, table, hints)
        rows = read(table, asked.reading.hinted(table.columns, hints))
        _refuse(asked, rows)
        return rows, asked
    rows = read(table, hints)
    found = guess(rows.schema.kind(str(rows.schema.target)))
    return rows, cast(Task, parts.part("tasks", str(found)))


def read_like(data: Any, hints: Hints, task: Task, rows: Rows) -> Rows:
    """A given part, in the form and under the schema of the training part."""
    table = task.reading.formed(task, open_table(data), hints, like=rows.schema)
    return read(table, hints, like=rows.schema)


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
