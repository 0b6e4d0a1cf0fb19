"""`sartor evaluate`: how good a bundle is on labelled rows, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sartor.data.hints import Hints


@dataclass(frozen=True)
class EvaluateResult:
    """`metrics`: name -> value; `intervals`: name -> value, low, high, n, level, method."""

    bundle: str
    rows: int
    intervals: Mapping[str, Mapping[str, Any]]

    @property
    def metrics(self) -> dict[str, float]:
        return {name: float(found["value"]) for name, found in self.intervals.items()}

    def to_json(self) -> dict[str, Any]:
        return {"bundle": self.bundle, "rows": self.rows, "metrics": self.metrics, "intervals": dict(self.intervals)}

    def __repr__(self) -> str:
        from sartor.report.terminal import scores

        return scores({**self.to_json(), "metrics": self.intervals})

    def _repr_html_(self) -> str:
        from sartor.report.notebook import block

        return block(repr(self))


def evaluate(bundle: Any, data: Any, *, hints: Hints = Hints()) -> EvaluateResult:  # noqa: B008
    """Score a bundle (a folder, or loaded) on labelled data. Raises `BadInput` where rows have no or unknown labels."""
    from sartor.measuring import intervals, labelled, opened

    made = opened(bundle)
    rows = labelled(made, data, hints)
    said = made.task.asking.ask(made.task, made.answer, rows)
    return EvaluateResult(str(made.path), len(rows), intervals(made.task, said, rows))
