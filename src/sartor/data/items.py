"""Cells that hold what one user did: a list of items, oldest first."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from sartor.errors import BadInput

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.data.table import Table

NEXT = "next_item"
"""The column of what came next: a list of the items that followed the last ones of the history, in order."""


def item_lists(table: Table, name: str) -> list[list[str] | None]:
    """Each cell as a list of items: a list, the same in JSON, or a text with spaces, commas or bars between them."""
    return [_items(cell, table, name, i) for i, cell in enumerate(table.columns[name])]


def _items(cell: Any, table: Table, name: str, i: int) -> list[str] | None:
    if isinstance(cell, str):
        cell = _spelled(cell)
    if cell is None:
        return None
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        cell = [cell]
    if not isinstance(cell, list | tuple) or not all(is_name(v) for v in cell):
        fix = 'write a list of items, oldest first, such as ["50", "181", "172"]'
        raise BadInput("DATA_ITEMS", f"column '{name}' holds no list of items", fix=fix, where=table.place(i))
    return [named(v) for v in cell]


def _spelled(text: str) -> Any:
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text.split()
    mark = next((mark for mark in "|;," if mark in text), None)
    return [part.strip() for part in text.split(mark) if part.strip()]


def is_name(value: Any) -> bool:
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def named(value: Any) -> str:
    """An item's or a user's name: 50, 50.0 and " 50" are one."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def catalogue(rows: Rows) -> tuple[str, ...]:
    """Every item in the histories, and among what came next, in the order of their names."""
    names = [*rows.schema.reading("items"), *([NEXT] if NEXT in rows.columns else [])]
    return tuple(sorted({item for name in names for cell in rows.columns[name] for item in cell or ()}))


def of_rows(rows: Rows) -> list[list[str]]:
    """(N,) the history of each row, oldest first. Raises `BadInput` where no column holds any."""
    names = rows.schema.reading("items")
    if not names:
        fix = "name the column of items with --target, or use --task next_item"
        raise BadInput("ITEMS_COLUMN", "none of the input columns holds items", fix=fix, where=rows.source)
    return [cell or [] for cell in rows.columns[names[0]]]
