"""What a column seems to hold, by looking at its cells, and the evidence for it in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sartor.data.boxes import recognised
from sartor.data.media import Media, payload
from sartor.data.rows import Column, Kind
from sartor.data.sounds import Recorded
from sartor.data.values import INTEGER, PADDED, TRUTH, in_figures, is_missing
from sartor.errors import BadInput

TEXTS = re.compile(
    r"(?:text|sentence|premise|hypothesis|review|tweet|utterance|document|docstring)(?:_?(?:[12ab]|pair))?"
)
"""Names that promise a text, however few distinct ones there are."""
OFTEN_TEXTS = re.compile(
    r"question[12]?|answer|comment|content|body|title|message|query|passage|context|description|summary|abstract|headline"
)
ID_NAME = re.compile(r"(?:^|[\s_\-.])(?:id|ids|uuid|guid|idx|index|key)$|^unnamed: 0$", re.IGNORECASE)
CAMEL_ID = re.compile(r"[a-z](?:Id|ID)$")
UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}|[0-9a-f]{32,64}", re.IGNORECASE)
DATE = re.compile(
    r"\d{4}-\d\d?-\d\d?(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?|\d{1,2}[/.]\d{1,2}[/.]\d{4}",
    re.ASCII,
)
IMAGES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff")
SOUNDS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a")
SAMPLE = 2000
MANY_NUMBERS = 50
"""More distinct whole numbers than this are a quantity, not classes."""
MOSTLY = 0.95

Guess = tuple[Kind, str]


@dataclass(frozen=True)
class Cells:
    """What the rules look at: the cells that are there, their distinct values, and an even sample."""

    name: str
    present: list[Any]
    distinct: set[Any]
    sample: list[Any]

    @property
    def all_distinct(self) -> bool:
        return len(self.present) > 1 and len(self.distinct) == len(self.present)


def look(name: str, values: Sequence[Any]) -> Column:
    """The column with its kind, the evidence, and how many cells are missing and distinct."""
    present = [v for v in values if v is not None and v != ""]
    if not present:
        return Column(name, "category", "every cell is empty", missing=len(values))
    hashable = present[0].__hash__ is not None
    cells = Cells(name, present, set(present) if hashable else set(), present[:: max(1, len(present) // SAMPLE)])
    kind, why = _guess(cells)
    missing = len(values) - len(present)
    if kind == "number" and isinstance(present[0], str):
        missing += sum(map(is_missing, (v for v in present if in_figures(v) is None)))
    distinct = len(cells.distinct) if hashable else len({repr(v) for v in present})
    return Column(name, kind, why, missing, distinct)


def _guess(cells: Cells) -> Guess:
    value = cells.present[0]
    if isinstance(value, bool):
        return "boolean", "true or false"
    if isinstance(value, int | float):
        return _of_numbers(cells, {float(v) for v in cells.distinct})
    if isinstance(value, str):
        return _of_texts(cells)
    if any(isinstance(v, list | tuple | dict) and recognised(v) for v in cells.sample):
        return "boxes", "labelled boxes"
    if isinstance(value, list | tuple):
        return "labels", "lists of labels"
    if isinstance(value, Media):
        return ("audio", "samples") if isinstance(value.source, Recorded) else ("image", "arrays of pixels")
    if isinstance(value, bytes | dict):
        return _of_bytes(cells)
    return "date", "dates"


def _of_numbers(cells: Cells, distinct: set[float]) -> Guess:
    whole = all(v.is_integer() for v in distinct)
    if whole and cells.all_distinct and is_id_name(cells.name):
        return "id", "a different whole number in every row, and its name says id"
    if whole and cells.all_distinct and len(distinct) >= 20 and max(distinct) - min(distinct) < 1.5 * len(distinct):
        return "id", "counts the rows"
    return "number", f"{'whole numbers' if whole else 'numbers'}, {len(distinct):,} distinct"


def _of_bytes(cells: Cells) -> Guess:
    first = cells.present[0]
    content = payload(first)
    path = str(first.get("path") or "") if isinstance(first, dict) else ""
    known = {
        b"\xff\xd8": "image",
        b"\x89PNG": "image",
        b"GIF8": "image",
        b"BM": "image",
        b"II*\0": "image",
        b"MM\0*": "image",
        b"RIFF": "audio",
        b"fLaC": "audio",
        b"OggS": "audio",
        b"ID3": "audio",
        b"\xff\xfb": "audio",
    }
    if content:
        kind = next((k for magic, k in known.items() if content.startswith(magic)), None)
        kind = "image" if content[8:12] == b"WEBP" else kind
    else:
        kind = "image" if path.lower().endswith(IMAGES) else "audio" if path.lower().endswith(SOUNDS) else None
    if kind is None:
        fix = f"write texts or numbers, or leave it out with --ignore {cells.name}"
        raise BadInput("PQ_PICKLE", f"column '{cells.name}' holds bytes that are neither an image nor a sound", fix=fix)
    return ("image" if kind == "image" else "audio"), f"{kind} bytes"


def _of_texts(cells: Cells) -> Guess:
    rules: tuple[Callable[[Cells], Guess | None], ...] = (_numeric, _boolean, _date, _path, _identifier)
    return next((found for rule in rules if (found := rule(cells))), None) or _words(cells)


def _numeric(cells: Cells) -> Guess | None:
    if sum(in_figures(v) is not None or is_missing(v) for v in cells.sample) < MOSTLY * len(cells.sample):
        return None
    read = {v: in_figures(v) for v in cells.distinct}
    numbers = [v for v in read.values() if v is not None]
    odd = [v for v, found in read.items() if found is None and not is_missing(v)]
    if not numbers or any(map(PADDED.fullmatch, numbers)):
        return None
    if odd and (len(numbers) <= MANY_NUMBERS or len(odd) > (1 - MOSTLY) * len(cells.distinct)):
        return None
    if all(len(v.strip()) > 18 and v.strip().isdigit() for v in numbers):
        return "id", "whole numbers too long for a quantity"
    kind, why = _of_numbers(cells, {float(v) for v in numbers})
    marked = next((v for v in sorted(cells.distinct) if v.strip() and read[v] not in (None, v)), None)
    why += f"; {marked!r} is read as {read[marked]}" if marked is not None else ""
    gone = sorted({v for v in cells.distinct if is_missing(v)})[:3]
    return kind, why + (f"; {', '.join(map(repr, gone))} counts as missing" if gone else "")


def _boolean(cells: Cells) -> Guess | None:
    if len(cells.distinct) <= 6 and {v.strip().casefold() for v in cells.distinct} <= set(TRUTH):
        return "boolean", "true or false"
    return None


def _date(cells: Cells) -> Guess | None:
    return ("date", "every sampled cell is a date") if all(map(DATE.fullmatch, cells.sample)) else None


def _path(cells: Cells) -> Guess | None:
    lower = [v.lower() for v in cells.sample]
    if all(v.endswith(IMAGES) for v in lower):
        return "image", "names of image files"
    return ("audio", "names of sound files") if all(v.endswith(SOUNDS) for v in lower) else None


def _identifier(cells: Cells) -> Guess | None:
    if not cells.all_distinct or any(" " in v.strip() for v in cells.sample):
        return None
    if all(map(UUID.fullmatch, cells.sample)):
        return "id", "a different code in every row"
    if is_id_name(cells.name):
        return "id", "different in every row, and its name says id"
    coded = len(cells.present) >= 20 and all(v.isascii() and any(c.isdigit() for c in v) for v in cells.sample)
    return ("id", "a different code in every row") if coded else None


def _words(cells: Cells) -> Guess:
    count = len(cells.sample)
    words = sum(len(v.split()) for v in cells.sample) / count
    length = sum(map(len, cells.sample)) / count
    distinct, share = len(cells.distinct), len(cells.distinct) / len(cells.present)
    said = f"{distinct:,} distinct, {words:.1f} words on average"
    name = cells.name.strip().casefold()
    few = distinct <= 20 and share < 0.05
    promised = bool(TEXTS.fullmatch(name))
    named = promised or (bool(OFTEN_TEXTS.fullmatch(name)) and not few)
    long = (words >= 4 and (distinct > 50 or share > 0.5)) or ((words >= 2 or length >= 12) and share > 0.5)
    if named or (long and not few):
        return "text", f"{said}{', and its name says text' if named else ''}"
    return "category", said


def is_id_name(name: str) -> bool:
    return bool(ID_NAME.search(name.strip()) or CAMEL_ID.search(name.strip()))


def is_quantity(values: Sequence[Any]) -> bool | None:
    """Whether numbers are a quantity (fractions, or more than 50 distinct) or classes; None: no numbers."""
    distinct = {v for v in values if v is not None and not (isinstance(v, str) and is_missing(v))}
    if not distinct or any(isinstance(v, bool) or not isinstance(v, int | float | str) for v in distinct):
        return None
    texts = [v for v in distinct if isinstance(v, str)]
    figures = [in_figures(t) for t in texts]
    if None in figures:
        return None
    numbers = [
        *(v for v in distinct if not isinstance(v, str)),
        *(f for f in figures if f and not INTEGER.fullmatch(f)),
    ]
    fractions = any(not float(v).is_integer() for v in numbers)
    return fractions or len(distinct) > MANY_NUMBERS
