"""Placing labels beside points so that none covers another: greedy, the most important first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_NARROW = frozenset("ijltfr.,:;|'!()[]{} -")
_WIDE = frozenset("mwMW@%")


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    x: float
    y: float
    width: float
    height: float

    def overlap(self, other: Box) -> float:
        """The area that both cover."""
        across = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        down = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return across * down if across > 0 and down > 0 else 0.0

    def within(self, frame: Box) -> bool:
        right, bottom = self.x + self.width, self.y + self.height
        return (
            self.x >= frame.x
            and self.y >= frame.y
            and right <= frame.x + frame.width
            and bottom <= frame.y + frame.height
        )


@dataclass(frozen=True)
class Label:
    """A text that wants to stand near the point (x, y); a `must` is placed even where it covers a line."""

    key: int
    text: str
    x: float
    y: float
    must: bool = False


@dataclass(frozen=True)
class Placed:
    """Where a label came to stand: its box, the side its text hangs on, and whether it is so `far` that it wants a line
    back to its point."""

    label: Label
    box: Box
    far: bool

    @property
    def anchor(self) -> str:
        """start, middle or end: fonts differ in width, so the side that faces the point stays fixed."""
        middle = self.box.x + self.box.width / 2
        if abs(middle - self.label.x) < 1:
            return "middle"
        return "start" if middle > self.label.x else "end"

    @property
    def baseline(self) -> tuple[float, float]:
        """Where the text is anchored."""
        share = {"start": 0.0, "middle": 0.5, "end": 1.0}[self.anchor]
        return self.box.x + share * self.box.width, self.box.y + self.box.height - 4

    @property
    def near(self) -> tuple[float, float]:
        """The end of the line back to the point, on the box's side that faces it."""
        x, y = self.label.x, self.label.y
        if self.box.y <= y <= self.box.y + self.box.height:
            left = self.box.x > x
            return (self.box.x - 2 if left else self.box.x + self.box.width + 2), self.box.y + self.box.height / 2
        return min(max(x, self.box.x), self.box.x + self.box.width), self.box.y + (
            0 if y < self.box.y else self.box.height
        )


def text_width(text: str, size: float = 12.0) -> float:
    """A generous estimate in pixels: fonts differ from machine to machine."""
    ems = sum(
        0.36 if c in _NARROW else 0.95 if c in _WIDE else 0.66 if c.isupper() or ord(c) > 0x2E7F else 0.61 for c in text
    )
    return ems * size


def fitted(text: str, room: float, size: float = 12.0) -> str:
    """`text`, cut with an ellipsis where it is wider than `room` pixels."""
    if text_width(text, size) <= room:
        return text
    kept = text
    while kept and text_width(kept + "…", size) > room:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def place(labels: Sequence[Label], obstacles: Sequence[Box], frame: Box, size: float = 12.0) -> list[Placed]:
    """Each label at its cheapest free place inside `frame`; those that fit nowhere are left out."""
    done: list[Placed] = []
    for label in labels:
        best = min((_try(label, offset, done, obstacles, frame, size) for offset in _OFFSETS), key=lambda t: t[0])
        if best[0] < (math.inf if label.must else 60.0):
            done.append(Placed(label, best[1], best[2]))
    return done


def _try(
    label: Label,
    offset: tuple[float, float, float],
    done: list[Placed],
    obstacles: Sequence[Box],
    frame: Box,
    size: float,
) -> tuple[float, Box, bool]:
    """The cost of one place: infinite on another label or outside, else what it covers and how far it is."""
    across, down, distance = offset
    width, height = text_width(label.text, size), size * 1.25
    x = label.x + across * distance - (width if across < -0.2 else width / 2 if across < 0.2 else 0)
    y = label.y + down * distance - height / 2
    box = Box(x, y, width, height)
    roomy = Box(x - 2, y, width + 4, height)
    if not box.within(frame) or any(roomy.overlap(p.box) > 0 for p in done):
        return math.inf, box, False
    covered = sum(roomy.overlap(o) for o in obstacles)
    return covered + (distance - 11) * 0.45 + (0 if across > 0.2 else 5), box, distance > 20


def _angles() -> list[tuple[float, float]]:
    return [
        (math.cos(math.radians(a)), math.sin(math.radians(a))) for a in (0, -35, 35, 180, -145, 145, -90, 90, -60, 60)
    ]


_OFFSETS = [(cx, cy, d) for d in (11.0, 16.0, 26.0, 40.0, 58.0, 80.0, 106.0, 136.0) for cx, cy in _angles()]


def spaced(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions as near as can be to `wanted` (ascending), at least `gap` apart, inside [low, high]."""
    placed: list[float] = []
    for at in wanted:
        placed.append(max(at, placed[-1] + gap) if placed else max(at, low))
    floor = high
    for k in range(len(placed) - 1, -1, -1):
        placed[k] = min(placed[k], floor)
        floor = placed[k] - gap
    return placed
