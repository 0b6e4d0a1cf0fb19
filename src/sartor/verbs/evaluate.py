"""`sartor evaluate`: how good a bundle is on labelled rows, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sartor.data.hints import Hints


@dataclass(frozen=True)
class EvaluateResult:
    """`metrics`: name -> value, low, high, level, method, n."""

    bundle: str
    rows: int
    metrics: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"bundle": self.bundle, "rows": self.rows, "metrics": dict(self.metrics)}


def evaluate(bundle: Any, data: Any, *, hints: Hints = Hints()) -> EvaluateResult:  # noqa: B008
    """Score a bundle (a folder, or loaded) on labelled data. Raises `BadInput` where rows have no or unknown labels."""
    from sartor.measuring import intervals, labelled, opened

    made = opened(bundle)
    rows = labelled(made, data, hints)
    said = made.answer(rows)
    return EvaluateResult(str(made.path), len(rows), intervals(made.task, said, rows))
