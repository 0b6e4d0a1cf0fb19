"""Pairs: rows whose two sides belong together, such as a question and its answer, or a caption and its image.

Legend: N rows.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.data import split as splitting
from sartor.data.media import Media
from sartor.data.problem import Problem, places, rows_of
from sartor.data.rows import Column, Kind, Rows, Schema
from sartor.data.split import Split
from sartor.errors import BadInput

Integers = NDArray[np.int64]

SIDES: tuple[Kind, ...] = ("text", "image", "audio")
"""Kinds of column that can be a side."""
TOGETHER = "rows that stay together"
"""The column, made here, by which a split keeps rows with an equal side in one part."""
SHARE = 0.2
"""Rows that are joined by equal sides stay together where they are at most such a share of all."""


def sides(schema: Schema, source: str) -> tuple[str, str]:
    """The two columns that are paired, texts first. Raises `BadInput` where there are not two."""
    found = [name for name in schema.inputs if schema.kind(name) in SIDES]
    if len(found) != 2:
        said = f"a pair has two sides, and {_counted(found)}"
        fix = "name both: --text FIRST --text SECOND, or one text and one column of images (--kind NAME=image)"
        raise BadInput("MATCH_SIDES", said, fix=fix, where=source)
    return found[0], found[1]


def keys(rows: Rows, name: str) -> list[Hashable | None]:
    """(N,) what two cells share when they say the same: the words of a text, the content of a file; None: empty."""
    return [_key(value) for value in rows.columns[name]]


def codes(values: Sequence[Hashable | None]) -> Integers:
    """(N,) the number of each value's first appearance, counted over distinct ones; -1 for None."""
    seen: dict[Hashable, int] = {}
    return np.array([-1 if v is None else seen.setdefault(v, len(seen)) for v in values], dtype=np.int64)


def problems(rows: Rows) -> Iterator[Problem]:
    """What is wrong with pairs as pairs."""
    for name in sides(rows.schema, rows.source):
        known = keys(rows, name)
        empty = [i for i, key in enumerate(known) if key is None]
        if empty:
            said = f"the side '{name}' is empty in {rows_of(len(empty))}: nothing can be learned from half a pair"
            fix = "fill it in, or leave these rows out"
            yield Problem("MATCH_EMPTY", "error", said, fix, len(empty), places(rows, empty))
        elif len(set(known)) == 1 and len(rows) > 1:
            said = f"the side '{name}' says the same in every row: there is nothing to tell apart"
            yield Problem("MATCH_SAME", "error", said, "name another column with --text", len(rows))


def divided(rows: Rows, seed: int, validation: Rows | None, test: Rows | None) -> Split:
    """A split that keeps rows with an equal side in one part; where that would join too many, those with an equal side
    of the kind that repeats less. A group or a time that the user named decides by itself."""
    if rows.schema.group is not None or rows.schema.time is not None:
        return splitting.split(rows, seed=seed, validation=validation, test=test)
    unit, how = _units(rows)
    column = Column(TOGETHER, "id", "made for the split", 0, len(set(unit.tolist())))
    schema = replace(rows.schema, columns=(*rows.schema.columns, column), group=TOGETHER)
    marked = replace(rows, schema=schema, columns={**rows.columns, TOGETHER: unit.tolist()})
    share = splitting.aim(len(rows)) / len(rows)
    made = splitting.by_unit(marked, TOGETHER, seed=seed, validation=validation, test=test, share=share)
    train, held, last = (_unmarked(part, rows.schema) for part in (made.train, made.validation, made.test))
    said = made.how.replace(f"each '{TOGETHER}' in one part", how)
    return Split(train, held, last, said, made.fingerprint)


def _units(rows: Rows) -> tuple[Integers, str]:
    """(N,) which rows stay together, and why in words."""
    names = sides(rows.schema, rows.source)
    known = {name: codes(keys(rows, name)) for name in names}
    both = _components(*known.values())
    if np.bincount(both).max() <= SHARE * len(rows):
        return both, "rows with an equal side in one part"
    sizes = {name: int(np.bincount(code[code >= 0]).max(initial=0)) for name, code in known.items()}
    name = min(names, key=lambda side: sizes[side])
    code = known[name]
    alone = code.max(initial=-1) + 1 + np.arange(len(code))
    return np.where(code < 0, alone, code), f"rows with an equal '{name}' in one part"


def _components(left: Integers, right: Integers) -> Integers:
    """(N,) which rows hang together through equal sides."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    there = (left >= 0) & (right >= 0)
    lefts, rights = int(left.max(initial=-1)) + 1, int(right.max(initial=-1)) + 1
    ends = left[there], lefts + right[there]
    size = lefts + rights
    graph = coo_matrix((np.ones(int(there.sum())), ends), shape=(size, size))
    found = connected_components(graph, directed=False)[1]
    return np.where(there, found[left] if size else 0, size + np.arange(len(left))).astype(np.int64)


def _unmarked(rows: Rows, schema: Schema) -> Rows:
    if TOGETHER not in rows.columns:
        return rows
    return replace(rows, schema=schema, columns={n: v for n, v in rows.columns.items() if n != TOGETHER})


def _key(value: Any) -> Hashable | None:
    if value is None:
        return None
    if isinstance(value, Media):
        return value.digest
    return " ".join(str(value).split()) or None


def _counted(found: Sequence[str]) -> str:
    if not found:
        return "none of the input columns can be one"
    named = ", ".join(f"'{name}'" for name in found)
    return f"only {named} can be one" if len(found) == 1 else f"{len(found)} columns could be one: {named}"


def covers(reads: frozenset[str], schema: Schema) -> bool:
    """Whether what reads columns of these kinds reads both sides, and asks for no other."""
    there = {schema.kind(name) for name in schema.inputs if schema.kind(name) in SIDES}
    return {kind for kind in SIDES if kind in reads} == there
