"""The race: held-out loss of every candidate that trained, over steps or seconds; the dropped fade at their cross."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from sartor.report import svg
from sartor.report.entries import Entry
from sartor.report.figures.frame import Frame, entry_group, first_words, is_narrow, named, placed_name, x_axis, y_axis
from sartor.report.labels import Box, Label, fitted, place, spaced, text_width
from sartor.report.quantities import finite, lower_is_better, quantity
from sartor.report.scales import Scale

Points = list[tuple[float, float]]
_NOT_LOSS = {"step", "seconds", "rung", "epoch"}


@dataclass(frozen=True)
class Race:
    """Who ran, what was looked at, and where it is drawn."""

    runners: tuple[tuple[Entry, Points], ...]
    loss: str
    over: str
    frame: Frame
    x: Scale
    y: Scale

    def pixels(self, points: Points) -> Points:
        return [(self.x(at), self.y(value)) for at, value in points]


def looked_at(found: Sequence[Entry]) -> str | None:
    """The loss that the curves hold: log-loss where there is one, else the first other number; None without curves."""
    keys = [key for e in found for point in e.curve for key in point if key not in _NOT_LOSS]
    return "log_loss" if "log_loss" in keys else keys[0] if keys else None


def race(found: Sequence[Entry], over: str, rungs: Sequence[Mapping[str, Any]], width: float) -> Markup | None:
    """One picture over `over` ("step" or "seconds"); None where no candidate was looked at twice."""
    loss = looked_at(found)
    runners = tuple((e, points) for e in found if loss and len(points := _points(e, over, loss)) > 1)
    if loss is None or not runners:
        return None
    made = _layout(runners, loss, over, width)
    metric = quantity(loss)
    title = f"Held-out {metric.within} during the race"
    told = f"{len(runners)} candidates as lines; {_better(loss)} is better. Still running at the end: {_alive(made)}."
    drawn = (_axes(made), _rungs(made, rungs), _floor(made, found), *_lines(made), *_names(made))
    return svg.drawing((width, made.frame.bottom + 46), title, told, *drawn)


def _better(metric: str) -> str:
    return "lower" if lower_is_better(metric) else "higher"


def _alive(made: Race) -> str:
    return first_words([e for e, _ in made.runners if e.finished]) or "none"


def _points(e: Entry, over: str, loss: str) -> Points:
    pairs = [(finite(p.get(over)), finite(p.get(loss))) for p in e.curve]
    return [(x, y) for x, y in pairs if x is not None and y is not None]


def _layout(runners: tuple[tuple[Entry, Points], ...], loss: str, over: str, width: float) -> Race:
    narrow = is_narrow(width)
    frame = Frame(46, 34, width - 14, 320 if narrow else 400)
    ends = [x for _, points in runners for x, _ in points]
    values = [y for _, points in runners for _, y in points]
    by_ratio = min(values) > 0 and max(values) / min(values) > 3
    low, high = min(values), max(values)
    y = (
        Scale(low / 1.12, high * 1.06, frame.bottom, frame.top + 4, log=True)
        if by_ratio
        else Scale(low - (high - low) * 0.08, high + (high - low) * 0.05, frame.bottom, frame.top + 4)
    )
    room = 132.0 if narrow else max(text_width(fitted(e.short, 200)) for e, _ in runners) * 1.1 + 18
    return Race(runners, loss, over, frame, Scale(0, max(ends), frame.left, frame.right - room), y)


def _axes(made: Race) -> Markup:
    scale = ", log scale" if made.y.log and not made.frame.narrow else ""
    arrow = "↓" if lower_is_better(made.loss) else "↑"
    told = f"{arrow} Held-out {quantity(made.loss).within} ({_better(made.loss)} is better{scale})"
    across = "Training steps →" if made.over == "step" else "Training time, s →"
    return svg.group({}, y_axis(made.frame, made.y, told), x_axis(made.frame, made.x, across))


def _rungs(made: Race, rungs: Sequence[Mapping[str, Any]]) -> Markup:
    """Hairlines where candidates were compared and dropped; only over steps, which all share."""
    if made.over != "step":
        return Markup("")
    drawn = []
    for rung in rungs:
        at = finite(rung.get("steps"))
        if at is not None and made.x.holds(at):
            drawn.append(svg.line(made.x(at), made.frame.top, made.x(at), made.frame.bottom, "rung"))
            drawn.append(svg.text(made.x(at) - 5, made.frame.top + 11, f"rung {rung.get('rung', '')}", "note", "end"))
    return svg.group({}, *drawn)


def _floor(made: Race, found: Sequence[Entry]) -> Markup:
    """The best baseline's as a dashed line: what the race has to beat."""
    floor = [(e.metrics[made.loss].value, e) for e in found if e.baseline and made.loss in e.metrics]
    best = min if lower_is_better(made.loss) else max
    value, e = best(floor, default=(None, None), key=lambda pair: pair[0])
    if value is None or e is None or not made.y.holds(value):
        return Markup("")
    y = made.y(value)
    label = svg.text(made.frame.left + 6, y - 5, f"baseline {e.short}", "note")
    return entry_group(e, "floor", svg.line(made.frame.left, y, made.frame.right, y, "floor-line"), label)


def _lines(made: Race) -> list[Markup]:
    ordered = sorted(made.runners, key=lambda pair: (pair[0].pick, pair[0].tied, pair[0].finished))
    return [_line(made, e, made.pixels(points)) for e, points in ordered]


def _line(made: Race, e: Entry, points: Points) -> Markup:
    x, y = points[-1]
    end = svg.marker("star", x, y, 4.5) if e.pick else svg.marker("circle" if e.finished else "cross", x, y, 3.4)
    return entry_group(
        e, "runner strong" if e.pick else "runner", svg.path(points, "hit"), svg.path(points, "curve"), end
    )


def _names(made: Race) -> list[Markup]:
    """Who finished is named in a column at the right, the others beside their cross."""
    finished = [(e, made.pixels(points)[-1]) for e, points in made.runners if e.finished]
    others = [(e, made.pixels(points)[-1]) for e, points in made.runners if not e.finished]
    if made.frame.narrow:
        return _column([pair for pair in finished if pair[0].pick or pair[0].tied], made)
    labels = [Label(e.index, fitted(_said(e), 250), *end) for e, end in others[:12]]
    entries = {e.index: e for e, _ in others}
    inside = Box(made.frame.left, made.frame.top, made.x.last - made.frame.left - 8, made.frame.bottom - made.frame.top)
    beside = [placed_name(entries[p.label.key], p) for p in place(labels, _obstacles(made), inside)]
    return [*_column(finished[:24], made), *beside]


def _column(finished: list[tuple[Entry, tuple[float, float]]], made: Race) -> list[Markup]:
    ordered = sorted(finished, key=lambda pair: pair[1][1])
    heights = spaced([end[1] for _, end in ordered], 15, made.frame.top + 8, made.frame.bottom - 4)
    x, drawn = made.x.last + 18, []
    for (e, end), y in zip(ordered, heights, strict=True):
        line = svg.path([(end[0] + 6, end[1]), (max(end[0] + 6, x - 12), end[1]), (x - 4, y)], "leader")
        name = fitted(e.short, made.frame.right - x)
        drawn.append(named(e, line, svg.text(x, y + 4, name, "pick-name" if e.pick else "")))
    return drawn


def _said(e: Entry) -> str:
    return e.short if e.finished else f"{e.short} ✕ {e.status}"


def _obstacles(made: Race) -> list[Box]:
    """Short stretches of every curve as small boxes."""
    boxes = []
    for _, points in made.runners:
        pixels = made.pixels(points)
        for (x1, y1), (x2, y2) in itertools.pairwise(pixels):
            pieces = max(1, round(abs(x2 - x1) / 14))
            boxes += [
                Box(x1 + (x2 - x1) * k / pieces - 1, y1 + (y2 - y1) * k / pieces - 2, 14, 4) for k in range(pieces)
            ]
        boxes.append(Box(pixels[-1][0] - 5, pixels[-1][1] - 5, 10, 10))
    return boxes
