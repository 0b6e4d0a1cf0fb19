"""The inputs of rows, as every body and every baseline of one kind reads them."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from sartor.data import items
from sartor.data.cells import cells, written
from sartor.data.texts import text_columns
from sartor.data.tokens import of_rows
from sartor.errors import BadInput

if TYPE_CHECKING:
    from sartor.data.rows import Kind, Rows

MEDIA: tuple[Kind, ...] = ("image", "audio")
CELLS: tuple[Kind, ...] = ("number", "category", "boolean", "date")
"""What stands in the columns of a table that is no text: a body reads all of these kinds, or none."""


def inputs(rows: Rows, kinds: Collection[str], gaps: Collection[str] = ()) -> dict[str, list[Any]]:
    """Columns of the `kinds` that are read: `text` and `text_pair`, `tokens`, `items`, `image`, `audio`; `cells`, one
    dict a row of what stands in the other columns; `row` is all of that written as one text. None stands where
    one of the kinds `gaps` is missing. Raises `BadInput` for rows that have none of one."""
    found: dict[str, list[Any]] = dict(text_columns(rows)) if "text" in kinds else {}
    found |= {"text": written(rows)} if "row" in kinds else {}
    found |= {"tokens": of_rows(rows)} if "tokens" in kinds else {}
    found |= {"items": items.of_rows(rows)} if "items" in kinds else {}
    found |= {"cells": cells(rows, CELLS)} if set(CELLS) <= set(kinds) else {}
    return found | {kind: _media(rows, kind, kind in gaps) for kind in MEDIA if kind in kinds}


def _media(rows: Rows, kind: Kind, gaps: bool) -> list[Any]:
    """The values of the one input column of a kind, none of them missing but where there may be `gaps`."""
    names = rows.schema.reading(kind)
    if len(names) != 1:
        said = (
            f"none of the input columns holds {_called(kind)}"
            if not names
            else f"{len(names)} columns hold {_called(kind)}"
        )
        fix = f"say which one does: --kind NAME={kind}" if not names else f"leave out all but one: --ignore {names[-1]}"
        raise BadInput(f"{kind.upper()}_COLUMN", said, fix=fix, where=rows.source)
    values = list(rows.column(names[0]))
    if None in values and not gaps:
        said = f"the cell of '{names[0]}' is empty"
        raise BadInput(
            "MEDIA_EMPTY", said, fix="name a file there, or leave the row out", where=rows.place(values.index(None))
        )
    return values


def _called(kind: str) -> str:
    return {"image": "images", "audio": "sounds"}[kind]
