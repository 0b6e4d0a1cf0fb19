"""A bundle on rows: opened, scored with intervals, its answers written. What evaluate, compare and predict share."""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sartor.bundle import Bundle
from sartor.data import sets
from sartor.data.hints import Hints
from sartor.data.rows import TASK, Rows, Schema
from sartor.errors import BadInput
from sartor.predictions import Predictions
from sartor.task import Task


def opened(bundle: Any, task_name: str | None = None) -> Bundle:
    """The bundle; of one that has several tasks, the named one alone."""
    made = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
    return made if task_name is None else made.only(task_name)


def labelled(bundle: Bundle, data: Any, hints: Hints) -> Rows:
    """Rows in the bundle's shape, with the target that it predicts. Raises `BadInput` where the target is missing."""
    rows = unlabelled(bundle, data, hints, serving=False)
    if not rows.schema.members and bundle.schema.target is not None:
        _refuse_unlabelled(rows, bundle.schema)
    for name in rows.schema.members:
        _refuse_unlabelled(sets.one(rows, name), bundle.schema.members[name])
    return rows


def _refuse_unlabelled(rows: Rows, schema: Schema) -> None:
    if rows.schema.target is None:
        fix = f"add the column '{schema.target}', or use `sartor predict` for rows without labels"
        raise BadInput("EVAL_NO_LABELS", f"the rows have no column '{schema.target}'", fix=fix, where=rows.source)
    for i, value in enumerate(rows.targets() or ()):
        if value is None or value == "":
            fix = "fill it in, or remove the row"
            raise BadInput("LABEL_EMPTY", "the target is missing", fix=fix, where=rows.place(i))


def unlabelled(bundle: Bundle, data: Any, hints: Hints, serving: bool = True) -> Rows:
    """Rows in the bundle's shape. Hints may only repeat what the bundle knows."""
    if hints.target is not None and bundle.schema.members:
        fix = "leave --target out, or name one task with --task-name"
        raise BadInput("BUNDLE_TARGET", "the bundle has several tasks, each with its own target", fix=fix)
    if hints.target is not None and hints.target != bundle.schema.target:
        fix = f"leave --target out, or rename the column to '{bundle.schema.target}'"
        raise BadInput("BUNDLE_TARGET", f"the bundle predicts '{bundle.schema.target}', not '{hints.target}'", fix=fix)
    return bundle.rows(data, serving)


def intervals(task: Task, said: Predictions, rows: Rows, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Every metric of the task with its 95 % interval and how that was computed."""
    from sartor.position.intervals import finite
    from sartor.position.verdict import interval_of

    scores = task.score(said, rows)
    out: dict[str, dict[str, Any]] = {}
    for metric, value in scores.metrics.items():
        found = interval_of(task, said, scores, rows, metric, seed)
        out[metric] = {"value": value, "low": finite(found.low), "high": finite(found.high), "n": found.n}
        out[metric] |= {"unit": scores.unit, "level": found.level, "method": found.method}
    return out


def by_task(task: Task, said: Predictions, rows: Rows, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Of a task made of several: each one's metrics with their intervals, on the rows that are for it."""
    return {
        name: {
            "task": share.task.name,
            "pipeline_tag": share.task.telling.pipeline,
            "rows": len(share.rows),
            "labels": list(getattr(share.task, "labels", ())),
            "intervals": intervals(share.task, share.said, share.rows, seed),
        }
        for name, share in task.members.shares(task, said, rows).items()
    }


def write_predictions(path: Path, answers: Sequence[dict[str, Any]]) -> None:
    """JSON lines, CSV or Parquet by the file's ending, written beside and renamed."""
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        if path.suffix == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(pa.Table.from_pylist(list(answers)), beside)
        else:
            beside.write_text(_csv(answers) if path.suffix == ".csv" else _json_lines(answers), "utf-8")
        beside.rename(path)
    finally:
        beside.unlink(missing_ok=True)


def _json_lines(answers: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(a, ensure_ascii=False) + "\n" for a in answers)


def _csv(answers: Sequence[dict[str, Any]]) -> str:
    """`task` where each answer has one, `prediction`, what else is told, then one `probability LABEL` column each; text
    that a spreadsheet would run gets an apostrophe."""
    labels = list(dict.fromkeys(label for a in answers for label in a.get("probabilities", {})))
    named = dict.fromkeys(name for a in answers for name in a if name not in (TASK, "prediction", "probabilities"))
    columns = [*([TASK] if answers and TASK in answers[0] else []), "prediction", *named]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*columns, *(harmless(f"probability {label}") for label in labels)])
    for a in answers:
        chances = a.get("probabilities", {})
        writer.writerow([*(_cell(a.get(name)) for name in columns), *(chances.get(label) for label in labels)])
    return file.getvalue()


def _cell(said: Any) -> Any:
    """A number as it is, a list of labels parted by |, whatever has parts of its own as JSON."""
    if isinstance(said, list) and all(isinstance(each, str) for each in said):
        return harmless("|".join(said))
    if isinstance(said, float):
        return said
    return harmless(said) if isinstance(said, str) else json.dumps(said, ensure_ascii=False)


def harmless(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
