"""`sartor predict`: a bundle's answers for rows without labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sartor.data.hints import Hints
from sartor.errors import BadInput

FORMATS = (".jsonl", ".csv", ".parquet")


@dataclass(frozen=True)
class PredictResult:
    """`predictions`: one dict per row, in the order of the rows; `out`: the file they were written to, if any."""

    bundle: str
    predictions: tuple[dict[str, Any], ...]
    out: str | None = None

    def to_json(self) -> dict[str, Any]:
        shown = {"bundle": self.bundle, "rows": len(self.predictions), "out": self.out}
        return shown | ({"predictions": list(self.predictions)} if self.out is None else {})


def predict(
    bundle: Any,
    data: Any,
    *,
    hints: Hints = Hints(),  # noqa: B008
    task_name: str | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
) -> PredictResult:
    """Answer every row of `data`; of a bundle that has several tasks by `task_name`, or each row by the task that its
    column `task` names. `out` ends in .jsonl, .csv or .parquet and appears whole or not at all."""
    if out is not None and Path(out).suffix not in FORMATS:
        fix = f"end it in {', '.join(FORMATS)}"
        raise BadInput("OUT_FORMAT", f"'{Path(out).name}' has no ending that says its format", fix=fix)
    if out is not None and Path(out).exists() and not overwrite:
        raise BadInput("OUT_EXISTS", "the output file exists", fix="choose another, or pass overwrite", where=str(out))
    from sartor.measuring import opened, unlabelled, write_predictions

    made = opened(bundle, task_name)
    rows = unlabelled(made, data, hints)
    answers = () if dry_run else tuple(made.predict(rows))
    if out is not None and not dry_run:
        write_predictions(Path(out), answers)
    return PredictResult(str(made.path), answers, None if out is None else str(out))
