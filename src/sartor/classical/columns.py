"""Columns: what the training rows teach of a table's columns, and cells as numbers by it.

A column of numbers has a mean, a spread, a median for what is missing, and knots at its quantiles; a column of
categories has its values, of which the rare ones beyond `MOST` count as one; a date becomes days, month, weekday and
hour. A column that never varies in the training rows says nothing and is left out.

Legend: N rows, F numbers, G categories, V values of a row written out.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sartor.data.rows import Rows
from sartor.errors import BadInput
from sartor.predictions import Floats, Integers

MOST = 200
"""Values of a category that are told apart; the rarer ones are one value, `OTHER`."""
OTHER = -1
"""The code of a value that the training rows did not have, or that was too rare there."""
GONE = -2
"""The code of a missing value in a column that had none missing when it was learned."""
KNOTS = 32
ROWS_A_KNOT = 40


@dataclass(frozen=True)
class Number:
    """A quantity. `part`: what of a date it is, written in `form`; empty for a number. `gone`: some were missing."""

    name: str
    part: str
    form: str
    mean: float
    spread: float
    median: float
    gone: bool
    knots: tuple[float, ...]


@dataclass(frozen=True)
class Category:
    """One of some values; the missing is a value of its own, None, where the training rows had it."""

    name: str
    values: tuple[str | None, ...]


@dataclass(frozen=True)
class Read:
    """numbers (N, F), NaN where missing; codes (N, G), below 0 where the value is unknown."""

    numbers: Floats
    codes: Integers


@dataclass(frozen=True)
class Columns:
    """The columns that vary, in order."""

    numbers: tuple[Number, ...]
    categories: tuple[Category, ...]

    @classmethod
    def learn(cls, rows: Rows) -> Self:
        """Raises `BadInput` where no column varies."""
        numbers: list[Number] = []
        categories: list[Category] = []
        for name in rows.schema.inputs:
            kind, values = rows.schema.kind(name), rows.columns[name]
            if kind == "number":
                numbers += _number(name, _floats(values))
            elif kind == "date":
                numbers += _date(name, values)
            elif kind in ("category", "boolean"):
                categories += _category(name, values)
        if not numbers and not categories and len(rows) > 1:
            fix = "give a column of numbers, categories or dates that differs between rows"
            raise BadInput("CELLS_CONSTANT", "no column of the training rows varies", fix=fix, where=rows.source)
        return cls(tuple(numbers), tuple(categories))

    def read(self, cells: Sequence[Mapping[str, Any]]) -> Read:
        """Rows of cells as numbers and codes; a column that is not there counts as missing."""
        numbers = np.full((len(cells), len(self.numbers)), np.nan)
        for f, number in enumerate(self.numbers):
            values = [cell.get(number.name) for cell in cells]
            numbers[:, f] = _floats(_dated(values, number.part, number.form) if number.part else values)
        codes = np.full((len(cells), len(self.categories)), OTHER, dtype=np.int64)
        for g, category in enumerate(self.categories):
            place = {value: i for i, value in enumerate(category.values)} | {OTHER: OTHER}
            place.setdefault(None, GONE)
            codes[:, g] = [place.get(_word(cell.get(category.name)), OTHER) for cell in cells]
        return Read(numbers, codes)

    def filled(self, numbers: Floats) -> Floats:
        """(N, F) with the training rows' median where a number is missing."""
        medians = np.array([number.median for number in self.numbers])
        return np.where(np.isnan(numbers), medians, numbers)

    def standardised(self, read: Read) -> NDArray[np.float32]:
        """(N, V): numbers on their scale, cut at the ends that the training rows had; 1 where one is missing; 1 for
        each value of a category."""
        means, spreads = (np.array([getattr(n, name) for n in self.numbers]) for name in ("mean", "spread"))
        low, high = (np.array([n.knots[end] for n in self.numbers]) for end in (0, -1))
        scaled = (np.clip(self.filled(read.numbers), low, high) - means) / spreads
        gone = np.isnan(read.numbers)[:, [n.gone for n in self.numbers]]
        each = [read.codes[:, [g]] == np.arange(len(c.values)) for g, c in enumerate(self.categories)]
        return np.asarray(np.hstack([scaled, gone, *each]), dtype=np.float32)

    def to_json(self) -> dict[str, Any]:
        numbers = [{**asdict(n), "knots": list(n.knots)} for n in self.numbers]
        return {"numbers": numbers, "categories": [{"name": c.name, "values": list(c.values)} for c in self.categories]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        numbers = (Number(**{**n, "knots": tuple(n["knots"])}) for n in value["numbers"])
        return cls(tuple(numbers), tuple(Category(c["name"], tuple(c["values"])) for c in value["categories"]))


def _date(name: str, values: Sequence[Any]) -> list[Number]:
    form = _form(values)
    each = (_number(name, _floats(_dated(values, part, form)), part, form) for part in PARTS)
    return [number for found in each for number in found]


def _number(name: str, values: Floats, part: str = "", form: str = "") -> list[Number]:
    """The column, or nothing where it never varies."""
    known = values[~np.isnan(values)]
    if not len(known) or (known.min() == known.max() and len(known) == len(values)):
        return []
    knots = np.unique(known)
    most = int(np.clip(len(known) // ROWS_A_KNOT, 4, KNOTS))
    if len(knots) > most:
        knots = np.unique(np.quantile(known, np.linspace(0, 1, most + 1)))
    spread, gone = float(known.std()) or 1.0, len(known) < len(values)
    middle = float(known.mean()), spread, float(np.median(known))
    return [Number(name, part, form, *middle, gone, tuple(knots.tolist()))]


def _category(name: str, values: Sequence[Any]) -> list[Category]:
    counts = Counter(map(_word, values))
    kept = [value for value, _ in sorted(counts.items(), key=lambda c: (-c[1], str(c[0])))[:MOST]]
    return [Category(name, tuple(sorted(kept, key=lambda v: (v is not None, v or ""))))] if len(counts) > 1 else []


def _word(value: Any) -> str | None:
    if value is None or value == "":
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def _floats(values: Sequence[Any]) -> Floats:
    return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)


PARTS: dict[str, Callable[[datetime.datetime], float]] = {
    "days": lambda moment: moment.toordinal(),
    "month": lambda moment: moment.month,
    "weekday": lambda moment: moment.weekday(),
    "hour": lambda moment: moment.hour + moment.minute / 60,
}
"""What of a date is a number."""
FORMS = ("", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y")
"""How dates are written; the first is ISO's. A column has the first of those that most of its cells fit."""


def _form(values: Sequence[Any]) -> str:
    present = {value for value in values if value is not None}
    return max(FORMS, key=lambda form: sum(_moment(value, form) is not None for value in present))


def _dated(values: Sequence[Any], part: str, form: str) -> list[float | None]:
    moments = {value: _moment(value, form) for value in set(values)}
    return [None if (moment := moments[value]) is None else PARTS[part](moment) for value in values]


def _moment(value: Any, form: str) -> datetime.datetime | None:
    """The date that a cell says; None where it says none."""
    if value is None:
        return None
    text = str(value).strip()
    try:
        return datetime.datetime.strptime(text, form) if form else datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
