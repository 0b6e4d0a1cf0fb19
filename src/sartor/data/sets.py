"""Several data sets as one table: the column `task` says of which set a row is; each keeps the schema it has alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.data.rows import TASK, Column, Rows, Schema
from sartor.data.table import Table
from sartor.errors import BadInput, did_you_mean

SPAN = 1_000_000_000
"""Row r of the k-th set has the number k SPAN + r among the rows of all: no two have the same."""


def join(sets: Mapping[str, Rows]) -> Rows:
    """The rows of every set, one set after the other. Raises `BadInput` for columns that cannot lie in one table."""
    _refuse_clashes(sets)
    names = dict.fromkeys(name for rows in sets.values() for name in rows.columns)
    columns: dict[str, Sequence[Any]] = {TASK: [name for name, rows in sets.items() for _ in range(len(rows))]}
    for column in names:
        columns[column] = [v for rows in sets.values() for v in rows.columns.get(column, [None] * len(rows))]
    numbers = [rows.numbers + k * SPAN for k, rows in enumerate(sets.values())]
    return Rows(
        _schema({name: rows.schema for name, rows in sets.items()}),
        columns,
        np.concatenate(numbers),
        np.concatenate([rows.lines for rows in sets.values()]),
        " + ".join(dict.fromkeys(rows.source for rows in sets.values())),
        {name: rows.source for name, rows in sets.items()},
    )


def places(rows: Rows, name: str) -> NDArray[np.int64]:
    """Where the rows of one set lie."""
    return np.flatnonzero([task == name for task in rows.columns[TASK]]).astype(np.int64)


def one(rows: Rows, name: str) -> Rows:
    """The rows of one set, as they are alone."""
    schema = rows.schema.members[name]
    found = rows.take(places(rows, name))
    own = {column.name for column in schema.columns}
    columns = {column: values for column, values in found.columns.items() if column in own}
    numbers, source = found.numbers % SPAN, rows.sources[name]
    return replace(found, schema=schema, columns=columns, numbers=numbers, source=source, sources={})


def apart(table: Table) -> dict[str, tuple[NDArray[np.int64], Table]]:
    """The sets of a table with the column `task`: each one's name, where its rows lie, and they without the column.

    Raises `BadInput` where a row does not say of which set it is.
    """
    said = [None if v is None or v == "" else str(v) for v in table.columns[TASK]]
    if None in said:
        fix = f"write the name of its task into the column '{TASK}'"
        raise BadInput("TASK_EMPTY", "the row does not say which task it is for", fix=fix, where=_first(table, said))
    where: dict[str, list[int]] = {}
    for i, name in enumerate(said):
        where.setdefault(str(name), []).append(i)
    rest = table.without([TASK])
    return {name: (np.array(some, dtype=np.int64), _taken(rest, some)) for name, some in where.items()}


def refuse_unknown(table: Table, known: Sequence[str]) -> None:
    """Raise `BadInput` where the rows do not say for which of the known tasks they are."""
    if TASK not in table.columns:
        fix = f"add a column '{TASK}' that holds one of: {', '.join(known)}; or name one task for all with --task-name"
        raise BadInput("TASK_COLUMN", "the rows do not say which task they are for", fix=fix, where=table.source)
    for i, name in enumerate(table.columns[TASK]):
        if name is not None and name != "" and str(name) not in known:
            fix = did_you_mean(str(name), known)
            raise BadInput("TASK_UNKNOWN", f"no task is called '{name}'", fix=fix, where=table.place(i))


def _first(table: Table, said: list[str | None]) -> str:
    return table.place(said.index(None))


def _taken(table: Table, where: list[int]) -> Table:
    columns = {name: [values[i] for i in where] for name, values in table.columns.items()}
    return Table(table.source, columns, table.lines[where])


def _schema(members: dict[str, Schema]) -> Schema:
    """The schema of all: every column once, as the first set that has it holds it."""
    said = Column(TASK, "category", "the data set of a row", 0, len(members))
    columns = {column.name: column for schema in reversed(members.values()) for column in schema.columns}
    ordered = dict.fromkeys(column.name for schema in members.values() for column in schema.columns)
    inputs = tuple(dict.fromkeys(name for schema in members.values() for name in schema.inputs))
    return Schema((said, *(columns[name] for name in ordered)), None, inputs, members=members)


def _refuse_clashes(sets: Mapping[str, Rows]) -> None:
    held: dict[str, tuple[str, str]] = {}
    for rows in sets.values():
        if TASK in rows.columns:
            message = f"the column '{TASK}' stands for the name of a row's task where several are trained together"
            fix = f"rename it, or leave it out with --ignore {TASK}"
            raise BadInput("TASKS_COLUMN", message, fix=fix, where=rows.source)
        for name in rows.schema.inputs:
            kind = rows.schema.kind(name)
            other, source = held.setdefault(name, (kind, rows.source))
            if other != kind:
                message = f"the column '{name}' holds {kind} here and {other} in {source}"
                fix = f"rename one of them, or say what it holds with --kind {name}={other}"
                raise BadInput("TASKS_COLUMN", message, fix=fix, where=rows.source)
