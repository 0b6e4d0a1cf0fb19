"""Interactions -> histories: what each user did, oldest first, and what came next.

A table has one interaction a row (a user, an item, and when), or one user a row with a list of items. Interactions of
one user at one moment come in an order that a seed draws: files list them by id, and an order by id is one that a model
can learn and that nobody acted in. The draw looks at the user and the item alone, so that it is the same in any file.

Legend: N rows (users), n interactions of one.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sartor.data.hints import Hints
from sartor.data.items import NEXT, catalogue, is_name, item_lists, named
from sartor.data.problem import Problem
from sartor.data.rows import Rows
from sartor.data.split import moment
from sartor.data.table import Table
from sartor.errors import BadInput, one_line

USERS = ("user_id", "user", "userid", "uid", "customer_id", "visitor_id", "reviewerid", "session_id")
ITEMS = ("item_id", "item", "itemid", "iid", "movie_id", "movieid", "product_id", "track_id", "parent_asin", "asin")
TIMES = ("timestamp", "time", "unix_time", "unixreviewtime", "datetime", "date", "created_at")
LISTS = ("items", "item_ids", "item_id_list", "sequence", "history")
RATINGS = ("rating", "ratings", "stars", "score", "overall")


@dataclass(frozen=True)
class Roles:
    """The columns that say who, what and when; `listed`: a cell of `item` holds all that a user did."""

    user: str | None
    item: str
    time: str | None
    listed: bool


def recognised(columns: Collection[str], hints: Hints) -> bool:
    """Whether columns of these names are interactions and nothing else: who, what (or a list of it), perhaps when and
    how it was liked. A target that is not the item says that they are something else."""
    user, item, time = (_named(columns, names) for names in (USERS, ITEMS, TIMES))
    listed = _named(columns, LISTS)
    if hints.target not in (None, item, listed, NEXT) or hints.text:
        return False
    known = {user, item, time, listed, NEXT, _named(columns, RATINGS)}
    return bool(user and (listed or item)) and all(column in known for column in columns if column not in hints.ignore)


def roles(table: Table, hints: Hints) -> Roles:
    """Who, what and when: as the hints say (--group, --target, --time), else by the names that the field gives."""
    columns = [name for name in table.columns if name not in hints.ignore]
    target = hints.target if hints.target != NEXT else None
    item = target or _named(columns, LISTS) or _named(columns, ITEMS)
    for said in (hints.group, item, hints.time):
        if said is not None and said not in table.columns:
            fix = f"the columns are: {', '.join(table.columns)}"
            raise BadInput("DATA_COLUMN_MISSING", f"there is no column '{said}'", fix=fix, where=table.source)
    if item is None:
        said = f"no column of items is among: {', '.join(table.columns)}"
        fix = f"name it with --target, or call it '{ITEMS[0]}'"
        raise BadInput("ITEMS_COLUMN", said, fix=fix, where=table.source)
    listed = _holds_lists(table.columns[item], item)
    user = hints.group or _named(columns, USERS)
    if user is None and not listed:
        said = f"no column of users is among: {', '.join(table.columns)}"
        fix = f"name it with --group, or call it '{USERS[0]}'"
        raise BadInput("ITEMS_USER", said, fix=fix, where=table.source)
    return Roles(user, item, hints.time or _named(columns, TIMES), listed)


def formed(table: Table, found: Roles, *, asked: bool, learns: bool, repeats: bool, seed: int, item: str) -> Table:
    """One row for each user: who, the history under the name `item`, and what came next.

    asked    rows are to be answered: the whole history is there and nothing came next
    learns   users who did only one thing are left out, which is said; otherwise they are there, and lack a next item
    repeats  an item may come again; otherwise only the first time counts
    """
    notes: list[Problem] = []
    lines = _listed(table, found) if found.listed else _grouped(table, found, seed, notes)
    kept = [_once(line, repeats) for line in lines]
    again = sum(len(line.items) for line in lines) - sum(len(line.items) for line in kept)
    if again:
        message = f"an item that a user had before comes again in {_count(again, 'interaction')}"
        fix = "nothing, if only what is new is to be found; else --task next_item:repeats=true"
        notes.append(Problem("ITEMS_AGAIN", "warning", f"{message}: only the first time counts", fix, again))
    if learns:
        alone = [line for line in kept if len(line.items) + len(line.next or ()) < 2]
        kept = [line for line in kept if len(line.items) + len(line.next or ()) >= 2]
        _refuse_alone(kept, table)
        if alone:
            message = f"{_count(len(alone), 'user')} with a single interaction teach nothing of what comes next"
            fix = "nothing; they are left out"
            places = tuple(table.place(line.at) for line in alone[:5])
            notes.append(Problem("ITEMS_ALONE", "warning", message, fix, len(alone), places))
    return _table(table, found, item, kept, asked, tuple(notes))


@dataclass(frozen=True)
class _Line:
    """What one user did: the items, the last moment, the place of the last row, and what the file says came next."""

    user: Any
    items: list[str]
    when: float | None
    at: int
    next: list[str] | None = None


def _table(
    table: Table, found: Roles, item: str, lines: Sequence[_Line], asked: bool, notes: tuple[Problem, ...]
) -> Table:
    told = [(line.items, line.next) if asked or line.next else _parted(line.items) for line in lines]
    columns: dict[str, list[Any]] = {found.user: [line.user for line in lines]} if found.user else {}
    columns |= {item: [list(history) for history, _ in told]}
    if not found.listed and found.time:
        columns[found.time] = [line.when for line in lines]
    if not asked:
        columns[NEXT] = [following for _, following in told]
    places = np.array([table.lines[line.at] for line in lines], dtype=np.int64)
    return Table(table.source, columns, places, table.home, notes)


def _parted(items: list[str]) -> tuple[list[str], list[str] | None]:
    return (items[:-1], items[-1:]) if len(items) > 1 else (items, None)


def _once(line: _Line, repeats: bool) -> _Line:
    return line if repeats else replace(line, items=list(dict.fromkeys(line.items)))


def _grouped(table: Table, found: Roles, seed: int, notes: list[Problem]) -> list[_Line]:
    """The lines of users in the order of their first interactions."""
    users, items = (_filled(table, str(name)) for name in (found.user, found.item))
    if found.time is None:
        message = "no column says when: the order of the file is taken for the order in time"
        fix = "name the column with --time, or sort the file by time"
        notes.append(Problem("ITEMS_NO_TIME", "warning", message, fix, len(table)))
        times = [float(i) for i in range(len(table))]
    else:
        times = _moments(table, found.time)
    did: dict[Any, list[int]] = {}
    for i, user in enumerate(users):
        did.setdefault(user, []).append(i)
    made, tied = [], 0
    for user, where in did.items():
        moments = Counter(times[i] for i in where)
        tied += sum(n for n in moments.values() if n > 1)
        keys = {i: _drawn(seed, user, items[i]) if moments[times[i]] > 1 else b"" for i in where}
        order = sorted(where, key=lambda i: (times[i], keys[i], i))
        made.append(_Line(user, [items[i] for i in order], times[order[-1]], order[-1]))
    if tied:
        message = f"{_count(tied, 'interaction')} of {len(table):,} happened at a moment with another of the same user"
        fix = f"nothing; their order is drawn with seed {seed} (--task next_item:tie_seed={seed})"
        notes.append(Problem("ITEMS_TIES", "warning", message, fix, tied))
    return made


def _drawn(seed: int, user: Any, item: str) -> bytes:
    return hashlib.blake2b(f"{seed}/{user}/{item}".encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _listed(table: Table, found: Roles) -> list[_Line]:
    users: Sequence[Any] = table.columns[found.user] if found.user else range(len(table))
    following = table.columns.get(NEXT)
    after = [None] * len(table) if following is None else item_lists(table, NEXT)
    each = item_lists(table, found.item)
    return [_Line(u, items or [], None, i, after[i]) for i, (u, items) in enumerate(zip(users, each, strict=True))]


def _holds_lists(cells: Sequence[Any], name: str) -> bool:
    first = next((cell for cell in cells if cell not in (None, "")), None)
    spelled = isinstance(first, str) and first.lstrip().startswith("[")
    return isinstance(first, list | tuple) or spelled or name.strip().casefold() in LISTS


def _filled(table: Table, name: str) -> list[str]:
    values = table.columns[name]
    for i, value in enumerate(values):
        if value is None or value == "":
            fix = "fill it in, or remove the row"
            raise BadInput("ITEMS_EMPTY", f"the cell of '{name}' is empty", fix=fix, where=table.place(i))
        if not is_name(value):
            said = f"the cell of '{name}' is neither a name nor a number"
            raise BadInput("ITEMS_NAME", said, fix="write an identifier there", where=table.place(i))
    return [named(value) for value in values]


def _moments(table: Table, name: str) -> list[float]:
    """When each interaction was, as a number. Raises `BadInput` for what is no time, and for two ways of writing it."""
    found: list[float] = []
    first: bool | None = None
    for i, value in enumerate(table.columns[name]):
        number = _number(value)
        when = moment(value) if number is None else number
        if when is None or not math.isfinite(when):
            shown = "is empty" if value in (None, "") else f"holds '{one_line(str(value))[:40]}', which is no time"
            fix = "write numbers, or dates such as 2024-05-31 or 2024-05-31T10:00:00; or leave it out with --ignore"
            raise BadInput("TIME_ORDER", f"the time column '{name}' {shown}", fix=fix, where=table.place(i))
        first = (number is None) if first is None else first
        if first != (number is None):
            said = f"the time column '{name}' holds numbers and dates"
            raise BadInput("TIME_ORDER", said, fix="write all of them in one way", where=table.place(i))
        found.append(when)
    return found


def _number(value: Any) -> float | None:
    try:
        return None if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


def _refuse_alone(kept: Sequence[_Line], table: Table) -> None:
    if not kept:
        said = "every user has a single interaction, and nothing comes next"
        fix = "name the column of users with --group, and that of items with --target"
        raise BadInput("ITEMS_ALONE", said, fix=fix, where=table.source)


def problems(rows: Rows, others: Mapping[str, Rows], least: int) -> Iterator[Problem]:
    """What was noted when the histories were made, and too few users."""
    if len(rows) < least:
        message = f"there are only {_count(len(rows), 'user')} with two interactions or more"
        fix = f"give at least {least}; a comparison that means something takes some hundreds"
        yield Problem("DATA_TOO_FEW", "error", message, fix, len(rows))
    if len(catalogue(rows)) < 3:
        fix = "check which column names the items: --target NAME"
        yield Problem("ITEMS_FEW", "error", "there are fewer than three items", fix, len(rows))
    yield from rows.notes
    for name, part in others.items():
        yield from (replace(note, message=f"{name}: {note.message}") for note in part.notes)
        without = [i for i, value in enumerate(part.targets() or ()) if not value]
        if without:
            message = f"nothing comes next in {_count(len(without), 'row')} of the {name} part"
            fix = "give each user at least two interactions there"
            yield Problem("ITEMS_NO_NEXT", "error", message, fix, len(without), (part.place(without[0]),))


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _named(columns: Collection[str], names: Collection[str]) -> str | None:
    """The column of one of these names, the first of them first; RecBole's typed headers (`user_id:token`) too."""
    known = {column.strip().casefold().partition(":")[0]: column for column in columns}
    return next((known[name] for name in names if name in known), None)
