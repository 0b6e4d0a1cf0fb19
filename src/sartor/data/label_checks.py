"""What is wrong with the column to predict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any

from sartor.data import box_checks, tag_checks
from sartor.data import tags as tagging
from sartor.data.boxes import labels_of
from sartor.data.duplicates import compared
from sartor.data.problem import Problem, places, quoted, rows_of, short
from sartor.data.rows import Rows

FEW = 8
"""Fewer training rows than this teach a class little; a warning."""
MANY = 1000


def check(rows: Rows) -> Iterator[Problem]:
    """Problems of the targets of the training part; none where the rows have no target."""
    values, name = rows.targets(), rows.schema.target
    if values is None or name is None:
        return
    yield from _missing(rows, values, name)
    if rows.schema.kind(name) in ("number", "text"):
        yield from _constant(values, name)
        return
    if rows.schema.kind(name) == "tags":
        yield from tag_checks.check(rows, values)
        yield from _spelling(tagging.counted(values))
        return
    if rows.schema.kind(name) == "boxes":
        yield from box_checks.check(rows, values)
        yield from _spelling(Counter(labels_of(values)))
        return
    counts = Counter(_each_label(values))
    yield from _single(counts, name)
    if _like_ids(rows, values, counts):
        yield _id_column(name, counts)
        return
    yield from _rare(rows, values, counts)
    yield from _spelling(counts)
    yield from _declared(rows, values, counts)


def of_part(train: Rows, part: Rows, name: str) -> Iterator[Problem]:
    """Problems of the targets of a given validation or test part."""
    values, target = part.targets(), part.schema.target
    if train.targets() is None:
        return
    if values is None or target is None:
        message = f"the {name} part has no column '{train.schema.target}'"
        yield Problem("EVAL_NO_LABELS", "error", message, "give a part with the true values", 1, (part.source,))
        return
    yield from _missing(part, values, target)
    if train.schema.kind(target) == "tags":
        yield from tag_checks.of_part(train, part, values)
    elif train.schema.kind(target) == "boxes":
        yield from box_checks.of_part(train, part, values)
    elif train.schema.kind(target) not in ("number", "text"):
        known = set(train.schema.labels) or set(_each_label(train.targets() or ()))
        yield from _unknown(part, values, known, "the training part")


def conflicts(rows: Rows, keys: Sequence[Hashable], equal: Sequence[tuple[int, int]]) -> Iterator[Problem]:
    """Equal inputs with different labels: at most one of them is right."""
    values = rows.targets()
    if values is None:
        return
    found = [(i, j) for i, j in equal if values[i] is not None and values[j] is not None and values[i] != values[j]]
    if found:
        i, j = found[0]
        one, other = _apart(values[j], values[i])
        shown = f"line {rows.lines[j]} says '{short(one)}', line {rows.lines[i]} says '{short(other)}'"
        message = (
            f"the {compared(rows)} of an earlier row comes again with another label in {rows_of(len(found))} ({shown})"
        )
        yield Problem(
            "LABEL_CONFLICT",
            "warning",
            message,
            "decide which is right",
            len(found),
            places(rows, [i for i, _ in found]),
        )


def _apart(one: Any, other: Any) -> tuple[str, str]:
    """Two different answers in words; of lists of equal length, such as tags, where they first differ."""
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return next((str(a), str(b)) for a, b in zip(one, other, strict=True) if a != b)
    return str(one), str(other)


def classes_of(rows: Rows) -> Counter[str]:
    """Label -> how many rows have it, how many spans are of that type, how many boxes; empty where numbers or texts are
    predicted."""
    values, target = rows.targets(), rows.schema.target
    if values is None or target is None or rows.schema.kind(target) in ("number", "text"):
        return Counter()
    if rows.schema.kind(target) == "boxes":
        return Counter(labels_of(values))
    return tagging.counted(values) if rows.schema.kind(target) == "tags" else Counter(map(str, _each_label(values)))


def _each_label(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from value
        elif value is not None:
            yield value


def _missing(rows: Rows, values: Sequence[Any], name: str) -> Iterator[Problem]:
    gone = [i for i, v in enumerate(values) if v is None]
    if gone:
        message = f"'{name}', which is to be predicted, is missing in {rows_of(len(gone))}"
        yield Problem("LABEL_EMPTY", "error", message, "fill in or drop these rows", len(gone), places(rows, gone))


def _constant(values: Sequence[Any], name: str) -> Iterator[Problem]:
    if len({v for v in values if v is not None}) == 1:
        message = f"'{name}' has the same value in every row"
        yield Problem("LABEL_SINGLE", "error", message, "give rows with different values", len(values))


def _single(counts: Counter[str], name: str) -> Iterator[Problem]:
    if len(counts) == 1:
        only = next(iter(counts))
        message = f"every row has the label '{short(only)}' in '{name}'"
        yield Problem("LABEL_SINGLE", "error", message, "give rows of at least two classes", counts[only])


def _like_ids(rows: Rows, values: Sequence[Any], counts: Counter[str]) -> bool:
    return len(counts) > 20 and len(counts) > len(values) / 2


def _id_column(name: str, counts: Counter[str]) -> Problem:
    message = f"'{name}' has {len(counts):,} classes in {rows_of(sum(counts.values()))} and looks like an id column"
    return Problem("LABEL_MANY", "error", message, "name the column to predict with --target", len(counts))


def _rare(rows: Rows, values: Sequence[Any], counts: Counter[str]) -> Iterator[Problem]:
    alone = sorted(label for label, n in counts.items() if n < 2)
    few = sorted(label for label, n in counts.items() if 2 <= n < FEW)
    if len(counts) > MANY:
        message = f"there are {len(counts):,} classes, as many as an id column has"
        yield Problem("LABEL_MANY", "warning", message, "merge rare classes", len(counts))
    if alone and len(counts) > 1:
        one = len(alone) == 1
        message = (
            f"the class {quoted(alone)} has only one row" if one else f"the classes {quoted(alone)} have one row each"
        )
        where = places(rows, _where(values, set(alone)))
        yield Problem("LABEL_RARE", "error", message, "merge, drop or collect more rows of them", len(alone), where)
    if few:
        one = len(few) == 1
        message = f"the {'class' if one else 'classes'} {quoted(few)} {'has' if one else 'have'} fewer than {FEW} rows"
        where = places(rows, _where(values, set(few)))
        yield Problem("LABEL_RARE", "warning", message, "merge, drop or collect more rows of them", len(few), where)


def _where(values: Sequence[Any], labels: set[str]) -> list[int]:
    return [i for i, v in enumerate(values) if v is not None and not labels.isdisjoint(_each_label([v]))]


def _spelling(counts: Counter[str]) -> Iterator[Problem]:
    seen: dict[str, list[str]] = {}
    for label in sorted(counts):
        seen.setdefault(" ".join(label.casefold().split()), []).append(label)
    alike = [labels for labels in seen.values() if len(labels) > 1]
    if alike:
        shown = "; ".join(", ".join(repr(label)[:40] for label in labels[:5]) for labels in alike[:3])
        message = f"labels differ only by case or spaces: {shown}"
        yield Problem("LABEL_NEAR", "warning", message, "write each label one way", len(alike))


def _declared(rows: Rows, values: Sequence[Any], counts: Counter[str]) -> Iterator[Problem]:
    declared = rows.schema.labels
    if not declared:
        return
    yield from _unknown(rows, values, set(declared), "the declared labels")
    absent = [label for label in declared if label not in counts]
    if absent:
        message = f"no row has the declared label{'' if len(absent) == 1 else 's'} {quoted(absent)}"
        yield Problem("LABEL_ABSENT", "warning", message, "drop it from the labels or add rows", len(absent))


def _unknown(rows: Rows, values: Sequence[Any], known: set[str], whose: str) -> Iterator[Problem]:
    strange = set(_each_label(values)) - known
    if strange:
        where = _where(values, strange)
        first = next(label for label in _each_label([values[where[0]]]) if label in strange)
        more = f" (and {rows_of(len(where) - 1)} more)" if len(where) > 1 else ""
        listed = ", ".join(short(label) for label in sorted(known)[:20]) + (", …" if len(known) > 20 else "")
        message = f"label '{short(first)}' is not one of {whose}: {listed}{more}"
        fix = "correct the row or add it to the labels"
        yield Problem("LABEL_UNKNOWN", "error", message, fix, len(where), places(rows, where))
