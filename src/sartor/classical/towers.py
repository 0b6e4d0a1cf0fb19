"""What is said of pairs by whoever has a vector for each of their sides. Legend: N rows, V numbers of a vector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sartor.errors import BadInput
from sartor.predictions import Integers, Predictions

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.task import Task

Line = tuple[float, float]
Sides = tuple[Any, Any]
"""(N, V) of unit length, dense or sparse: the first sides and the second ones."""


def told(task: Task, rows: Rows, sides: Sides, line: Line | None = None) -> Predictions:
    """Pairs answered by cosines; scores lie on `line` over them: where 0 lies, and what 1 more is worth."""
    left, right = sides

    def similar(a: Integers, b: Integers) -> Any:
        found = left[a] @ right[b].T
        return found.toarray() if hasattr(found, "toarray") else found

    said: Predictions = pairing(task).told(rows, similar, line)
    return said


def line_through(task: Task, rows: Rows, sides: Sides) -> Line | None:
    """Least squares of the scores on the cosines of the rows; None where no scores are learned."""
    if not pairing(task).scored:
        return None
    left, right = sides
    cosines = np.asarray((left.multiply(right) if hasattr(left, "multiply") else left * right).sum(1)).ravel()
    known = np.asarray(rows.targets(), dtype=np.float64)
    if np.ptp(cosines) == 0:
        return float(known.mean()), 0.0
    slope, at = np.polyfit(cosines.astype(np.float64), known, 1)
    return float(at), float(slope)


def pairing(task: Task) -> Any:
    """The task, which pairs. Raises `BadInput` for one that does not."""
    if task.layout != "sides":
        said = f"a baseline of pairs cannot predict what the task '{task.name}' asks for"
        raise BadInput("BASELINE_TASK", said, fix="use --task matching")
    return task
