"""Raw cells -> the values a kind stands for: numbers, labels, true and false, lists of labels."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Sequence
from typing import Any

from sartor.data.boxes import box_lists
from sartor.data.chat import conversations
from sartor.data.items import item_lists
from sartor.data.media import media
from sartor.data.rows import Kind
from sartor.data.table import Table
from sartor.data.tokens import tag_lists, token_lists
from sartor.errors import BadInput, one_line

NUMBER = re.compile(r"\s*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?\s*", re.ASCII)
INTEGER = re.compile(r"\s*[+-]?\d{1,18}\s*", re.ASCII)
GROUPED = re.compile(
    r"\s*(?P<sign>[+-]?)\s*[$€£¥]?\s*(?P<whole>\d{1,3}(?:,\d{3})+|\d+)(?P<rest>(?:\.\d*)?)\s*%?\s*", re.ASCII
)
"""Thousands parted by commas, a currency before, a per cent sign behind: "1,234.5", "$12", "7 %"."""
PADDED = re.compile(r"\s*[+-]?0\d+\s*", re.ASCII)
"""A leading zero marks a code (a postcode), not a quantity."""
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-"})
"""What people write for a number that is not there."""
TRUTH = {"true": True, "false": False}
SEPARATORS = "|;,"


def in_figures(text: str) -> str | None:
    """A number as Python reads it: "1,234.5" is "1234.5", "$12" is "12", "7 %" is "7"; None for what is no number."""
    if NUMBER.fullmatch(text):
        return text
    found = GROUPED.fullmatch(text)
    return None if found is None else found["sign"] + found["whole"].replace(",", "") + found["rest"]


def is_missing(text: str) -> bool:
    return text.strip().casefold() in MISSING


def convert(table: Table, name: str, kind: Kind, declared: Sequence[str] = ()) -> list[Any]:
    """The column's values as `kind`; raises `BadInput` at the first cell that cannot be one. `declared`: the labels
    that tags may be numbers of."""
    raw = table.columns[name]
    makers: dict[str, Callable[[], list[Any]]] = {
        "text": lambda: [v if v is None or isinstance(v, str) else _word(v) for v in raw],
        "category": lambda: labels(raw),
        "number": lambda: _each(table, name, _numbers(raw), "a number", "DATA_NUMBER"),
        "boolean": lambda: _each(table, name, _boolean, "true or false", "DATA_TYPE"),
        "date": lambda: _each(table, name, _date, "a date such as 2024-05-31", "DATA_TYPE"),
        "labels": lambda: label_lists(table, name),
        "tokens": lambda: token_lists(table, name),
        "tags": lambda: tag_lists(table, name, declared),
        "items": lambda: item_lists(table, name),
        "boxes": lambda: box_lists(table, name, declared),
        "messages": lambda: conversations(table, name),
        "image": lambda: media(raw, table.home),
        "audio": lambda: media(raw, table.home),
    }
    return makers[kind]() if kind in makers else list(raw)


def _each(table: Table, name: str, make: Callable[[Any], Any], wanted: str, code: str) -> list[Any]:
    """Every cell through `make`, each distinct one once; raises `BadInput` at the first that is refused."""
    raw = table.columns[name]
    made: dict[Any, Any] = {}
    try:
        for cell in set(raw):
            made[cell] = make(cell)
        return [made[cell] for cell in raw]
    except (ValueError, TypeError):
        at = next(i for i, cell in enumerate(raw) if _refused(make, cell))
        shown = one_line(str(raw[at]))[:40]
        fix = f"correct the cell, or say what the column is with --kind {name}=category or --ignore {name}"
        message = f"column '{name}' holds '{shown}', which is not {wanted}"
        raise BadInput(code, message, fix=fix, where=table.place(at)) from None


def _refused(make: Callable[[Any], Any], cell: Any) -> bool:
    try:
        make(cell)
    except (ValueError, TypeError):
        return True
    return False


def _numbers(raw: Sequence[Any]) -> Callable[[Any], int | float | None]:
    """One reader for the whole column: int where every cell is whole, else float."""
    texts = {v: in_figures(v) for v in set(raw) if isinstance(v, str)}
    whole = not any(isinstance(v, float) for v in raw)
    whole = whole and all(INTEGER.fullmatch(v) for v in texts.values() if v is not None)

    def number(cell: Any) -> int | float | None:
        if cell is None or (isinstance(cell, str) and texts[cell] is None):
            if cell is None or is_missing(cell):
                return None
            raise ValueError(cell)
        cell = texts[cell] if isinstance(cell, str) else cell
        value = int(cell) if whole else float(cell)
        if not whole and value - value != 0:  # an infinity
            raise ValueError(cell)
        return value

    return number


def _boolean(cell: Any) -> bool | None:
    if cell is None or cell == "":
        return None
    if isinstance(cell, bool) or cell in (0, 1):
        return bool(cell)
    known = {**TRUTH, "yes": True, "no": False, "1": True, "0": False}
    if str(cell).strip().casefold() not in known:
        raise ValueError(cell)
    return known[str(cell).strip().casefold()]


def _date(cell: Any) -> str | None:
    if cell is None or cell == "":
        return None
    return cell.isoformat() if isinstance(cell, datetime.date) else str(cell).strip()


def labels(raw: Sequence[Any]) -> list[str | None]:
    """Category values as text: 1, 1.0 and "1.0" all become "1", TRUE and true become "true"; empty is missing."""
    distinct = {v for v in raw if v is not None and v != ""}
    texts = {v for v in distinct if isinstance(v, str)}
    whole = bool(texts) and all(
        NUMBER.fullmatch(t) and not PADDED.fullmatch(t) and float(t).is_integer() for t in texts
    )
    whole = whole and all(abs(float(t)) < 1e15 for t in texts)
    truth = bool(texts) and all(t.strip().casefold() in TRUTH for t in texts)
    spelled: dict[Any, str] = {}
    for value in distinct:
        if isinstance(value, str):
            spelled[value] = str(int(float(value))) if whole else value.strip().casefold() if truth else value
    return [None if v is None or v == "" else spelled[v] if isinstance(v, str) else _word(v) for v in raw]


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return value.isoformat() if isinstance(value, datetime.date) else str(value)


def separator(raw: Sequence[Any]) -> str:
    """The first of `|`, `;` and `,` that occurs in the cells."""
    texts = [v for v in raw if isinstance(v, str)]
    return next((mark for mark in SEPARATORS if any(mark in t for t in texts)), SEPARATORS[0])


def label_lists(table: Table, name: str) -> list[Any]:
    """Each cell as a list of labels; an empty list says "none of them", None says the cell is missing."""
    raw = table.columns[name]
    mark = separator(raw)
    values: list[Any] = []
    for i, cell in enumerate(raw):
        if isinstance(cell, str):
            values.append([part.strip() for part in cell.split(mark) if part.strip()])
        elif isinstance(cell, list | tuple) and all(isinstance(v, str | int) for v in cell):
            values.append([_word(v) for v in dict.fromkeys(cell)])
        elif cell is None:
            values.append(None)
        else:
            message = f"column '{name}' holds something that is no list of labels"
            raise BadInput(
                "LABEL_MULTI", message, fix="write a list of texts, or texts parted by |", where=table.place(i)
            )
    return values
