"""init: a configuration drafted from the data, with the reason for every guess beside it."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sartor.data.hints import Hints
from sartor.data.rows import Column, Rows, Schema
from sartor.errors import BadInput


@dataclass(frozen=True)
class InitResult:
    """A drafted configuration: where it is (or would be), what stands in it, and the guesses."""

    out: str
    text: str
    written: bool
    settings: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"out": self.out, "written": self.written, "settings": self.settings, "text": self.text}


def init(data: str, *, hints: Hints = Hints(), out: str | Path | None = None, dry_run: bool = False) -> InitResult:  # noqa: B008
    """Draft `out` (by default NAME.yaml here) from the file `data`; an existing file is never replaced."""
    from sartor.opening import read_for

    file = Path(out) if out is not None else Path(_stem(data) + ".yaml")
    if os.path.lexists(file):
        raise BadInput("OUT_EXISTS", "the file exists", fix="choose another --out, or remove it", where=str(file))
    if file.suffix not in (".yaml", ".yml"):
        raise BadInput("OUT_FORMAT", "a configuration is a YAML file", fix="name it .yaml", where=str(file))
    if not file.parent.is_dir():
        raise BadInput("OUT_NOT_DIR", f"there is no folder '{file.parent}'", fix="make it first", where=str(file))
    rows, task = read_for(data, hints, None)
    settings = _settings(data, rows, hints, task.name)
    text = _draft(rows, settings)
    if not dry_run:
        with file.open("x", encoding="utf-8") as handle:
            handle.write(text)
    return InitResult(str(file), text, not dry_run, settings)


def _stem(data: str) -> str:
    return re.sub(r"[^\w-]+", "-", Path(data).name.split(":")[-1].split(".")[0]).strip("-") or "run"


def _settings(data: str, rows: Rows, hints: Hints, task: str) -> dict[str, Any]:
    """Everything the draft fixes, as configuration keys."""
    schema = rows.schema
    found: dict[str, Any] = {"data": data, "task": task, "target": hints.target or schema.target}
    found["text"] = list(schema.reading("text"))
    found |= {"ignore": list(hints.ignore), "group": hints.group, "time": hints.time, "labels": list(hints.labels)}
    found["kind"] = dict(hints.kinds)
    return {name: value for name, value in found.items() if value}


def _draft(rows: Rows, settings: dict[str, Any]) -> str:
    """YAML with a reason on every line; strings are quoted as in JSON, which YAML reads the same."""
    why = {
        "data": f"{len(rows):,} rows",
        "task": "guessed from the target",
        "target": _why(rows.schema, rows.schema.target),
    }
    lines = ["# Drafted by `sartor init`. Every key is also a flag (--target) and a variable (SARTOR_TARGET)."]
    lines += ["# Next: sartor check --config FILE, then sartor position --config FILE", ""]
    for name, value in settings.items():
        reason = why.get(name, "as given")
        if name == "text":
            reason = "; ".join(_why(rows.schema, column) for column in value)
        lines.append(f"{name}: {_quoted(value)}  # {reason}")
    return "\n".join([*lines, "", *_choices(), "", *_columns(rows.schema.columns)]) + "\n"


def _choices() -> list[str]:
    return [
        "budget: 5m            # wall time of `sartor position`: 90s, 10m, 1h",
        "seed: 0               # decides the split and everything that is drawn",
        "# metric: accuracy    # what counts; by default the task's own",
        "# max_latency_ms: 20  # the slowest answer that is acceptable",
        "# max_size_mb: 100    # the largest bundle that is acceptable",
        "# method: lora:r=16   # for `sartor finetune`; `sartor show methods` lists them",
        "# plan:               # for `sartor finetune`; every field of the plan may stand here",
        "#   num_train_epochs: 3",
        "#   learning_rate: 1e-4",
    ]


def _columns(columns: tuple[Column, ...]) -> list[str]:
    """What each column seems to hold, as comments."""
    return ["# What the columns seem to hold (override with kind: {COLUMN: KIND}):"] + [
        f"#   {_comment(c.name)}: {c.kind} ({_comment(c.why)})" for c in columns
    ]


def _why(schema: Schema, name: str | None) -> str:
    return next((_comment(c.why) for c in schema.columns if c.name == name), "")


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=not str(value).isprintable()) if not _plain(value) else str(value)


def _plain(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w./-]*", value) is not None and value.isascii()


def _comment(text: str) -> str:
    """User text on one line of a comment."""
    return "".join(c if c.isprintable() else " " for c in text)[:120]
