"""What is wrong or worth knowing about the columns of a table that are neither texts nor media."""

from __future__ import annotations

from collections.abc import Iterator

from sartor.data.problem import Problem, quoted
from sartor.data.rows import Rows

LEAST = 50
"""Rows below which many different values say nothing."""


def check(rows: Rows) -> Iterator[Problem]:
    """Empty columns, columns like identifiers that are not read, categories with a value for nearly every row."""
    schema = rows.schema
    roles = {schema.target, schema.group, schema.time}
    plain = [c for c in schema.columns if c.name not in roles]
    if schema.worded() or schema.reading("image") or schema.reading("audio"):
        return
    blank = [c.name for c in plain if c.distinct == 0]
    if blank and len(rows):
        message = f"every cell is empty in {quoted(blank)}; it is left out"
        yield Problem("DATA_COLUMN_BLANK", "warning", message, f"drop it, or --ignore {blank[0]}", len(blank))
    ids = [c for c in plain if c.kind == "id" and c.name not in schema.inputs]
    if ids:
        message = f"{quoted([c.name for c in ids])} looks like an identifier ({ids[0].why}) and is not read"
        fix = f"nothing, or --kind {ids[0].name}=number where it says something"
        yield Problem("DATA_ID", "warning", message, fix, len(ids))
    many = [
        c
        for c in plain
        if c.kind == "category" and c.name in schema.inputs and len(rows) >= LEAST and c.distinct > len(rows) / 2
    ]
    if many:
        message = f"{quoted([c.name for c in many])} has {many[0].distinct:,} values in {len(rows):,} rows"
        fix = f"leave it out with --ignore {many[0].name}, or read it as words with --kind {many[0].name}=text"
        yield Problem("DATA_CATEGORY_MANY", "warning", message, fix, len(many))
