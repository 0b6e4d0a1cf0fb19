"""Rows of texts that are to be said: which columns they are, and what may be wrong with them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sartor.data import checks
from sartor.data.chat import ANSWERS
from sartor.data.hints import Hints
from sartor.data.problem import Problem, Severity, places, rows_of
from sartor.data.prose import PIECE, TEXT
from sartor.data.rows import Rows
from sartor.errors import BadInput

PAIRS = (
    ("source", "target"), ("src", "tgt"), ("src", "trg"), ("source_text", "target_text"), ("document", "summary"),
    ("article", "highlights"), ("article", "summary"), ("prompt", "completion"), ("instruction", "output"),
)  # fmt: skip
LANGUAGES = frozenset((
    "af", "ar", "az", "be", "bg", "bn", "bs", "ca", "cs", "cy", "da", "de", "el", "en", "eo", "es", "et", "eu",
    "fa", "fi", "fr", "ga", "gl", "gu", "he", "hi", "hr", "hu", "hy", "id", "is", "it", "ja", "ka", "kk", "km",
    "kn", "ko", "ky", "la", "lo", "lt", "lv", "mk", "ml", "mn", "mr", "ms", "mt", "my", "nb", "ne", "nl", "nn",
    "no", "pa", "pl", "ps", "pt", "ro", "ru", "si", "sk", "sl", "sq", "sr", "sv", "sw", "ta", "te", "th", "tl",
    "tr", "uk", "ur", "uz", "vi", "xh", "yi", "zh", "zu",
))  # fmt: skip
"""Codes of ISO 639-1 by which columns are called."""
MESSAGES = "messages"
UNEVEN = 4.0
"""A text this many times as long as its like, and as short, is probably another's."""


def pair(columns: Collection[str], hints: Hints) -> tuple[str | None, str | None]:
    """The columns of sources and of targets; None for one that nothing says. Raises `BadInput` where several may be."""
    kept = {c.strip().casefold(): c for c in columns if c not in hints.ignore}
    named = next(((kept[a], kept[b]) for a, b in PAIRS if a in kept and b in kept), None)
    source = hints.text[0] if len(hints.text) == 1 else None
    if named is not None and hints.target in (None, named[1]) and source in (None, named[0]):
        return named
    codes = [column for code, column in kept.items() if code in LANGUAGES]
    target = hints.target
    if source is not None and target is not None:
        return source, target
    if target not in codes or len(hints.text) > 1:
        return source, target
    others = [c for c in codes if c != target]
    if len(others) > 1:
        said = f"several columns could be what '{target}' is translated from: {', '.join(others)}"
        raise BadInput("PAIR_COLUMN", said, fix=f"pass --text NAME, such as --text {others[0]}")
    return (others[0] if others else None), target


def speaks(columns: Collection[str], hints: Hints) -> bool:
    """Whether columns of these names alone say that one text is to be made of another."""
    source, target = pair(columns, hints)
    if source is None or target is None:
        return False
    words = {source.strip().casefold(), target.strip().casefold()}
    return words <= LANGUAGES or any(set(known) == words for known in PAIRS)


def problems(rows: Rows, others: Mapping[str, Rows]) -> tuple[Problem, ...]:
    """What every table of texts may have, and texts without a counterpart, errors first."""
    found = list(checks.check(rows.untargeted(), {name: part.untargeted() for name, part in others.items()}))
    found += [p for name, part in {"training": rows, **others}.items() for p in _unsaid(part, name)]
    return tuple(sorted(found, key=lambda p: p.severity != "error"))


def _unsaid(rows: Rows, name: str) -> Iterator[Problem]:
    values, target = rows.targets(), rows.schema.target
    if values is None or target is None:
        return
    (source,) = rows.schema.reading("text")
    empty = _blank(values)
    alone = [i for i in empty if not _is_blank(rows.columns[source][i])]
    if len(empty) == len(values):
        said = f"'{target}' is empty in every row of the {name} part"
        yield Problem("TARGET_BLANK", "error", said, "name another column with --target", len(empty))
    elif alone:
        said = f"{rows_of(len(alone))} of the {name} part have a source and no '{target}'"
        fix = "fill them in or drop these rows: a network would learn to say nothing"
        yield Problem("TARGET_EMPTY", "error", said, fix, len(alone), places(rows, alone))
    uneven = [i for i, (a, b) in enumerate(zip(rows.columns[source], values, strict=True)) if _uneven(a, b)]
    if uneven:
        said = f"source and target are of very different length in {rows_of(len(uneven))} of the {name} part"
        fix = "see whether lines were shifted; a text beside another's translation teaches nothing"
        yield Problem("PAIR_UNEVEN", "warning", said, fix, len(uneven), places(rows, uneven))
    same = [i for i, (a, b) in enumerate(zip(rows.columns[source], values, strict=True)) if a and a == b]
    if len(same) > 0.1 * len(values):
        said = f"the target is the source itself in {rows_of(len(same))} of the {name} part"
        yield Problem(
            "PAIR_SAME", "warning", said, "drop rows that were never translated", len(same), places(rows, same)
        )


def _blank(values: Sequence[Any]) -> list[int]:
    return [i for i, value in enumerate(values) if _is_blank(value)]


def _is_blank(value: Any) -> bool:
    return value is None or not str(value).strip()


def _uneven(one: Any, other: Any) -> bool:
    a, b = len(str(one or "")), len(str(other or ""))
    return min(a, b) > 0 and max(a, b) > 40 and max(a, b) > UNEVEN * min(a, b)


def aimed(columns: Collection[str], hints: Hints) -> Hints:
    """Hints for rows that are themselves what is to be said: conversations, or texts."""
    named = hints.target or (hints.text[0] if hints.text else None)
    column = named or next((name for name in (MESSAGES, "conversations", TEXT) if name in columns), None)
    if column is None:
        fix = f"name it with --text; the columns are: {', '.join(columns)}"
        raise BadInput("TEXT_COLUMN", f"no column is called {MESSAGES} or {TEXT}", fix=fix)
    kind = "messages" if column in (MESSAGES, "conversations") else "text"
    kinds = {column: kind, **hints.kinds}
    time = hints.time or (PIECE if PIECE in columns else None)
    kinds |= {PIECE: "number"} if time == PIECE and PIECE not in hints.kinds else {}
    return replace(hints, target=None, text=(column,), kinds=kinds, time=time, itself=True)


def alone(rows: Rows, others: Mapping[str, Rows]) -> tuple[Problem, ...]:
    """What every table of texts may have, and conversations without an answer, errors first."""
    found = list(checks.check(rows.untargeted(), {name: part.untargeted() for name, part in others.items()}))
    found += [p for name, part in {"training": rows, **others}.items() for p in _unanswered(part, name)]
    return tuple(sorted(found, key=lambda p: p.severity != "error"))


def _unanswered(rows: Rows, name: str) -> Iterator[Problem]:
    for column in rows.schema.reading("messages"):
        values = rows.columns[column]
        none = [i for i, v in enumerate(values) if not any(m["role"] == ANSWERS for m in v or ())]
        if none:
            said = f"{rows_of(len(none))} of the {name} part have no message of the role '{ANSWERS}'"
            fix = f"call the role of answers '{ANSWERS}', or drop these rows: nothing is learned from them"
            severity: Severity = "error" if len(none) == len(values) else "warning"
            yield Problem("MESSAGES_UNANSWERED", severity, said, fix, len(none), places(rows, none))
