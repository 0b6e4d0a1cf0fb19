"""Everything that is wrong or suspicious in the data, at once, with the lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from sartor.data import duplicates, label_checks, leaks, media_checks, table_checks
from sartor.data.problem import Problem, Severity, places, quoted, rows_of, short
from sartor.data.rows import Rows
from sartor.errors import BadInput

__all__ = ["Problem", "check", "require_clean"]

LEAST_ROWS = 20
BROKEN = re.compile("Ã[\x80-\xbf©\u2018-\u2122]|â\u20ac|Â[\xa0-\xbf]|\ufffd|ï»¿")
"""UTF-8 that was once read as Latin-1 or Windows-1252, and the mark for what could not be decoded."""


def check(rows: Rows, others: Mapping[str, Rows] = {}) -> tuple[Problem, ...]:
    """The problems of the data, errors first. `others` are the given parts, "validation" and "test"."""
    found = [*_size(rows), *_texts(rows), *media_checks.check(rows), *_inputs(rows), *_repeats(rows)]
    found += table_checks.check(rows)
    found += [*label_checks.check(rows), *leaks.check(rows)]
    for name, part in others.items():
        found += [
            *_texts(part),
            *media_checks.check(part),
            *label_checks.of_part(rows, part, name),
            *_across(rows, part, name),
        ]
    return tuple(sorted(found, key=lambda p: p.severity != "error"))


def require_clean(problems: tuple[Problem, ...], source: str) -> tuple[Problem, ...]:
    """The warnings; raises `BadInput` for the first error and says how many more there are."""
    errors = [p for p in problems if p.severity == "error"]
    if errors:
        first = errors[0]
        more = f" (and {len(errors) - 1} more: run `sartor check {source}`)" if len(errors) > 1 else ""
        where = first.places[0] if first.places else source
        raise BadInput(first.code, first.message + more, fix=first.fix, where=where)
    return problems


def _size(rows: Rows) -> Iterator[Problem]:
    if len(rows) < LEAST_ROWS:
        fix = f"give at least {LEAST_ROWS}; a comparison that means something takes some hundreds"
        yield Problem("DATA_TOO_FEW", "error", f"there are only {rows_of(len(rows))}", fix, len(rows))


def _texts(rows: Rows) -> Iterator[Problem]:
    for name in rows.schema.reading("text"):
        values = rows.columns[name]
        empty = [i for i, v in enumerate(values) if not v or v.isspace()]
        if len(empty) == len(values):
            message = f"the text column '{name}' is empty in every row"
            yield Problem("DATA_COLUMN_BLANK", "error", message, "name another column with --text", len(empty))
        elif empty:
            message = f"the text '{name}' is empty in {rows_of(len(empty))}"
            yield Problem(
                "DATA_VALUE_EMPTY", "warning", message, "fill in or drop these rows", len(empty), places(rows, empty)
            )
        broken = [i for i, v in enumerate(values) if v and not v.isascii() and BROKEN.search(v)]
        if broken:
            message = (
                f"the text '{name}' shows signs of a wrong encoding (such as 'Ã©' for 'é') in {rows_of(len(broken))}"
            )
            fix = "read the original file with the encoding it was written in and save it as UTF-8"
            yield Problem("DATA_ENCODING_SIGNS", "warning", message, fix, len(broken), places(rows, broken))


def _inputs(rows: Rows) -> Iterator[Problem]:
    columns = [c for c in rows.schema.columns if c.name in rows.schema.inputs and c.kind != "text"]
    missing = {c.name: [i for i, v in enumerate(rows.columns[c.name]) if v is None] for c in columns}
    gone = {name: where for name, where in missing.items() if where}
    if gone:
        shown = ", ".join(f"'{short(name)}' in {rows_of(len(where))}" for name, where in list(gone.items())[:3])
        more = f" and {len(gone) - 3} more columns" if len(gone) > 3 else ""
        where = sorted({i for found in gone.values() for i in found})
        message = f"values are missing: {shown}{more}"
        fix = "nothing, if they are truly unknown; they count as missing"
        yield Problem("DATA_VALUE_MISSING", "warning", message, fix, len(where), places(rows, where))
    constant = [c.name for c in columns if c.distinct == 1 and not missing[c.name] and len(rows) > 1]
    if constant:
        message = f"the same value stands in every row of {quoted(constant)}"
        fix = f"leave such columns out with --ignore {constant[0]}"
        yield Problem("DATA_CONSTANT", "warning", message, fix, len(constant))
    unused = [c.name for c in rows.schema.columns if c.kind == "text" and c.name in _unread(rows)]
    if unused:
        message = f"text is not read from {quoted(unused)}"
        yield Problem("DATA_TEXT_UNUSED", "warning", message, "choose the text columns with --text NAME", len(unused))


def _unread(rows: Rows) -> set[str]:
    schema = rows.schema
    read = {*schema.inputs, schema.target, schema.group, schema.time}
    given = any(c.name in schema.inputs and c.why == "given" for c in schema.columns)
    return set() if given else {c.name for c in schema.columns} - read


def _repeats(rows: Rows) -> Iterator[Problem]:
    what = duplicates.compared(rows)
    if what is None:
        return
    keys = duplicates.keys(rows)
    equal = duplicates.repeated(keys)
    later = [i for i, _ in equal]
    if equal:
        message = f"the {what} of an earlier row comes again in {rows_of(len(equal))}"
        fix = f"drop them, or leave them: equal {what}s stay on one side of a split"
        yield Problem("DATA_DUPLICATE", "warning", message, fix, len(equal), places(rows, later))
        yield from label_checks.conflicts(rows, keys, equal)
    if what != "text":
        return
    gone = set(later)
    distinct = [i for i in range(len(rows)) if i not in gone]
    near = duplicates.near([" ".join(map(str, keys[i])) for i in distinct])
    if near:
        later, earlier = (rows.lines[distinct[i]] for i in near[0])
        shown = f"line {later} is like line {earlier}"
        message = f"nearly the text of an earlier row comes again in {rows_of(len(near))} ({shown})"
        fix = "drop them if they are copies; near duplicates on both sides of a split flatter every score"
        where = places(rows, [distinct[i] for i, _ in near])
        yield Problem("DATA_NEAR_DUPLICATE", "warning", message, fix, len(near), where)


def _one(what: str) -> str:
    return f"{'an' if what[0] in 'aeiou' else 'a'} {what}"


def _across(rows: Rows, part: Rows, name: str) -> Iterator[Problem]:
    """Rows of a given part whose text or image, or whose group, is also in the training part."""
    what = duplicates.compared(rows)
    if what is not None:
        seen = set(duplicates.keys(rows))
        leaked = [i for i, key in enumerate(duplicates.keys(part)) if key in seen and not duplicates.blank(key)]
        if leaked:
            share = len(leaked) / len(part)
            said = f"{rows_of(len(leaked))} of the {name} part ({share:.1%})"
            message = f"{_one(what)} of the training part comes again in {said}"
            fix = f"drop them from the {name} part; they flatter every score"
            severity: Severity = "error" if share > 0.5 else "warning"
            yield Problem("SPLIT_LEAK", severity, message, fix, len(leaked), places(part, leaked))
    group = rows.schema.group
    if group and part.schema.group:
        known = set(rows.columns[group])
        both = [i for i, v in enumerate(part.columns[group]) if v in known]
        if both:
            message = f"a '{group}' of the training part comes again in {rows_of(len(both))} of the {name} part"
            fix = f"keep each '{group}' in one part"
            yield Problem("SPLIT_GROUP", "warning", message, fix, len(both), places(part, both))
