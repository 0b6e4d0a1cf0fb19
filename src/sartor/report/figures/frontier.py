"""The frontier: quality, with its uncertainty, over one cost on a logarithmic axis."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from sartor.report import svg
from sartor.report.entries import Entry
from sartor.report.figures.frame import (
    Frame,
    dot,
    entry_group,
    first_words,
    is_narrow,
    placed_name,
    whisker,
    x_axis,
    y_axis,
)
from sartor.report.labels import Box, Label, fitted, place, text_width
from sartor.report.quantities import Quantity, finite, lower_is_better, quantity
from sartor.report.scales import Scale, focus, padded_log

_LIMITS = {"latency_ms_p50": "max_latency_ms", "size_mb": "max_size_mb", "peak_memory_mb": "max_memory_mb"}
_SIZE = 12.0


@dataclass(frozen=True)
class Plot:
    """What the parts of the picture share: who is drawn, where, and over what."""

    shown: tuple[Entry, ...]
    unseen: tuple[Entry, ...]
    metric: Quantity
    cost: Quantity
    frame: Frame
    x: Scale
    y: Scale

    def at(self, e: Entry) -> tuple[float, float]:
        assert e.quality is not None
        return self.x(e.costs[self.cost.key].value), self.y(e.quality.value)

    def below(self, e: Entry) -> bool:
        """Whether it lies so far down that it is drawn as an arrow on the lower edge."""
        assert e.quality is not None
        return not self.y.holds(e.quality.value)


def measured_over(found: Sequence[Entry], cost: str) -> bool:
    """Whether there is anything to draw: two candidates with both quality and this cost."""
    return sum(e.quality is not None and _positive(e, cost) for e in found) >= 2


def frontier(
    found: Sequence[Entry],
    metric: str,
    cost: str,
    limits: Mapping[str, object],
    width: float,
    resolution: float | None = None,
) -> Markup:
    """One picture, `width` pixels wide; `resolution`: the smallest difference that the validation part can resolve."""
    plot = _plot(found, metric, cost, width)
    limit = finite(limits.get(_LIMITS.get(cost, "")))
    title = f"{plot.metric.title} over {plot.cost.within}"
    drawn = (
        _axes(plot),
        _limit(plot, limit),
        _region(plot),
        _scale_bar(plot, resolution),
        _rug(plot),
        *_points(plot),
        *_names(plot),
    )
    size = (width, plot.frame.bottom + 46)
    return svg.drawing(size, title, _told(plot), *drawn)


def _plot(found: Sequence[Entry], metric: str, cost: str, width: float) -> Plot:
    narrow = is_narrow(width)
    frame = Frame(46, 34, width - 14, 340 if narrow else 456)
    shown = tuple(e for e in found if e.quality is not None and _positive(e, cost))
    unseen = tuple(e for e in found if e.quality is None and _positive(e, cost))
    y = _quality_scale(shown, metric, frame)
    inside = [e for e in shown if e.quality and y.holds(e.quality.value)]
    reach = [v for e in (*inside, *unseen) for v in _ends(e, cost) if v > 0]
    x = Scale(*padded_log(reach), frame.left + 14, frame.right - 14, log=True)
    return Plot(shown, unseen, quantity(metric), quantity(cost), frame, x, y)


def _positive(e: Entry, cost: str) -> bool:
    return cost in e.costs and e.costs[cost].value > 0


def _ends(e: Entry, cost: str) -> list[float]:
    made = e.costs[cost]
    return [v for v in (made.value, made.low, made.high) if v is not None]


def _quality_scale(shown: Sequence[Entry], metric: str, frame: Frame) -> Scale:
    """Better is up, whatever the metric; the few far worse ones do not squash the rest."""
    values = [e.quality.value for e in shown if e.quality]
    low, high = focus(values)
    low, high = (min(values), high) if lower_is_better(metric) else (low, max(values))
    kept = [e.quality for e in shown if e.quality and low <= e.quality.value <= high]
    low = min([low, *(q.low for q in kept if q.low is not None)])
    high = max([high, *(q.high for q in kept if q.high is not None)])
    room = (high - low) * 0.07 or abs(high) * 0.05 or 0.05
    ends = (high + room, low - room) if lower_is_better(metric) else (low - room, high + room)
    return Scale(*ends, frame.bottom - 22, frame.top + 8)


def _axes(plot: Plot) -> Markup:
    unit = "%" if plot.metric.unit == "%" else ""
    lower = lower_is_better(plot.metric.key)
    told = f"↑ {plot.metric.title}, validation part" + (" (axis reversed: up is better)" if lower else "")
    across = f"{plot.cost.title}, {plot.cost.unit}" + ("" if plot.frame.narrow else ", log scale") + " →"
    return svg.group(
        {},
        y_axis(plot.frame, plot.y, told, plot.metric.scale, unit),
        x_axis(plot.frame, plot.x, across, plot.cost.scale),
    )


def _staircase(plot: Plot) -> list[tuple[float, float]]:
    """The frontier's members that are best on this axis, cheap to dear, as the corners of a staircase in pixels."""
    members = [e for e in plot.shown if e.frontier]
    members.sort(key=lambda e: (plot.x(e.costs[plot.cost.key].value), plot.at(e)[1]))
    corners: list[tuple[float, float]] = []
    for e in members:
        x, y = plot.at(e)
        if not corners:
            corners = [(x, plot.frame.bottom), (x, y)]
        elif y < corners[-1][1] - 0.01:
            corners += [(x, corners[-1][1]), (x, y)]
    return [*corners, (plot.frame.right, corners[-1][1])] if corners else []


def _region(plot: Plot) -> Markup:
    corners = _staircase(plot)
    if not corners:
        return Markup("")
    filled = svg.path([*corners, (plot.frame.right, plot.frame.bottom)], "dominated", close=True)
    return svg.group({}, filled, svg.path(corners, "stairs"))


def _limit(plot: Plot, limit: float | None) -> Markup:
    if limit is None or not plot.x.holds(limit):
        return Markup("")
    at, frame = plot.x(limit), plot.frame
    shade = svg.rectangle(at, frame.top, frame.right - at, frame.bottom - frame.top, "forbidden")
    said = f"limit {limit:g} {plot.cost.unit}"
    fits = at + text_width(said, 11) + 10 < frame.right
    label = svg.text(at + 6 if fits else at - 6, frame.top + 12, said, "note", "start" if fits else "end")
    return svg.group({}, shade, svg.line(at, frame.top, at, frame.bottom, "limit"), label)


def _scale_bar(plot: Plot, resolution: float | None) -> Markup:
    """Like the scale of a map: the smallest difference that these rows can tell from chance."""
    if not resolution or plot.frame.narrow:
        return Markup("")
    height = resolution / abs(plot.y.stop - plot.y.start) * abs(plot.y.last - plot.y.first)
    if not 6 < height < 200:
        return Markup("")
    x, top = plot.frame.left + 12, plot.frame.top + 10
    unit = " points" if plot.metric.unit == "%" else ""
    bar = [(x - 4, top), (x + 4, top), (x, top), (x, top + height), (x - 4, top + height), (x + 4, top + height)]
    said = svg.text(x + 10, top + height / 2 + 4, f"{resolution * plot.metric.scale:.2g}{unit} can be resolved", "note")
    return svg.group({}, svg.path(bar, "ruler"), said)


def _rug(plot: Plot) -> Markup:
    """Candidates whose cost is known and whose quality is not: crosses on the axis."""
    made = [
        entry_group(e, "rug", svg.marker("cross", plot.x(e.costs[plot.cost.key].value), plot.frame.bottom - 8, 4))
        for e in plot.unseen
    ]
    return svg.group({}, *made)


def _points(plot: Plot) -> list[Markup]:
    """The least important first, so that the pick lies on top."""
    return [_point(plot, e) for e in sorted(plot.shown, key=lambda e: (e.pick, e.frontier, e.tied, e.finished))]


def _point(plot: Plot, e: Entry) -> Markup:
    x, y = plot.at(e)
    if plot.below(e):
        return entry_group(e, "point", svg.marker("down", x, plot.frame.bottom - 9, 5.5))
    quality, cost = e.quality, e.costs[plot.cost.key]
    drawn = []
    if quality and quality.low is not None and quality.high is not None:
        drawn.append(whisker(x, plot.y(quality.low), x, plot.y(quality.high)))
    if cost.low is not None and cost.high is not None:
        drawn.append(whisker(plot.x(cost.low), y, plot.x(cost.high), y))
    weight = " strong" if e.frontier or e.tied or e.pick else ""
    return entry_group(e, f"point{weight}", *drawn, dot(e, x, y, 6 if e.pick else 5))


def _names(plot: Plot) -> list[Markup]:
    frame = plot.frame
    inside = Box(frame.left + 2, frame.top - 2, frame.right - frame.left - 2, frame.bottom - frame.top + 2)
    wanted = sorted(
        (*plot.shown, *plot.unseen),
        key=lambda e: (not e.pick, not e.frontier, not e.tied, not e.baseline, not e.finished),
    )
    limit = 7 if frame.narrow else 22
    wanted = [e for e in wanted if not frame.narrow or e.pick or e.frontier][:limit]
    labels = [_label(plot, e) for e in wanted]
    by_index = {e.index: e for e in wanted}
    return [placed_name(by_index[p.label.key], p) for p in place(labels, _obstacles(plot), inside, _SIZE)]


def _label(plot: Plot, e: Entry) -> Label:
    room = 190.0 if plot.frame.narrow else 260.0
    if e.quality is None:
        return Label(
            e.index,
            fitted(f"{e.short} ({e.status})", room),
            plot.x(e.costs[plot.cost.key].value),
            plot.frame.bottom - 8,
        )
    x, y = plot.at(e)
    if plot.below(e):
        aside = "" if plot.x.holds(e.costs[plot.cost.key].value) else f", {plot.cost.say(e.costs[plot.cost.key])}"
        said = f"↓ {fitted(e.short, room - 90)} {plot.metric.say(e.quality)}{aside}"
        return Label(e.index, said, x, plot.frame.bottom - 9, must=e.frontier)
    return Label(e.index, fitted(e.short, room), x, y, must=e.pick)


def _obstacles(plot: Plot) -> list[Box]:
    """Markers weigh by their area; whiskers and the staircase are thin boxes."""
    made = [Box(plot.x(e.costs[plot.cost.key].value) - 6, plot.frame.bottom - 16, 12, 14) for e in plot.unseen]
    for e in plot.shown:
        x, y = plot.at(e)
        y = plot.frame.bottom - 9 if plot.below(e) else y
        made += [Box(x - 8, y - 8, 16, 16)] * 2
        if e.quality and e.quality.low is not None and e.quality.high is not None:
            top, bottom = sorted((plot.y(e.quality.low), plot.y(e.quality.high)))
            made.append(Box(x - 1, top, 2, bottom - top))
    for (x1, y1), (x2, y2) in itertools.pairwise(_staircase(plot)):
        made.append(Box(min(x1, x2) - 1, min(y1, y2) - 1, abs(x2 - x1) + 2, abs(y2 - y1) + 2))
    return made


def _told(plot: Plot) -> str:
    members = [e for e in plot.shown if e.frontier]
    told = f"{len(plot.shown)} candidates as points, higher is better and further left is cheaper."
    return f"{told} On the frontier: {first_words(members) or 'none'}."
