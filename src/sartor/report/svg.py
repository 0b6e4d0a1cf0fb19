"""SVG elements made by hand. Every string is escaped here; colours are classes, so one page serves light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from markupsafe import Markup, escape

from sartor.report.plain import shown

Attributes = Mapping[str, object]


def element(name: str, attributes: Attributes, *children: str) -> Markup:
    """`<name ...>children</name>`; floats are rounded to a tenth, strings that are not Markup are escaped."""
    written = "".join(f' {key}="{escape(_attribute(value))}"' for key, value in attributes.items() if value is not None)
    inside = Markup("").join(children)
    return Markup(f"<{name}{written}>{inside}</{name}>") if children else Markup(f"<{name}{written}/>")


def _attribute(value: object) -> str:
    return pixel(value) if isinstance(value, float) else str(value)


def pixel(value: float) -> str:
    """To a tenth, in as few letters as it takes."""
    rounded = f"{value:.1f}".removesuffix(".0")
    return "0" if rounded == "-0" else rounded


def text(x: float, y: float, content: object, classes: str = "", anchor: str = "start", turn: float = 0.0) -> Markup:
    """One line of text; `anchor` start, middle or end; `turn` in degrees about (x, y)."""
    rotated = f"rotate({turn:g} {pixel(x)} {pixel(y)})" if turn else None
    placed = {"x": x, "y": y, "class": classes or None, "text-anchor": None if anchor == "start" else anchor}
    return element("text", {**placed, "transform": rotated}, shown(content))


def line(x1: float, y1: float, x2: float, y2: float, classes: str) -> Markup:
    return element("path", {"class": classes, "d": f"M{pixel(x1)} {pixel(y1)}L{pixel(x2)} {pixel(y2)}"})


def path(points: Iterable[tuple[float, float]], classes: str, close: bool = False) -> Markup:
    """Straight lines through `points`."""
    drawn = "L".join(f"{pixel(x)} {pixel(y)}" for x, y in points)
    return element("path", {"class": classes, "d": f"M{drawn}{'Z' if close else ''}"})


def rectangle(x: float, y: float, width: float, height: float, classes: str, radius: float = 0.0) -> Markup:
    sizes = {"x": x, "y": y, "width": max(width, 0.0), "height": max(height, 0.0), "rx": radius or None}
    return element("rect", {**sizes, "class": classes})


def group(attributes: Attributes, *children: str) -> Markup:
    return element("g", attributes, *children)


def drawing(size: tuple[float, float], title: str, description: str, *children: str) -> Markup:
    """The whole picture, `size` in pixels, with its title and description for those who do not see it."""
    attributes = {"viewBox": f"0 0 {size[0]:.0f} {size[1]:.0f}", "role": "group"}
    return element("svg", attributes, element("title", {}, title), element("desc", {}, description), *children)


def marker(kind: str, x: float, y: float, radius: float, classes: str = "mark") -> Markup:
    """A point: "star" (the pick), "square" (a baseline), "cross" (unmeasured or dropped), "down", "ring", "circle"."""
    if kind == "star":
        return path(_star(x, y, radius * 1.75), f"{classes} star", close=True)
    if kind == "square":
        return rectangle(x - radius * 0.9, y - radius * 0.9, radius * 1.8, radius * 1.8, classes, 1.0)
    if kind == "cross":
        arms = f"M{pixel(x - radius)} {pixel(y - radius)}l{pixel(2 * radius)} {pixel(2 * radius)}"
        arms += f"m0 {pixel(-2 * radius)}l{pixel(-2 * radius)} {pixel(2 * radius)}"
        return element("path", {"class": f"{classes} cross", "d": arms})
    if kind == "down":
        return path([(x - radius, y - radius), (x + radius, y - radius), (x, y + radius)], classes, close=True)
    return element("circle", {"cx": x, "cy": y, "r": radius, "class": f"{classes} ring" if kind == "ring" else classes})


def _star(x: float, y: float, radius: float) -> list[tuple[float, float]]:
    turns = [(math.pi * k / 5 - math.pi / 2, radius if k % 2 == 0 else radius * 0.47) for k in range(10)]
    return [(x + r * math.cos(a), y + r * math.sin(a)) for a, r in turns]
