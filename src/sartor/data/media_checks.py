"""What is wrong with the images and sounds of a table: what cannot be read, sizes that differ by much, silence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from sartor.data import box_checks, pictures, sounds
from sartor.data.media import Media, shown
from sartor.data.pictures import Seen
from sartor.data.problem import Problem, places, rows_of
from sartor.data.rows import Kind, Rows
from sartor.data.sounds import Heard
from sartor.errors import BadInput


class Look(Protocol):
    """What a look at one medium found."""

    @property
    def problem(self) -> BadInput | None:
        """What is wrong with it."""


LOOKS: dict[Kind, Callable[[Sequence[Media]], Iterable[Look]]] = {"image": pictures.looks, "audio": sounds.looks}
"""Kind -> what looks at each of its media, to the last byte."""
FAR = 64.0
"""How many times as large as the smallest an image is when somebody should know."""


def check(rows: Rows) -> Iterator[Problem]:
    """One problem for each way in which media cannot be read, with the first rows; rows that were left out; sizes."""
    if rows.left_out:
        shown_first = f"{rows_of(len(rows.left_out))} ({rows.left_out[0]})"
        said = f"rows that cannot be used were left out, as --skip-bad allows: {shown_first}"
        yield Problem("MEDIA_SKIPPED", "warning", said, "nothing, if so many are too few to matter", len(rows.left_out))
    for name, kind in _columns(rows):
        seen = _looked(rows, name, kind)
        yield from _unreadable(rows, seen)
        yield from _sizes(rows, name, seen)
        yield from _silence(rows, name, seen)


def sifted(rows: Rows, most: int) -> Rows:
    """The rows without those whose media cannot be read or whose boxes are wrong, where they are at most `most`;
    otherwise all of them."""
    if not most:
        return rows
    looked = [item for name, kind in _columns(rows) for item in _looked(rows, name, kind).items()]
    bad = box_checks.faults(rows) | {i: s.problem for i, s in looked if s.problem is not None}
    if not bad or len(bad) > most:
        return rows
    said = tuple(f"{rows.place(i)}: {problem.message}" for i, problem in sorted(bad.items()))
    return replace(rows.take([i for i in range(len(rows)) if i not in bad]), left_out=said)


def _columns(rows: Rows) -> list[tuple[str, Kind]]:
    return [(name, rows.schema.kind(name)) for name in rows.schema.inputs if rows.schema.kind(name) in LOOKS]


def _looked(rows: Rows, name: str, kind: Kind) -> dict[int, Look]:
    """Position -> what a look at it found, where the cell is not empty."""
    there = {i: m for i, m in enumerate(rows.column(name)) if m is not None}
    return dict(zip(there, LOOKS[kind](list(there.values())), strict=True))


def _unreadable(rows: Rows, seen: Mapping[int, Look]) -> Iterator[Problem]:
    found: dict[str, list[int]] = defaultdict(list)
    first: dict[str, BadInput] = {}
    for i, s in seen.items():
        if s.problem is not None:
            found[s.problem.code].append(i)
            first.setdefault(s.problem.code, s.problem)
    for code, where in found.items():
        more = f", and so it is in {rows_of(len(where) - 1)} more" if len(where) > 1 else ""
        message, fix = first[code].message + more, f"{first[code].fix}; --skip-bad {len(where)} leaves such rows out"
        yield Problem(code, "error", message, fix, len(where), places(rows, where))


def _silence(rows: Rows, name: str, seen: Mapping[int, Look]) -> Iterator[Problem]:
    silent = [i for i, s in seen.items() if isinstance(s, Heard) and s.silent]
    if silent:
        said = f"nothing is to be heard in '{name}' of {rows_of(len(silent))}: every sample is the same"
        fix = "leave such rows out, unless silence is what they are to say"
        yield Problem("AUD_SILENT", "warning", said, fix, len(silent), places(rows, silent))


def _sizes(rows: Rows, name: str, seen: Mapping[int, Look]) -> Iterator[Problem]:
    sizes = {i: (s.width, s.height) for i, s in seen.items() if isinstance(s, Seen) and s.width}
    if not sizes:
        return
    least, most = (choose(sizes, key=lambda i: sizes[i][0] * sizes[i][1]) for choose in (min, max))
    area = {i: sizes[i][0] * sizes[i][1] for i in (least, most)}
    if area[most] > FAR * area[least]:
        (w, h), (wide, high) = sizes[least], sizes[most]
        values = rows.column(name)
        said = (
            f"the images of '{name}' are from {w} x {h} pixels ('{shown(str(values[least]))}') "
            f"to {wide} x {high} ('{shown(str(values[most]))}')"
        )
        fix = "look at both; all are brought to one size before they are read"
        yield Problem("IMG_SIZES", "warning", said, fix, len(sizes), places(rows, [least, most]))
