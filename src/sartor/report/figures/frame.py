"""What every figure shares: the plot's frame, axes with ticks, and the mark of one candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from sartor.report import svg
from sartor.report.entries import Entry
from sartor.report.labels import Placed
from sartor.report.scales import Scale, tick_text

WIDE, NARROW = 1040.0, 380.0
"""Pixels; the page shows the narrow form on small screens, so that letters keep their size."""


@dataclass(frozen=True)
class Frame:
    """The plot inside a drawing: its edges in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def narrow(self) -> bool:
        return self.right < WIDE / 2


def is_narrow(width: float) -> bool:
    return width < WIDE / 2


def x_axis(frame: Frame, scale: Scale, title: str, factor: float = 1.0, unit: str = "") -> Markup:
    """Ticks along the bottom with their numbers, and the axis' name at the right end below."""
    ticks = scale.ticks(4 if frame.narrow else 8)
    drawn = [svg.line(scale(t), frame.bottom, scale(t), frame.bottom + 4, "axis") for t in ticks]
    drawn += [
        svg.text(scale(t), frame.bottom + 18, tick_text(t, ticks, factor) + unit, "tick", "middle") for t in ticks
    ]
    line = svg.line(frame.left, frame.bottom, frame.right, frame.bottom, "axis")
    return svg.group({}, line, *drawn, svg.text(frame.right, frame.bottom + 38, title, "axis-name", "end"))


def y_axis(frame: Frame, scale: Scale, title: str, factor: float = 1.0, unit: str = "") -> Markup:
    """Hairlines across with their numbers at the left, and the axis' name above."""
    ticks = scale.ticks(6)
    drawn = [svg.line(frame.left, scale(t), frame.right, scale(t), "grid") for t in ticks]
    drawn += [svg.text(frame.left - 8, scale(t) + 4, tick_text(t, ticks, factor) + unit, "tick", "end") for t in ticks]
    return svg.group({}, *drawn, svg.text(0, 14, title, "axis-name"))


def entry_group(entry: Entry, classes: str, *children: str) -> Markup:
    """Everything that stands for one candidate: it lights up together with its marks elsewhere, and takes the focus."""
    faded = "" if entry.finished else " out"
    attributes = {"class": f"c k{entry.hue} {classes}{faded}", "data-c": entry.index, "tabindex": 0, "role": "img"}
    return svg.group(attributes, svg.element("title", {}, spoken(entry)), *children)


def spoken(entry: Entry) -> str:
    """One candidate in words, for a screen reader."""
    role = f" ({entry.role})" if entry.role else ""
    return f"{entry.name}{role}: {entry.status}"


def dot(entry: Entry, x: float, y: float, radius: float) -> Markup:
    """The candidate's marker, with a ring around what is tied with the best."""
    if entry.pick or entry.baseline or not entry.tied:
        return svg.marker(entry.shape, x, y, radius)
    return svg.group({}, svg.marker("circle", x, y, radius), svg.marker("ring", x, y, radius + 3.6, "halo"))


def placed_name(e: Entry, p: Placed) -> Markup:
    """A candidate's name where it found room, with a thin line to its point where that is far."""
    x, y = p.baseline
    drawn = [svg.line(p.label.x, p.label.y, *p.near, "leader")] if p.far else []
    drawn.append(svg.text(x, y, p.label.text, "pick-name" if e.pick else "", p.anchor))
    return named(e, *drawn)


def named(e: Entry, *drawn: str) -> Markup:
    """A name lights up with its candidate; its mark already speaks for it."""
    faded = "" if e.finished else " out"
    return svg.group({"class": f"name k{e.hue}{faded}", "data-c": e.index, "aria-hidden": "true"}, *drawn)


def whisker(x1: float, y1: float, x2: float, y2: float) -> Markup:
    return svg.line(x1, y1, x2, y2, "whisker")


def first_words(found: Sequence[Entry], limit: int = 6) -> str:
    """Names in a row, for descriptions."""
    names = [e.name for e in found[:limit]]
    more = f" and {len(found) - limit} more" if len(found) > limit else ""
    return ", ".join(names) + more
