"""A problem in the data: what, how serious, how often, where first, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sartor.data.rows import Rows
from sartor.errors import one_line

Severity = Literal["error", "warning"]
SHOWN = 5


@dataclass(frozen=True)
class Problem:
    """One finding; `places` are the first five as "file:line"."""

    code: str
    severity: Severity
    message: str
    fix: str
    count: int
    places: tuple[str, ...] = ()

    def sentence(self) -> str:
        """The problem as an error reads."""
        where = f"{self.places[0]}: " if self.places else ""
        return one_line(f"{self.severity}[{self.code}]: {where}{self.message}. Fix: {self.fix}.")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def places(rows: Rows, where: Sequence[int]) -> tuple[str, ...]:
    """`file:line` of the first five of the positions."""
    return tuple(rows.place(i) for i in where[:SHOWN])


def quoted(names: Sequence[object], most: int = 5) -> str:
    """The first names as people read a list, cut where long."""
    shown = ", ".join(f"'{short(str(n))}'" for n in names[:most])
    return shown + (f" and {len(names) - most:,} more" if len(names) > most else "")


def short(text: str, most: int = 40) -> str:
    text = one_line(text)
    return text if len(text) <= most else text[: most - 1] + "…"


def rows_of(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
