"""A table as it was read: raw cells, before anything is guessed about them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sartor.data.boxes import recognised
from sartor.data.media import ANYWHERE, Media, Source
from sartor.errors import BadInput, one_line

if TYPE_CHECKING:
    from sartor.data.problem import Problem

MOST_COLUMNS = 10_000
LONGEST_CELL = 1_000_000
"""Characters in one cell."""


@dataclass(frozen=True)
class Table:
    """Columns of raw cells (None where missing), the line of each row, and the name of the source for messages.

    `home`: where the images and sounds lie that cells name; `notes`: what was found while a task brought it into its
    form.
    """

    source: str
    columns: dict[str, list[Any]]
    lines: NDArray[np.int64]
    home: Source = ANYWHERE
    notes: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        return len(self.lines)

    def place(self, i: int) -> str:
        return f"{self.source}:{self.lines[i]}"

    def without(self, names: Iterable[str]) -> Table:
        out = set(names)
        return replace(self, columns={n: v for n, v in self.columns.items() if n not in out})


def numbered(source: str, columns: dict[str, list[Any]]) -> Table:
    """A table that has no lines of its own: row i stands for line i + 1. Float NaN becomes None."""
    refuse_names(list(columns), source)
    length = len(next(iter(columns.values()), []))
    cleaned = {name: [None if _is_nan(v) else v for v in values] for name, values in columns.items()}
    return Table(source, cleaned, np.arange(1, length + 1))


def refuse_names(names: Sequence[str], where: str) -> None:
    """Raise `BadInput` for column names that are empty, twice there, look alike, or are too many."""
    if len(names) > MOST_COLUMNS:
        raise BadInput(
            "DATA_TOO_WIDE", f"there are {len(names):,} columns", fix=f"keep at most {MOST_COLUMNS:,}", where=where
        )
    for i, name in enumerate(names):
        if not name.strip():
            fix = "give it a name, or write the file without its row index (index=False)"
            raise BadInput("DATA_COLUMN_EMPTY", f"column {i + 1} has no name", fix=fix, where=where)
    for name, count in Counter(names).items():
        if count > 1:
            first, second = [i + 1 for i, other in enumerate(names) if other == name][:2]
            message = f"the name '{name}' stands over columns {first} and {second}"
            raise BadInput("DATA_COLUMN_DUPLICATE", message, fix="rename one of them", where=where)
    _refuse_alike(names, where)


def _refuse_alike(names: Sequence[str], where: str) -> None:
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.strip().casefold(), name)
        if other != name:
            message = f"the columns '{other}' and '{name}' differ only by case or spaces"
            raise BadInput("DATA_COLUMN_AMBIGUOUS", message, fix="rename one of them", where=where)


def refuse_mixed(table: Table) -> None:
    """Raise `BadInput` where one column holds cells of several types, or objects nobody can read."""
    for name, values in table.columns.items():
        kinds = {_family(kind) for kind in set(map(type, values))} - {None}
        if len(kinds) > 1:
            raise _mixed(table, name, values)
        if "an object" in kinds:
            _refuse_objects(table, name, values)


def _mixed(table: Table, name: str, values: list[Any]) -> BadInput:
    first: dict[str, int] = {}
    for i, value in enumerate(values):
        family = _family(type(value))
        if family is not None and len(first) < 2:
            first.setdefault(family, i)
    (one, i), (two, j) = first.items()
    message = f"column '{name}' holds {two} here and {one} at line {table.lines[i]}"
    return BadInput(
        "DATA_TYPE_MIXED",
        message,
        fix=f"give all its cells one type, or leave it out with --ignore {name}",
        where=table.place(j),
    )


def _refuse_objects(table: Table, name: str, values: list[Any]) -> None:
    for i, value in enumerate(values):
        carried = isinstance(value, Media) or (isinstance(value, dict) and set(value) <= {"bytes", "path"})
        if value is not None and not carried and not recognised(value):
            shown = one_line(", ".join(map(str, value)))[:60] if isinstance(value, dict) else type(value).__name__
            message = f"column '{name}' holds an object ({shown}), not a text, a number or a list of labels"
            fix = f"write its parts as columns of their own, or leave it out with --ignore {name}"
            raise BadInput("DATA_TYPE", message, fix=fix, where=table.place(i))


def _family(kind: type) -> str | None:
    """What a Python type is to a reader; None for a missing cell."""
    import datetime

    if kind is type(None):
        return None
    if issubclass(kind, bool):
        return "true or false"
    known: dict[str, tuple[type, ...]] = {
        "a text": (str,),
        "a number": (int, float),
        "a list": (list, tuple),
        "bytes": (bytes,),
        "a date": (datetime.date,),
    }
    return next((word for word, types in known.items() if issubclass(kind, types)), "an object")


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
