"""Telling: how the answers of a task are told to people: in the output of `predict`, in the report, on the card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sartor.data import sounds
from sartor.data.cells import READABLE, written

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.predictions import Predictions
    from sartor.task import Task

SHOWN = ("text", "image", "audio")
"""Kinds of input that say something to a reader; media by their names."""


def _row(rows: Rows, i: int) -> str:
    """A row of a table in words; empty where none of its columns can be written."""
    readable = any(rows.schema.kind(name) in READABLE for name in rows.schema.inputs)
    return written(rows.take([i]))[0] if readable else ""


def audible(rows: Rows, i: int) -> dict[str, str]:
    """`sound`: what the row sounds like, where it does."""
    heard = [rows.columns[name][i] for name in rows.schema.reading("audio")]
    found = sounds.played(heard[0]) if heard and heard[0] is not None else ""
    return {"sound": found} if found else {}


@dataclass(frozen=True)
class Telling:
    """The way of most tasks: one answer a row, a label, several of them or a number.

    pipeline   what transformers calls a pipeline of such models
    """

    pipeline: str = "text-classification"

    def notes(self, task: Task) -> tuple[str, ...]:
        """What whoever uses a saved model must know, in sentences."""
        return ()

    def told(self, predictions: Predictions, rows: Rows) -> list[dict[str, Any]]:
        """Plain values, one dict per row: `prediction`, and `probabilities` by label where there are any."""
        out: list[dict[str, Any]] = []
        for i, value in enumerate(predictions.values.tolist()):
            row: dict[str, Any] = {"prediction": list(value) if isinstance(value, tuple) else value}
            if predictions.probabilities is not None:
                row["probabilities"] = dict(zip(predictions.labels, predictions.probabilities[i].tolist(), strict=True))
            out.append(row)
        return out

    def mistakes(self, predictions: Predictions, rows: Rows, most: int) -> list[dict[str, Any]]:
        """The rows that were answered wrongly with the most confidence; for numbers, those that are furthest off."""
        truths = list(rows.targets() or ())
        if not truths:
            return []
        found: list[tuple[float, int]] = []
        for i, (truth, answer) in enumerate(zip(truths, predictions.values.tolist(), strict=True)):
            if not predictions.labels:
                found.append((abs(float(truth) - float(answer)), i))
            elif (set(truth) != set(answer)) if isinstance(answer, tuple) else str(truth) != str(answer):
                assert predictions.probabilities is not None
                found.append((float(predictions.probabilities[i].max()), i))
        names = [name for name in rows.schema.inputs if rows.schema.kind(name) in SHOWN]
        texts = list(zip(*(["" if v is None else str(v) for v in rows.columns[n]] for n in names), strict=True))
        return [
            {
                "text": " | ".join(texts[i]) if texts else _row(rows, i),
                "label": truths[i],
                "prediction": predictions.values[i],
                "probability": size if predictions.labels else None,
                "row": int(rows.numbers[i]),
                "line": int(rows.lines[i]),
            }
            | audible(rows, i)
            for size, i in sorted(found, reverse=True)[:most]
        ]

    def by_label(self, predictions: Predictions, rows: Rows) -> list[dict[str, Any]]:
        """What there is to say of each label, where rows are not what is counted."""
        return []
