"""The cells of a table's rows: as plain values by column, and a whole row written as one text."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from sartor.errors import BadInput

if TYPE_CHECKING:
    from sartor.data.rows import Rows

READABLE = ("text", "category", "number", "boolean", "date")
"""The kinds of column that can be written into a text."""


def cells(rows: Rows, kinds: Collection[str]) -> list[dict[str, Any]]:
    """N dicts: the values of the input columns of `kinds`, None where one is missing. Raises `BadInput` for rows that
    have no such column."""
    names = [name for name in rows.schema.inputs if rows.schema.kind(name) in kinds]
    if not names:
        fix = "say what a column is with --kind NAME=number or --kind NAME=category"
        said = f"none of the input columns is of kind {', '.join(sorted(kinds))}"
        raise BadInput("CELLS_COLUMN", said, fix=fix, where=rows.source)
    columns = [rows.columns[name] for name in names]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def written(rows: Rows) -> list[str]:
    """N texts "name: value; name: value" of the inputs, as TabLLM writes tables (Hegselmann et al. 2023, arXiv
    2210.10723): underscores become spaces, whole numbers have no fraction, what is missing says so."""
    return [
        "; ".join(f"{_words(name)}: {_said(value)}" for name, value in row.items()) for row in cells(rows, READABLE)
    ]


def _words(name: str) -> str:
    return " ".join(name.replace("_", " ").split())


def _said(value: Any) -> str:
    if value is None or value == "":
        return "missing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
