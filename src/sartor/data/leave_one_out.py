"""Leave one out by time: of each user the last item is the test part's, the one before it the validation part's.

The protocol of the field (Kang and McAuley 2018, arXiv 1808.09781): users with fewer items than that are learned from
alone. What comes before an asked item is its history, the validation part's item for the test part too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sartor.data.items import NEXT, catalogue, of_rows
from sartor.data.rows import Rows
from sartor.data.split import Split, parted

MOST = 20_000_000
"""Answers for so many pairs of a user and an item: of more, a part asks only some users."""


@dataclass(frozen=True)
class _Cut:
    """The users at `where`, what each did before, and what comes next."""

    where: list[int]
    histories: list[list[str]]
    next: list[list[str]]


def leave_one_out(rows: Rows, seed: int, validation: Rows | None, test: Rows | None) -> Split:
    """The three parts; given ones stay, and then less is left out of the training part."""
    lines = [[*history, *following] for history, following in zip(of_rows(rows), _following(rows), strict=True)]
    given = {"validation": validation, "test": test}
    held = [name for name in ("test", "validation") if given[name] is None]
    enough = [len(line) > len(held) for line in lines]
    made = {name: _held(lines, enough, back) for back, name in enumerate(held)}
    learned = _learned(lines, enough, len(held))
    asked = {name: _some(cut, rows, seed) for name, cut in made.items()}
    parts = {name: _taken(rows, cut) for name, cut in asked.items()} | {n: p for n, p in given.items() if p is not None}
    how = [f"{' and '.join(name for name in given if name not in held)} as given"] if len(held) < 2 else []
    how += [_words(held, enough, made, asked, seed)] if held else []
    return parted(rows, (_taken(rows, learned), parts["validation"], parts["test"]), "; ".join(how))


def _following(rows: Rows) -> Sequence[list[str]]:
    return [list(cell or ()) for cell in rows.columns.get(NEXT, [()] * len(rows))]


def _held(lines: Sequence[list[str]], enough: Sequence[bool], back: int) -> _Cut:
    """Each user's item that has `back` more behind it."""
    where = [i for i, line in enumerate(lines) if enough[i] and len(line) > back + 1]
    ends = {i: len(lines[i]) - back for i in where}
    return _Cut(where, [lines[i][: ends[i] - 1] for i in where], [lines[i][ends[i] - 1 : ends[i]] for i in where])


def _learned(lines: Sequence[list[str]], enough: Sequence[bool], held: int) -> _Cut:
    """What is before the parts that are held out: every item of it but the first is one to predict."""
    left = [line[: len(line) - held] if fits else line for line, fits in zip(lines, enough, strict=True)]
    where = [i for i, line in enumerate(left) if len(line) > 1]
    return _Cut(where, [left[i][:-1] for i in where], [left[i][1:] for i in where])


def _some(cut: _Cut, rows: Rows, seed: int) -> _Cut:
    most = max(500, MOST // max(1, len(catalogue(rows))))
    if len(cut.where) <= most:
        return cut
    drawn = np.sort(np.random.default_rng(seed).permutation(len(cut.where))[:most]).tolist()
    return _Cut(*([values[i] for i in drawn] for values in (cut.where, cut.histories, cut.next)))  # type: ignore[arg-type]


def _taken(rows: Rows, cut: _Cut) -> Rows:
    found = rows.take(cut.where)
    (name,) = rows.schema.reading("items")
    return replace(found, columns={**found.columns, name: cut.histories, NEXT: cut.next})


def _words(
    held: Sequence[str], enough: Sequence[bool], made: dict[str, _Cut], asked: dict[str, _Cut], seed: int
) -> str:
    places = {"test": "the last item of each user", "validation": "the one before it"}
    if held == ["validation"]:
        places["validation"] = "the last item of each user"
    said = " and ".join(f"{places[name]} is the {name} part's" for name in held)
    short = enough.count(False)
    said += f"; too short for that, and only learned from: {short:,} users" if short else ""
    fewer = [name for name in held if len(asked[name].where) < len(made[name].where)]
    count = len(asked[fewer[0]].where) if fewer else 0
    return said + (f"; of the {' and the '.join(fewer)} part {count:,} users are asked, seed {seed}" if fewer else "")
