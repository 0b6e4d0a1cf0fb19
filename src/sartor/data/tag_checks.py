"""What is wrong with tokens and their tags."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sartor.data import tags as tagging
from sartor.data import tokens as wording
from sartor.data.problem import Problem, places, quoted, rows_of, short
from sartor.data.rows import Rows

FEW = 8
"""Fewer spans of a type than this teach little; a warning."""
FORMS = {
    "IOB1": "O, I-TYPE or B-TYPE",
    "IOB2": "O, B-TYPE or I-TYPE",
    "IOBES": "O, B-TYPE, I-TYPE, E-TYPE or S-TYPE",
    "IO": "O or a type",
}
RULES = {
    "IOB1": "IOB1 has B only behind a span of the same type",
    "IOB2": "IOB2 has I only inside a span",
    "IOBES": "IOBES closes every span with E, or S where it is one token",
}

Tagged = Sequence[Any]
"""A list of tags for each row, or None."""


def check(rows: Rows, values: Tagged) -> Iterator[Problem]:
    """Problems of the training part's tags, and of the tokens they belong to."""
    scheme = tagging.scheme_of(v for v in values if v)
    yield from _of_each(rows, values, scheme)
    counts = tagging.counted(values)
    if not counts:
        fix = "name the column of tags with --target, or add rows with spans"
        yield Problem("LABEL_SINGLE", "error", "no row has a span: every tag is O", fix, len(rows))
    yield from _rare(rows, values, counts)


def of_part(train: Rows, part: Rows, values: Tagged) -> Iterator[Problem]:
    """Problems of a given part, whose tags are to be in the training part's scheme and of its types."""
    known = train.targets() or ()
    yield from _of_each(part, values, tagging.scheme_of(v for v in known if v))
    types = set(tagging.counted(known)) | {kind for _, kind in map(tagging.part_of, train.schema.labels) if kind}
    strange = [i for i, v in enumerate(values) if any(kind not in types for _, _, kind in tagging.spans(v or ()))]
    if strange:
        first = next(kind for _, _, kind in tagging.spans(values[strange[0]]) if kind not in types)
        message = f"the type '{short(first)}' is not one of the training part: {quoted(sorted(types), 20)}"
        more = f" (and {rows_of(len(strange) - 1)} more)" if len(strange) > 1 else ""
        fix = "correct the row, or add rows with this type to the training part"
        yield Problem("LABEL_UNKNOWN", "error", message + more, fix, len(strange), places(part, strange))


def _of_each(rows: Rows, values: Tagged, scheme: tagging.Scheme) -> Iterator[Problem]:
    """What is wrong in single rows."""
    tokens = wording.of_rows(rows)
    yield from _lengths(rows, tokens, values)
    yield from _forms(rows, values, scheme)
    yield from _order(rows, tokens, values, scheme)
    yield from _empty(rows, tokens)


def _lengths(rows: Rows, tokens: list[list[str]], values: Tagged) -> Iterator[Problem]:
    wrong = [i for i, (t, v) in enumerate(zip(tokens, values, strict=True)) if v is not None and len(t) != len(v)]
    if wrong:
        i = wrong[0]
        more = f" (and {rows_of(len(wrong) - 1)} more)" if len(wrong) > 1 else ""
        message = f"the row has {_count(tokens[i], 'token')} and {_count(values[i], 'tag')}{more}"
        fix = "give every token one tag, O where it is in no span"
        yield Problem("TAG_LENGTH", "error", message, fix, len(wrong), places(rows, wrong))


def _forms(rows: Rows, values: Tagged, scheme: tagging.Scheme) -> Iterator[Problem]:
    strange = {tag for v in values for tag in set(v or ()) if tagging.malformed(tag, scheme)}
    wrong = [i for i, v in enumerate(values) if not strange.isdisjoint(v or ())]
    if wrong:
        first = next(tag for tag in values[wrong[0]] if tag in strange)
        more = f" (and {rows_of(len(wrong) - 1)} more)" if len(wrong) > 1 else ""
        message = f"the tag '{short(first)}' is not {FORMS[scheme]}, as {scheme} has them{more}"
        fix = "write every tag in one scheme: O, B-TYPE at the beginning of a span and I-TYPE inside"
        yield Problem("TAG_FORM", "error", message, fix, len(wrong), places(rows, wrong))


def _order(rows: Rows, tokens: list[list[str]], values: Tagged, scheme: tagging.Scheme) -> Iterator[Problem]:
    """Tags that a scheme has, at a place where it does not: conlleval says how they are read, so nothing is lost."""
    wrong = _where(values, lambda v: _out_of_order(v, scheme))
    if wrong:
        i = wrong[0]
        at = next(tagging.misplaced(values[i], scheme))
        before = f"behind '{short(values[i][at - 1])}'" if at else "at the beginning"
        message = f"'{short(values[i][at])}' {before} does not fit {scheme} in {rows_of(len(wrong))}: {RULES[scheme]}"
        fix = "nothing, if a span begins there: it is read as conlleval reads it; else correct the tags"
        yield Problem("TAG_ORDER", "warning", message, fix, len(wrong), places(rows, wrong))


def _out_of_order(tags: Sequence[str], scheme: tagging.Scheme) -> bool:
    """Whether every tag is one of its scheme's, and one stands where it may not."""
    found = next(tagging.misplaced(tags, scheme), None)
    return found is not None and not any(tagging.malformed(tag, scheme) for tag in tags)


def _empty(rows: Rows, tokens: list[list[str]]) -> Iterator[Problem]:
    empty = [i for i, t in enumerate(tokens) if not t]
    if empty:
        message = f"there are no tokens in {rows_of(len(empty))}"
        yield Problem(
            "TOKENS_NONE", "warning", message, "drop these rows; they teach nothing", len(empty), places(rows, empty)
        )
    blank = [i for i, t in enumerate(tokens) if any(not token.strip() for token in t)]
    if blank:
        message = f"a token is empty, or only spaces, in {rows_of(len(blank))}"
        fix = "drop such tokens with their tags; they are read as unknown words"
        yield Problem("TOKEN_BLANK", "warning", message, fix, len(blank), places(rows, blank))


def _rare(rows: Rows, values: Tagged, counts: Counter[str]) -> Iterator[Problem]:
    few = sorted(kind for kind, n in counts.items() if n < FEW)
    if few:
        message = f"there are fewer than {FEW} spans of {quoted(few)}"
        where = _where(values, lambda v: any(kind in few for _, _, kind in tagging.spans(v)))
        fix = "merge, drop or collect more spans of such types"
        yield Problem("LABEL_RARE", "warning", message, fix, len(few), places(rows, where))


def _where(values: Tagged, so: Callable[[Sequence[str]], bool]) -> list[int]:
    return [i for i, v in enumerate(values) if v and so(v)]


def _count(values: Sequence[str], word: str) -> str:
    return f"{len(values)} {word}{'' if len(values) == 1 else 's'}"
