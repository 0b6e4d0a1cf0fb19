"""JSON lines -> a table: one object a line, no key twice, no NaN; a field that some rows lack is missing there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from sartor.data import files
from sartor.data.table import LONGEST_CELL, Table, refuse_names
from sartor.errors import BadInput, one_line


def read(path: Path, source: str) -> Table:
    """The table in a JSONL file; raises `BadInput` with the line of what is wrong."""
    columns: dict[str, list[Any]] = {}
    numbers: list[int] = []
    with files.opened(path, source, "jsonl") as stream:
        for number, line in enumerate(files.lines(stream, source), start=1):
            if not line.isspace():
                _append(columns, _parsed(line, source, number), len(numbers))
                numbers.append(number)
    if not numbers:
        raise BadInput("DATA_NO_ROWS", "the file holds only blank lines", fix="write one object a line", where=source)
    if not columns:
        raise BadInput(
            "DATA_NO_ROWS",
            "every object is empty",
            fix='write rows such as {"text": "...", "label": "..."}',
            where=source,
        )
    refuse_names(list(columns), source)
    _level(columns, len(numbers))
    return Table(source, columns, np.asarray(numbers, dtype=np.int64))


def _append(columns: dict[str, list[Any]], row: dict[str, Any], before: int) -> None:
    """Add one row; a column that is short lacks its field in the rows between."""
    for name, value in row.items():
        column = columns.setdefault(name, [])
        if len(column) < before:
            column.extend([None] * (before - len(column)))
        column.append(value)


def _level(columns: dict[str, list[Any]], length: int) -> None:
    for column in columns.values():
        column.extend([None] * (length - len(column)))


class _Refused(ValueError):
    """A construct the JSON grammar of Python lets through and a data file must not hold: (code, message, fix)."""

    def __init__(self, code: str, message: str, fix: str) -> None:
        self.code, self.message, self.fix = code, message, fix


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(n for n in names if names.count(n) > 1)
        raise _Refused("JSON_DUPLICATE", f"the key '{twice}' stands twice in one object", "keep one of them")
    return row


def _constant(name: str) -> Any:
    raise _Refused("JSON_NAN", f"{name} is no JSON value", "write null for a missing number")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant)


def _parsed(line: str, source: str, number: int) -> dict[str, Any]:
    where = f"{source}:{number}"
    try:
        row = _DECODER.decode(line.strip())
    except json.JSONDecodeError as error:
        raise _syntax(error, line, where) from None
    except _Refused as refused:
        raise BadInput(refused.code, refused.message, fix=refused.fix, where=where) from None
    except RecursionError:
        raise BadInput("JSON_DEPTH", "the object is nested too deep", fix="write flat objects", where=where) from None
    except ValueError:
        raise BadInput("JSON_NUMBER", "a number has too many digits", fix="write it as a text", where=where) from None
    if not isinstance(row, dict):
        raise _shape(row, number, where)
    _refuse_cells(row, line, where)
    return row


def _syntax(error: json.JSONDecodeError, line: str, where: str) -> BadInput:
    if line.strip() in ("{", "["):
        message = "the JSON is spread over many lines"
        return BadInput(
            "JSON_NOT_LINES", message, fix="write one object a line (pandas: to_json(..., lines=True))", where=where
        )
    around = one_line(line[max(0, error.pos - 15) : error.pos + 15])
    message = f"not valid JSON at column {error.colno} (near '{around}'): {error.msg}"
    return BadInput("JSON_SYNTAX", message, fix="write one valid JSON object on this line", where=where)


def _shape(row: Any, number: int, where: str) -> BadInput:
    if isinstance(row, list) and number == 1 and (not row or isinstance(row[0], dict)):
        message = "the file is one JSON array, not one object a line"
        return BadInput(
            "JSON_ARRAY", message, fix="write one object a line (pandas: to_json(..., lines=True))", where=where
        )
    word = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}.get(type(row), "a number")
    return BadInput(
        "JSON_SHAPE", f"the line holds {word}, not an object", fix='write {"column": value, ...}', where=where
    )


def _refuse_cells(row: dict[str, Any], line: str, where: str) -> None:
    """Checks that only a long line or a line with surrogate escapes needs."""
    if len(line) > LONGEST_CELL:
        for name, value in row.items():
            if isinstance(value, str) and len(value) > LONGEST_CELL:
                message = f"the cell of '{name}' is longer than {LONGEST_CELL:,} characters"
                raise BadInput(
                    "DATA_FIELD_SIZE", message, fix="shorten it, or keep such content in files of its own", where=where
                )
    if "\\ud" in line or "\\uD" in line:
        try:
            json.dumps(row, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            message = "a text holds half of a surrogate pair"
            raise BadInput("JSON_UNICODE", message, fix="write the whole character", where=where) from None
    if "\\u0000" in line and any(isinstance(v, str) and "\0" in v for v in row.values()):
        raise BadInput("DATA_NUL", "a text holds a NUL character", fix="remove it", where=where)
