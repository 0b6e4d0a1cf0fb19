"""Cells that hold one row's tokens, or one tag for each of them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sartor.errors import BadInput, one_line

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.data.table import Table

TOKENS = ("tokens", "words", "token", "word")
TAGS = ("ner_tags", "tags", "ner", "bio_tags", "iob_tags", "ner_labels", "entity_tags")
"""Names of columns as the field writes them, the usual one first."""
UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\s\u3040-\u30ff\u3400-\u9fff]+")
"""A character of a script that is written without spaces, or what stands between spaces and such characters."""


def token_lists(table: Table, name: str) -> list[list[str] | None]:
    """Each cell as a list of tokens: a list, the same in JSON, or a text whose tokens stand between spaces. A text with
    no space at all is parted at the characters of scripts that are written without."""
    return [_tokens(cell, table, name, i) for i, cell in enumerate(table.columns[name])]


def tag_lists(table: Table, name: str, names: Sequence[str]) -> list[list[str] | None]:
    """Each cell as a list of tags; numbers are places in `names`."""
    return [_tags(cell, table, name, i, names) for i, cell in enumerate(table.columns[name])]


def of_rows(rows: Rows) -> list[list[str]]:
    """(N,) the tokens of each row, none where they are missing. Raises `BadInput` where no column holds any."""
    names = rows.schema.reading("tokens")
    if not names:
        fix = "name the column of token lists: --text NAME --kind NAME=tokens"
        raise BadInput("NO_TOKENS", "none of the input columns holds tokens", fix=fix, where=rows.source)
    return [cell or [] for cell in rows.columns[names[0]]]


def _tokens(cell: Any, table: Table, name: str, i: int) -> list[str] | None:
    if isinstance(cell, str):
        cell = _listed(cell) or (cell.split() if re.search(r"\s", cell.strip()) else UNSPACED.findall(cell))
    if cell is None:
        return None
    if not isinstance(cell, list | tuple) or not all(isinstance(v, str | int | float) for v in cell):
        fix = 'write a list of texts, such as ["Paris", "is", "warm"], or a text with spaces between its tokens'
        raise BadInput("DATA_TOKENS", f"column '{name}' holds no list of tokens", fix=fix, where=table.place(i))
    return [v if isinstance(v, str) else str(v) for v in cell]


def _tags(cell: Any, table: Table, name: str, i: int, names: Sequence[str]) -> list[str] | None:
    if isinstance(cell, str):
        cell = _listed(cell) or cell.split()
    if cell is None:
        return None
    if not isinstance(cell, list | tuple) or not all(isinstance(v, str | int) for v in cell):
        fix = 'write a list of tags, such as ["B-LOC", "O", "O"], or a text with spaces between them'
        raise BadInput("DATA_TAGS", f"column '{name}' holds no list of tags", fix=fix, where=table.place(i))
    return [v if isinstance(v, str) else _named(v, table, name, i, names) for v in cell]


def _named(number: int, table: Table, name: str, i: int, names: Sequence[str]) -> str:
    if 0 <= number < len(names):
        return names[number]
    if names:
        message = f"column '{name}' holds the tag number {number}, and {len(names)} tags are named"
        raise BadInput("TAG_NAMES", message, fix="name every tag in order with --labels", where=table.place(i))
    message = f"column '{name}' holds numbers, and nothing says which tag each of them is"
    fix = "name the tags in the order of their numbers, such as --labels O --labels B-PER --labels I-PER"
    raise BadInput("TAG_NAMES", message, fix=fix, where=table.place(i))


def _listed(text: str) -> list[Any] | None:
    """The list of texts or whole numbers that a cell spells in JSON; None where it spells none."""
    if not text.lstrip().startswith("["):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    shown = isinstance(found, list) and all(isinstance(v, str | int) for v in found)
    return found if shown else None


def shown(tokens: Sequence[str], start: int = 0, end: int | None = None) -> str:
    """The tokens as one text, for messages."""
    return one_line(" ".join(tokens[start:end]))
