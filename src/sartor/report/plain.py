"""The user's text made safe to look at: control and direction marks become visible, long cells are cut."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable

CUT = 200
"""Characters of a cell; the full text is in the JSON only."""

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_BLANK = "\u115f\u1160\u3164\uffa0\u2800"
_LOOKS_LIKE = str.maketrans(
    "аеорсухіјѕһԁԛԝАВЕКМНОРСТУХІЈЅαοριντυΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "aeopcyxijshdqwABEKMHOPCTYXIJSaopivtuABEZHIKMNOPTYX"
)


def shown(value: object, limit: int = CUT) -> str:
    """`value` as one line, every invisible character as a mark, cut at `limit` characters with the number left out."""
    text = "" if value is None else str(value)
    left = len(text) - limit
    marked = "".join(_mark(c) for c in text[:limit])
    return f"{marked}… (+{left:,})" if left > 0 else marked


def _mark(c: str) -> str:
    code = ord(c)
    if code < 0x20 or code == 0x7F:
        return chr(0x2421 if code == 0x7F else 0x2400 + code)
    if unicodedata.category(c) in _HIDDEN or c in _BLANK:
        return f"⟨U+{code:04X}⟩"
    return " " if unicodedata.category(c) == "Zs" else c


def alike(labels: Iterable[object]) -> list[tuple[str, ...]]:
    """Groups of different labels that a reader would take for one another (case, spaces, look-alike letters, marks)."""
    groups: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        groups[_skeleton(str(label)[:CUT])].append(str(label))
    return [tuple(group) for group in groups.values() if len(set(group)) > 1]


def _skeleton(text: str) -> str:
    seen = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) not in _HIDDEN)
    return " ".join(seen.translate(_LOOKS_LIKE).casefold().split())
