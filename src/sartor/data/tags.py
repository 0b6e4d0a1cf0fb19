"""Tags of tokens and the spans they mark, in every scheme that is in use.

    IOB1    I-X inside, B-X only where a span follows another of its type at once (Ramshaw and Marcus 1995)
    IOB2    B-X at the beginning of every span, I-X after it
    IOBES   besides E-X at the end and S-X for a span of one token; also written BILOU (L, U) and BMES (M)
    IO      the bare type

Spans are read from any of them by the rules of conlleval (Tjong Kim Sang and De Meulder 2003, CoNLL-2003), which also
say what a tag means that does not fit its scheme. A span is (first token, token behind its last, type).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

OUTSIDE = "O"
Span = tuple[int, int, str]
Scheme = Literal["IOB1", "IOB2", "IOBES", "IO"]
Part = tuple[str, str]
"""A tag in two: its letter of B, I, E, S, O, and its type; empty for O."""

TAG = re.compile(r"([BIESMLU])[-_](.+)", re.DOTALL)
LETTERS = {"M": "I", "L": "E", "U": "S"}
"""Other names: in the middle, last, unit."""


def part_of(tag: str) -> Part:
    """A bare type is inside."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    found = TAG.fullmatch(tag)
    if found is None:
        return "I", tag
    return LETTERS.get(found[1], found[1]), found[2]


def spans(tags: Sequence[str]) -> list[Span]:
    """The spans that the tags of one row mark, in order."""
    found: list[Span] = []
    before: Part = (OUTSIDE, "")
    start = 0
    for i, tag in enumerate([*tags, OUTSIDE]):
        now = part_of(tag)
        if before[0] != OUTSIDE and _ends(before, now):
            found.append((start, i, before[1]))
        if now[0] != OUTSIDE and _begins(before, now):
            start = i
        before = now
    return found


def _begins(before: Part, now: Part) -> bool:
    return now[0] in "BS" or before[0] in "OES" or before[1] != now[1]


def _ends(before: Part, now: Part) -> bool:
    return before[0] in "ES" or now[0] in "OBS" or before[1] != now[1]


def iob2(marked: Iterable[Span], length: int) -> list[str]:
    """The tags of `length` tokens with these spans, which do not overlap."""
    tags = [OUTSIDE] * length
    for start, end, kind in marked:
        tags[start:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - start - 1)]
    return tags


def scheme_of(rows: Iterable[Sequence[str]]) -> Scheme:
    """The scheme that the tags of these rows are written in; of IOB1 and IOB2 the one that fewer spans contradict."""
    opened, bare, letters, prefixed = 0, 0, set[str](), False
    for tags in rows:
        before: Part = (OUTSIDE, "")
        for tag in tags:
            now = part_of(tag)
            prefixed = prefixed or TAG.fullmatch(tag) is not None
            letters.add(now[0])
            if before[1] != now[1] and now[0] in "BI":  # IOB1 would begin such a span with I, IOB2 with B
                opened, bare = opened + (now[0] == "B"), bare + (now[0] == "I")
            before = now
    if letters & {"E", "S"}:
        return "IOBES"
    if not prefixed and bare:
        return "IO"
    return "IOB1" if bare > opened else "IOB2"


def malformed(tag: str, scheme: Scheme) -> bool:
    """Whether a tag is none of its scheme's at all."""
    if tag == OUTSIDE:
        return False
    found = TAG.fullmatch(tag)
    if scheme == "IO":
        return not tag.strip()
    return found is None or LETTERS.get(found[1], found[1]) not in ("BIES" if scheme == "IOBES" else "BI")


def misplaced(tags: Sequence[str], scheme: Scheme) -> Iterator[int]:
    """Where a tag stands that its scheme does not allow there; `spans` reads it all the same."""
    if scheme == "IO":
        return
    before: Part = (OUTSIDE, "")
    for i, tag in enumerate([*tags, OUTSIDE]):
        now = part_of(tag)
        if not _follows(before, now, scheme):
            yield min(i, len(tags) - 1)
        before = now


def _follows(before: Part, now: Part, scheme: Scheme) -> bool:
    inside = before[1] == now[1] and before[0] in "BI"
    if scheme == "IOB1":
        return now[0] != "B" or before[1] == now[1]
    if scheme == "IOB2":
        return now[0] != "I" or inside
    return (now[0] in "IE") == (before[0] in "BI") and (now[0] not in "IE" or inside)


def counted(rows: Iterable[Sequence[str] | None]) -> Counter[str]:
    """Type -> how many spans the rows have of it."""
    return Counter(kind for tags in rows for _, _, kind in spans(tags or ()))
