"""`sartor evaluate`: how good a bundle is on labelled rows, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sartor.data.hints import Hints


@dataclass(frozen=True)
class EvaluateResult:
    """`metrics`: name -> value; `intervals`: name -> value, low, high, n, level, method; `tasks`: of each task of a
    bundle that has several, its `rows`, `labels` and `intervals`."""

    bundle: str
    rows: int
    intervals: Mapping[str, Mapping[str, Any]]
    tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, float]:
        return {name: float(found["value"]) for name, found in self.intervals.items()}

    def to_json(self) -> dict[str, Any]:
        told = {"bundle": self.bundle, "rows": self.rows, "metrics": self.metrics, "intervals": dict(self.intervals)}
        return told | ({"tasks": dict(self.tasks)} if self.tasks else {})

    def __repr__(self) -> str:
        from sartor.report.terminal import scores

        return scores({**self.to_json(), "metrics": self.intervals})

    def _repr_html_(self) -> str:
        from sartor.report.notebook import block

        return block(repr(self))


def evaluate(
    bundle: Any,
    data: Any,
    *,
    hints: Hints = Hints(),  # noqa: B008
    task_name: str | None = None,
) -> EvaluateResult:
    """Score a bundle (a folder, or loaded) on labelled data; of one that has several tasks `task_name` alone, or each
    row by the task that its column `task` names. Raises `BadInput` where rows have no or unknown labels."""
    from sartor.measuring import by_task, intervals, labelled, opened

    made = opened(bundle, task_name)
    rows = labelled(made, data, hints)
    said = made.task.asking.ask(made.task, made.answer, rows)
    found = intervals(made.task, said, rows)
    return EvaluateResult(str(made.path), len(rows), found, by_task(made.task, said, rows))
