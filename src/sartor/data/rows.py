"""Rows: a table with a schema, immutable; every row remembers its number and its line in the file.

Rows of several data sets are one table too: the column `task` says of which set a row is (see data/sets.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from sartor.data.media import as_fingerprint

if TYPE_CHECKING:
    from sartor.data.problem import Problem

Kind = Literal[
    "text", "category", "number", "boolean", "date", "image", "audio", "id", "labels", "tokens", "tags", "items",
    "boxes", "messages",
]  # fmt: skip
KINDS: tuple[Kind, ...] = (
    "text", "category", "number", "boolean", "date", "image", "audio", "id", "labels", "tokens", "tags", "items",
    "boxes", "messages",
)  # fmt: skip
TASK = "task"
"""The column that says of which data set a row is, where rows of several lie in one table."""


@dataclass(frozen=True)
class Column:
    """One column and what it seems to hold.

    labels         several labels per row (a list, or text with a separator)
    tokens, tags   a list of tokens per row, and a tag for each of them
    items          a list of items per row, oldest first: what somebody did
    boxes          the labelled boxes in an image
    messages       a conversation per row: a list of {"role": ..., "content": ...}
    """

    name: str
    kind: Kind
    why: str
    """The evidence for the kind, or "given" where the user said so."""
    missing: int = 0
    distinct: int = 0


@dataclass(frozen=True)
class Schema:
    """Which columns there are, which is predicted, and from which.

    target    the column to predict, or None (serving); one of the inputs where what is read is what is predicted
    inputs    the columns to predict from, in order; one text column, or two for a text pair, come first
    group     rows that share its value stay in one part of a split
    time      the split is by its order: train before validation before test
    labels    every label there may be, where the user declared them; empty: whatever the training part holds
    members   of rows of several data sets: each set's name and the schema that it has alone
    """

    columns: tuple[Column, ...]
    target: str | None = None
    inputs: tuple[str, ...] = ()
    group: str | None = None
    time: str | None = None
    labels: tuple[str, ...] = ()
    members: Mapping[str, Schema] = field(default_factory=dict)

    def kind(self, name: str) -> Kind:
        return next(c.kind for c in self.columns if c.name == name)

    def reading(self, kind: Kind) -> tuple[str, ...]:
        """The input columns of one kind, in order."""
        return tuple(name for name in self.inputs if self.kind(name) == kind)

    def untargeted(self) -> Schema:
        """The schema of rows without what is to be predicted."""
        members = {name: schema.untargeted() for name, schema in self.members.items()}
        columns = tuple(c for c in self.columns if c.name != self.target or c.name in self.inputs)
        return replace(self, columns=columns, target=None, members=members)

    def worded(self) -> tuple[str, ...]:
        """The input columns that hold words, as texts or as lists of tokens, in order."""
        return tuple(name for name in self.inputs if self.kind(name) in ("text", "tokens"))

    def to_json(self) -> dict[str, Any]:
        from dataclasses import asdict

        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Schema:
        columns = tuple(Column(**c) for c in value["columns"])
        labels = tuple(value.get("labels", ()))
        members = {name: cls.from_json(member) for name, member in value.get("members", {}).items()}
        return cls(columns, value["target"], tuple(value["inputs"]), value["group"], value["time"], labels, members)


@dataclass(frozen=True)
class Rows:
    """N rows of a table.

    columns   name -> N values: str, float, int, bool, a list of str (labels, tokens, tags, items) or of `Box`, `Media`,
              or None where missing
    numbers   (N,) each row's number in the data as read, from 0: its identity in splits and predictions
    lines     (N,) each row's line in its file, from 1 (for Parquet and frames: its number + 1)
    source    the file's name as the user gave it, for messages
    sources   of rows of several data sets: each set's file
    left_out  a sentence for each row that was left out because its image or sound cannot be read
    notes     what was found while a task brought the table into its form
    """

    schema: Schema
    columns: dict[str, Sequence[Any]]
    numbers: NDArray[np.int64]
    lines: NDArray[np.int64]
    source: str
    sources: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    notes: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for i in range(len(self)):
            yield {name: values[i] for name, values in self.columns.items()}

    def take(self, where: Sequence[int] | NDArray[Any]) -> Rows:
        """The rows at the positions `where` (indices or a mask), in that order."""
        places = np.asarray(where)
        places = np.flatnonzero(places) if places.dtype == bool else places.astype(np.int64)
        chosen = places.tolist()
        columns: dict[str, Sequence[Any]] = {name: [values[i] for i in chosen] for name, values in self.columns.items()}
        return replace(self, columns=columns, numbers=self.numbers[places], lines=self.lines[places])

    def column(self, name: str) -> Sequence[Any]:
        return self.columns[name]

    def targets(self) -> Sequence[Any] | None:
        """The values to predict, or None where the rows have none (serving)."""
        return self.columns.get(self.schema.target) if self.schema.target is not None else None

    def untargeted(self) -> Rows:
        """The rows as they come when they are to be answered."""
        schema, target = self.schema.untargeted(), self.schema.target
        return replace(
            self, schema=schema, columns={n: self.columns[n] for n in self.columns if n != target or n in schema.inputs}
        )

    def texts(self) -> list[tuple[str, ...]]:
        """N tuples of the row's inputs that hold words: one text, or a pair; a missing text is empty, tokens are parted
        by spaces."""
        names = self.schema.worded()
        return list(zip(*([_as_text(v) for v in self.columns[n]] for n in names), strict=True))

    def place(self, i: int) -> str:
        """`file:line` of the row at position i."""
        source = self.sources[self.columns[TASK][i]] if self.sources else self.source
        return f"{source}:{self.lines[i]}"

    def fingerprint(self) -> str:
        """sha256 over the schema's names, the row numbers and every value, in order."""
        digest = hashlib.sha256(json.dumps([self.schema.target, *self.columns]).encode())
        digest.update(self.numbers.tobytes())
        for values in self.columns.values():
            digest.update(
                json.dumps(list(values), ensure_ascii=False, default=as_fingerprint).encode("utf-8", "surrogatepass")
            )
        return digest.hexdigest()


def _as_text(value: Any) -> str:
    return "" if value is None else " ".join(value) if isinstance(value, list) else str(value)
