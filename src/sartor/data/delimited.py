"""CSV and TSV -> a table, strictly: every row has every cell, every quote is closed, and each row knows its line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from sartor.data import files
from sartor.data.table import LONGEST_CELL, Table, refuse_names
from sartor.errors import BadInput, one_line

Record = tuple[int, list[str]]
"""The line a record starts at, and its cells."""

NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "vertical bars"}
BATCH = 10_000


def read(path: Path, source: str, delimiter: str) -> Table:
    """The table in a CSV or TSV file; raises `BadInput` with the line of what is wrong."""
    with files.opened(path, source, "csv" if delimiter == "," else "tsv") as stream, _cell_limit():
        records = _records(files.lines(stream, source), source, delimiter)
        header = next(records, None)
        if header is None:
            raise BadInput(
                "DATA_EMPTY", "the file holds only blank lines", fix="give a file with a header and rows", where=source
            )
        _refuse_header(header, source, delimiter)
        return _table(header[1], records, source)


@contextmanager
def _cell_limit() -> Iterator[None]:
    """The csv module's own limit is one number for the whole process, so it is put back."""
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _records(lines: Iterator[str], source: str, delimiter: str) -> Iterator[Record]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    start = 1
    try:
        for cells in reader:
            if cells:
                yield start, cells
            start = reader.line_num + 1
    except csv.Error as error:
        raise _broken(error, source, start, reader.line_num) from None


def _broken(error: csv.Error, source: str, start: int, end: int) -> BadInput:
    text, where = str(error), f"{source}:{start}"
    if "field limit" in text and end - start < 100:
        message = f"a cell is longer than {LONGEST_CELL:,} characters"
        return BadInput(
            "DATA_FIELD_SIZE", message, fix="shorten it, or keep such content in files of its own", where=where
        )
    if "new-line character" in text:
        message = "the line holds a carriage return that ends no line"
        return BadInput("DATA_NEWLINE", message, fix="save the file with one kind of line ending", where=where)
    message = "a quote that opens in this row is not closed as CSV asks"
    return BadInput("DATA_QUOTE", message, fix='close it, and write a quote inside a cell twice ("")', where=where)


def _refuse_header(header: Record, source: str, delimiter: str) -> None:
    line, names = header
    where = f"{source}:{line}"
    if len(names) == 1:
        _refuse_delimiter(names[0], where, delimiter)
    if names[0].lstrip().startswith(("{", "[")):
        message = "the name says CSV and the content is JSON"
        raise BadInput("DATA_FORMAT_MISMATCH", message, fix="name the file .jsonl, one object a line", where=source)
    if all(_is_number(n) for n in names) or any(len(n) > 200 for n in names):
        shown = one_line(max(names, key=len))[:40]
        message = f"the first line looks like data ('{shown}'), not like column names"
        raise BadInput("DATA_HEADER", message, fix="put a line with the column names first", where=where)
    refuse_names(names, where)


def _refuse_delimiter(name: str, where: str, delimiter: str) -> None:
    for other, called in NAMES.items():
        if other != delimiter and other in name:
            fix = (
                "name the file .tsv"
                if other == "\t"
                else "name the file .csv"
                if other == ","
                else "save it with commas"
            )
            message = f"the cells seem to be separated by {called}, not by {NAMES[delimiter]}"
            raise BadInput("DATA_DELIMITER", message, fix=fix, where=where)


def _table(names: list[str], records: Iterator[Record], source: str) -> Table:
    columns: list[list[Any]] = [[] for _ in names]
    lines: list[int] = []
    ragged: list[tuple[int, int]] = []
    batch: list[list[str]] = []
    width = len(names)
    for line, cells in records:
        if len(cells) != width:
            ragged.append((line, len(cells)))
            continue
        lines.append(line)
        batch.append(cells)
        if len(batch) == BATCH:
            _pour(batch, columns)
    _pour(batch, columns)
    if ragged:
        raise _ragged(ragged, width, source)
    if not lines:
        raise BadInput("DATA_NO_ROWS", "the file has a header and no rows", fix="add rows", where=source)
    return Table(source, dict(zip([n.strip() for n in names], columns, strict=True)), np.asarray(lines, dtype=np.int64))


def _pour(batch: list[list[str]], columns: list[list[Any]]) -> None:
    """Rows -> columns, in batches: one transposition of everything would hold the file twice."""
    for column, cells in zip(columns, zip(*batch, strict=True), strict=False):
        column.extend(cells)
    batch.clear()


def _ragged(ragged: list[tuple[int, int]], width: int, source: str) -> BadInput:
    line, found = ragged[0]
    others = ", ".join(str(n) for n, _ in ragged[1:5]) + (", …" if len(ragged) > 5 else "")
    more = f", and so {len(ragged) - 1:,} more (line{'s' if len(ragged) > 2 else ''} {others})" if others else ""
    fix = "quote cells that hold the separator" if found > width else "add the missing cells"
    return BadInput("DATA_RAGGED", f"expected {width} cells, found {found}{more}", fix=fix, where=f"{source}:{line}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
