"""Text -> a value, whatever its origin: a flag, a variable or a file. Errors name the place the text came from."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sartor import part as parts
from sartor.errors import BadInput, did_you_mean

SECOND, MONTH = 1.0, 30 * 86400.0


@dataclass(frozen=True)
class Given:
    """A value and where it came from: a flag, a variable or `file:line`. `family` is CLI or CFG, for error codes."""

    value: Any
    where: str
    family: str = "CLI"

    def bad(self, kind: str, message: str, fix: str) -> BadInput:
        return BadInput(f"{self.family}_{kind}", message, fix=fix, where=self.where)


Read = Callable[[str, Given], Any]


def seconds(text: str, given: Given) -> float:
    """`90s`, `10m`, `1.5h` or `2d` -> seconds, between 1s and 30d."""
    found = re.fullmatch(r"([-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)(s|m|h|d)", text)
    if not found:
        if re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", text):
            raise given.bad("DURATION", f"'{text}' has no unit", f"write {text}s, {text}m or {text}h")
        raise given.bad("DURATION", f"'{text}' is not a duration", "write a number and a unit, such as 90s, 10m or 1h")
    value = float(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]
    if not SECOND <= value <= MONTH:
        raise given.bad("RANGE", f"'{text}' is out of range", "give between 1s and 30d")
    return value


def whole(text: str, given: Given) -> int:
    """A whole number of at least 0."""
    if not re.fullmatch(r"[-+]?[0-9]{1,18}", text):
        raise given.bad("TYPE", f"'{text}' is not a whole number", "write it in digits, such as 3")
    if int(text) < 0:
        raise given.bad("RANGE", f"'{text}' is negative", "give at least 0")
    return int(text)


def positive(text: str, given: Given) -> float:
    """A finite number above 0."""
    if re.fullmatch(r"[-+]?[0-9]+,[0-9]+", text):
        raise given.bad("TYPE", f"'{text}' is not a number", f"use a point: {text.replace(',', '.')}")
    try:
        value = float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        value = None
    if value is None:
        raise given.bad("TYPE", f"'{text}' is not a number", "write a number such as 0.5 or 20")
    if not (math.isfinite(value) and value > 0):
        raise given.bad("RANGE", f"'{text}' is out of range", "give a finite number above 0")
    return value


def words(text: str, given: Given) -> str:
    """A name that is not empty and has no control characters."""
    if not text.strip():
        raise given.bad("VALUE_EMPTY", "the value is empty", "give a name or leave it out")
    if not text.isprintable():
        raise given.bad("VALUE_BAD", f"{text!r} holds control characters", "give a plain name")
    return text


def path(text: str, given: Given) -> str:
    """A path, or a name such as `example:docstrings`."""
    if not text.strip():
        raise given.bad("PATH_EMPTY", "the path is empty", "give a file or folder")
    if not text.isprintable():
        raise given.bad("PATH_BAD", f"the path {text!r} holds control characters", "rename the file")
    return text


def one_of(*allowed: str) -> Read:
    """Reads one of a few words."""

    def read(text: str, given: Given) -> str:
        if text not in allowed:
            raise given.bad("CHOICE", f"'{text}' is not one of: {', '.join(allowed)}", did_you_mean(text, allowed))
        return text

    return read


def spelled(shelf: str) -> Read:
    """Reads `name:key=value,...` by making the part once: a wrong name or setting is found before work begins."""

    def read(text: str, given: Given) -> str:
        try:
            parts.part(shelf, words(text, given))
        except BadInput as error:
            raise BadInput(error.code, error.message, fix=error.fix, where=given.where) from None
        return text

    return read


def column_kind(text: str, given: Given) -> tuple[str, str]:
    """`COLUMN=KIND`."""
    from sartor.data.rows import KINDS

    column, equals, kind = text.rpartition("=")
    if not equals or not column:
        raise given.bad(
            "TYPE", f"'{text}' is not COLUMN=KIND", f"write for example age=number; kinds: {', '.join(KINDS)}"
        )
    if kind not in KINDS:
        raise given.bad("CHOICE", f"no kind of column is called '{kind}'", did_you_mean(kind, KINDS))
    return words(column, given), kind
