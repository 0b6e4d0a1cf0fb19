"""Opening: data, checked and split, with the task that fits it: how every training verb begins. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

from sartor import part as parts
from sartor.data.checks import Problem, require_clean
from sartor.data.hints import Hints
from sartor.data.read import read
from sartor.data.rows import Rows
from sartor.data.split import Split, split
from sartor.errors import BadInput, did_you_mean
from sartor.task import Task

METRICS = {
    "one": ("accuracy", "macro_f1", "log_loss", "brier", "auc"),
    "several": ("micro_f1", "macro_f1", "exact_match", "label_accuracy", "log_loss"),
    "number": ("mae", "rmse", "r2", "spearman"),
}


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
    """Read, check and split the data; guess the task from the target. Raises `BadInput` for the first mistake."""
    rows = read(data, _as_number(hints) if (task or "").split(":")[0] == "regression" else hints)
    given = {"validation": validation, "test": test}
    others = {name: read(source, like=rows.schema) for name, source in given.items() if source is not None}
    for name, part in others.items():
        if part.schema.target is None:
            fix = f"add the column '{rows.schema.target}'"
            raise BadInput("LABEL_COLUMN", f"the {name} part has no target column", fix=fix, where=part.source)
    warnings = require_clean(rows, others)
    made = split(rows, seed=seed, validation=others.get("validation"), test=others.get("test"))
    return Opening(made, _task(task, rows).learn(made.train), warnings)


def check_metric(metric: str | None, task: Task) -> None:
    """Raises `BadInput` where the task has no such metric."""
    if metric is None:
        return
    problem = str(task.describe()["problem_type"])
    kind = {"regression": "number", "multi_label_classification": "several"}.get(problem, "one")
    known = [m for m in METRICS[kind] if m != "auc" or task.describe()["num_labels"] == 2]
    if metric not in known:
        fix = did_you_mean(metric, known)
        raise BadInput("METRIC_TASK", f"{task.name} has no metric '{metric}'", fix=fix)


def _as_number(hints: Hints) -> Hints:
    """Regression was asked for: whole numbers with few values are numbers too."""
    if hints.target is None or hints.target in hints.kinds:
        return hints
    return replace(hints, kinds={**hints.kinds, hints.target: "number"})


def _task(spelled: str | None, rows: Rows) -> Task:
    """The named task, or the one the target's kind asks for; a named one must fit the target."""
    kind = rows.schema.kind(str(rows.schema.target))
    guessed = "regression" if kind == "number" else "classification"
    task = cast(Task, parts.part("tasks", spelled or guessed))
    where = rows.source
    if task.name == "regression" and kind != "number":
        fix = f"use --task classification, or --kind {rows.schema.target}=number"
        raise BadInput("LABEL_TYPE", f"the target '{rows.schema.target}' holds no numbers", fix=fix, where=where)
    if task.name == "classification" and kind == "number":
        fix = f"use --task regression, or --kind {rows.schema.target}=category"
        raise BadInput("LABEL_TYPE", f"the target '{rows.schema.target}' holds numbers", fix=fix, where=where)
    return task
