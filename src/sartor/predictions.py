"""What a candidate answered, row by row, and how well: the evidence that every later statistic is computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LOWER_IS_BETTER = frozenset(
    {"log_loss", "mean_loss", "brier", "calibration_error", "mae", "mse", "rmse", "median_absolute_error"}
    | {"wer", "cer", "bits_per_byte", "perplexity", "median_rank", "back_median_rank"}
)


MEASURE = "measure "
"""What a column of measures is called by in a file, before its name."""


@dataclass(frozen=True)
class Predictions:
    """Answers for N rows, in the order of the rows.

    rows           (N,) the rows' numbers in the data as they were read; what pairs one candidate with another
    values         (N,) the answer: a label (str), a number (float), a tuple of labels, or a text; None: not said
    labels         (C,) the names of the columns of `probabilities`; empty for a number or a text
    probabilities  (N, C) or None where the task has none; rows sum to 1, except for several labels per row; no number
                   for a label that is none of the row's task's
    offsets        (N + 1,) where each row's probabilities begin, for a task that answers every token or frame of a row:
                   there are (U, C) of them, and a value is a tuple of labels, one for each token, or the text that is
                   made of the frames; None: one for each row
    boxes          (U, 4) where each of a row's answers is in its image: left, top, right, bottom, in pixels
    measures       name -> (N,) or (N, K) what else a model tells of each row, such as what the right text costs, or
                   where its answer stands among others
    """

    rows: Integers
    values: NDArray[Any]
    labels: tuple[str, ...] = ()
    probabilities: Floats | None = None
    offsets: Integers | None = None
    boxes: Floats | None = None
    measures: Mapping[str, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, where: NDArray[Any]) -> Predictions:
        """The answers at the positions `where` (indices or a mask)."""
        if self.offsets is not None:
            return self._tokens(np.arange(len(self))[where])
        chosen = None if self.probabilities is None else self.probabilities[where]
        measures = {name: values[where] for name, values in self.measures.items()}
        return Predictions(self.rows[where], self.values[where], self.labels, chosen, measures=measures)

    @property
    def single(self) -> bool:
        """Whether each row has one label for an answer."""
        rowwise = self.offsets is None and bool(self.labels) and len(self) > 0
        return rowwise and not isinstance(self.values[0], tuple)

    def _tokens(self, where: Integers) -> Predictions:
        assert self.offsets is not None
        ends = np.append(0, np.cumsum(np.diff(self.offsets)[where]))
        places = [np.arange(self.offsets[i], self.offsets[i + 1]) for i in where]
        each = np.concatenate(places) if places else np.zeros(0, dtype=np.int64)
        chosen, boxes = (None if a is None else a[each] for a in (self.probabilities, self.boxes))
        return Predictions(self.rows[where], self.values[where], self.labels, chosen, ends, boxes)

    def save(self, path: Path) -> None:
        """Write Parquet: `row`, `prediction`, and one `probability` list per row."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns: dict[str, Any] = {"row": pa.array(self.rows)}
        answers = [list(v) if isinstance(v, tuple) else v for v in self.values.tolist()]
        mixed = len({type(answer) for answer in answers}) > 1
        columns |= {f"{MEASURE}{name}": pa.array(values.tolist()) for name, values in self.measures.items()}
        columns["prediction"] = pa.array([_join(answer) for answer in answers] if mixed else answers)
        if self.probabilities is not None:
            each = pa.list_(pa.float64())
            kind = each if self.offsets is None else pa.list_(each)
            columns["probability"] = pa.array(self._listed(self.probabilities), type=kind)
        if self.boxes is not None and self.offsets is not None:
            places = [part.tolist() for part in np.split(self.boxes.astype(np.float64), self.offsets[1:-1])]
            columns["box"] = pa.array(places, type=pa.list_(pa.list_(pa.float64())))
        about = {"labels": _join(self.labels), "mixed": _join(mixed)}
        table = pa.table(columns).replace_schema_metadata(about)
        pq.write_table(table, path)

    def _listed(self, probabilities: Floats) -> list[Any]:
        """What Parquet has of each row: a list, or a list of them for each token."""
        each = probabilities.astype(np.float64)
        return list(each) if self.offsets is None else [part.tolist() for part in np.split(each, self.offsets[1:-1])]

    @classmethod
    def load(cls, path: Path) -> Predictions:
        import json

        import pyarrow.parquet as pq

        table = pq.read_table(path)
        about = table.schema.metadata or {}
        labels = tuple(json.loads(about.get(b"labels", b"[]")))
        answers = table.column("prediction").to_pylist()
        answers = [json.loads(answer) for answer in answers] if json.loads(about.get(b"mixed", b"false")) else answers
        numbers = not labels and not any(answer is None or isinstance(answer, str) for answer in answers)
        values = np.empty(len(answers), dtype=np.float64 if numbers else object)
        values[:] = answers if numbers else [tuple(a) if isinstance(a, list) else a for a in answers]
        found, ends = _arrays(table.column("probability") if "probability" in table.column_names else None, labels)
        boxes = None
        if "box" in table.column_names:
            boxes = np.asarray([b for row in table.column("box").to_pylist() for b in row], np.float64).reshape(-1, 4)
        names = [name for name in table.column_names if name.startswith(MEASURE)]
        measures = {n.removeprefix(MEASURE): np.array(table.column(n).to_pylist(), dtype=np.float64) for n in names}
        return cls(table.column("row").to_numpy().astype(np.int64), values, labels, found, ends, boxes, measures)


@dataclass(frozen=True)
class Scores:
    """How good predictions are: the headline first, and the per-row evidence for the metrics that have it.

    metrics   name -> value; the first is the headline
    items     name -> (N,) one number per row whose mean is that metric, for paired statistics
    judged    (N,) what runs are judged by while they train, less is better; none: the evidence below
    members   the scores of each task that rows of several tasks are for
    unit      what one of the items is of, where it is not a row
    """

    metrics: dict[str, float]
    items: dict[str, Floats] = field(default_factory=dict)
    judged: Floats | None = None
    members: Mapping[str, Scores] = field(default_factory=dict)
    unit: str = "rows"

    @property
    def headline(self) -> str:
        return next(iter(self.metrics))

    @property
    def evidence(self) -> str:
        """The metric with the least noise per row: the likelihood where there is one, else the headline, where it is a
        mean over rows."""
        known = [name for name in ("log_loss", self.headline) if name in self.items]
        return next(iter(known or self.items), self.headline)

    @property
    def losses(self) -> Floats:
        """(N,) a loss of each row, for runs to be stopped, raced and chosen by."""
        if self.judged is not None:
            return self.judged
        return self.items[self.evidence] * (1.0 if self.evidence in LOWER_IS_BETTER else -1.0)


def better(metric: str, a: float, b: float) -> bool:
    """Whether `a` is better than `b` for this metric."""
    return a < b if metric in LOWER_IS_BETTER else a > b


def _arrays(column: Any, labels: tuple[str, ...]) -> tuple[Floats | None, Integers | None]:
    """The probabilities that a column of Parquet holds, and, of lists for each token, where each row's begin."""
    import pyarrow.types as types

    if column is None:
        return None, None
    listed, ends = column.to_pylist(), None
    if types.is_list(column.type.value_type):
        ends = np.append(0, np.cumsum([len(row) for row in listed])).astype(np.int64)
        listed = [each for row in listed for each in row]
    return np.asarray(listed, dtype=np.float64).reshape(len(listed), len(labels)), ends


def _join(value: Any) -> str:
    import json

    return json.dumps(value)
