"""How many rows each class has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from sartor.report import svg
from sartor.report.figures.frame import Frame, is_narrow, x_axis, y_axis
from sartor.report.labels import fitted, text_width
from sartor.report.plain import shown
from sartor.report.quantities import finite
from sartor.report.scales import Scale

LISTED = 25
"""Classes up to which each has its own named bar."""
DRAWN = 200
"""Classes up to which each has a bar at all."""

Classes = list[tuple[str, float]]


def classes_of(found: Sequence[Mapping[str, Any]] | None) -> Classes:
    """(label, rows), the largest first."""
    pairs = [(shown(c.get("label"), 80), finite(c.get("rows")) or 0.0) for c in found or []]
    return sorted(pairs, key=lambda pair: -pair[1])


def balance(classes: Classes, width: float, counted: str = "rows") -> Markup | None:
    """Named bars for few classes, a skyline for many; None without classes. `counted`: what a class has so many of."""
    if not classes:
        return None
    total = sum(rows for _, rows in classes) or 1.0
    ends = f"largest {classes[0][0]} ({classes[0][1]:,.0f}), smallest {classes[-1][0]} ({classes[-1][1]:,.0f})"
    told = f"{len(classes)} classes, {total:,.0f} {counted}; {ends}."
    size, drawn = _bars(classes, total, width) if len(classes) <= LISTED else _skyline(classes, width)
    return svg.drawing(size, f"{counted.capitalize()} in each class", told, *drawn)


def _bars(classes: Classes, total: float, width: float) -> tuple[tuple[float, float], list[Markup]]:
    left = min(max(text_width(label) for label, _ in classes) + 14, width * 0.36)
    scale = Scale(0, max(rows for _, rows in classes) or 1.0, left, width - 118)
    drawn = []
    for k, (label, rows) in enumerate(classes):
        y = 25.0 * k + 4
        drawn.append(svg.text(left - 10, y + 13, fitted(label, left - 12), "row-name", "end"))
        drawn.append(svg.rectangle(left, y + 2, scale(rows) - left, 15, "bar", 2.0))
        drawn.append(svg.text(scale(rows) + 8, y + 13, f"{rows:,.0f} · {rows / total:.1%}", "row-value"))
    return (width, 25.0 * len(classes) + 6), drawn


def _skyline(classes: Classes, width: float) -> tuple[tuple[float, float], list[Markup]]:
    frame = Frame(46, 30, width - 10, 220 if is_narrow(width) else 230)
    y = Scale(0, classes[0][1] * 1.04 or 1.0, frame.bottom, frame.top)
    x = Scale(0, len(classes), frame.left, frame.right)
    if len(classes) > DRAWN:
        return (width, frame.bottom + 46), [*_skyline_axes(frame, x, y), _outline(classes, frame, x, y)]
    step = (frame.right - frame.left) / len(classes)
    bars = [
        _column(x(k), y(rows), step, frame.bottom, f"{label}: {rows:,.0f} rows")
        for k, (label, rows) in enumerate(classes)
    ]
    ends = [
        svg.text(x(1.5), frame.top + 4, fitted(f"largest: {classes[0][0]}", width * 0.6), "note"),
        svg.text(frame.right, y(classes[-1][1]) - 8, fitted(f"smallest: {classes[-1][0]}", width * 0.6), "note", "end"),
    ]
    return (width, frame.bottom + 46), [*_skyline_axes(frame, x, y), *bars, *ends]


def _skyline_axes(frame: Frame, x: Scale, y: Scale) -> list[Markup]:
    return [y_axis(frame, y, "Rows in the class"), x_axis(frame, x, "Classes, largest first")]


def _outline(classes: Classes, frame: Frame, x: Scale, y: Scale) -> Markup:
    """Hundreds of classes as one shape, seen at 400 places."""
    places = sorted({round(k * (len(classes) - 1) / 400) for k in range(401)})
    top = [(x(k), y(classes[k][1])) for k in places]
    return svg.path([(frame.left, frame.bottom), *top, (frame.right, frame.bottom)], "bar", close=True)


def _column(x: float, top: float, step: float, bottom: float, told: str) -> Markup:
    bar = svg.rectangle(x + step * 0.12, top, step * 0.76, bottom - top, "bar")
    return svg.group({}, svg.element("title", {}, told), bar)
