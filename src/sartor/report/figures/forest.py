"""The forest: each candidate's paired difference against the best, its interval, and what is too close to resolve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from sartor.report import svg
from sartor.report.entries import Entry
from sartor.report.figures.frame import Frame, dot, entry_group, is_narrow, whisker, x_axis
from sartor.report.labels import fitted
from sartor.report.quantities import Quantity, Spread, finite, lower_is_better, quantity, signed, spread
from sartor.report.scales import Scale, focus


@dataclass(frozen=True)
class Row:
    """One candidate's difference against the best, in the metric's own unit."""

    entry: Entry
    difference: Spread
    verdict: str
    p: float | None


def rows(found: Sequence[Entry], metric: str) -> list[Row]:
    """Best first; candidates that were not compared are left out."""
    made = []
    for e in found:
        difference = spread(e.against.get("difference"), (e.against.get("low"), e.against.get("high")))
        if difference is not None:
            made.append(Row(e, difference, str(e.against.get("verdict") or ""), finite(e.against.get("p"))))
    sign = 1 if lower_is_better(metric) else -1
    return sorted(made, key=lambda r: sign * r.difference.value)


def points(row: Row, metric: Quantity) -> str:
    """`−1.2 [−2.4, −0.1]`, in points where the metric is a percentage."""
    d, places, scale = row.difference, metric.places(row.difference), metric.scale
    said = signed(d.value * scale, places)
    if d.low is None or d.high is None:
        return said
    return f"{said} [{signed(d.low * scale, places)}, {signed(d.high * scale, places)}]"


def forest(found: Sequence[Entry], name: str, resolution: float | None, width: float) -> Markup | None:
    """The picture, `width` pixels wide; None where nothing was compared."""
    metric, compared = quantity(name), rows(found, name)
    if not compared:
        return None
    pitch, narrow = (44.0 if is_narrow(width) else 27.0), is_narrow(width)
    frame = (
        Frame(20, 30, width - 20, 40 + pitch * len(compared))
        if narrow
        else Frame(230, 30, width - 250, 40 + pitch * len(compared))
    )
    scale = _scale(compared, frame, resolution)
    drawn = [_zone(frame, scale, resolution, metric), x_axis(frame, scale, _axis_name(metric, narrow), metric.scale)]
    drawn += [
        _row(row, frame, scale, metric, 40 + pitch * (k + (0.75 if narrow else 0.5))) for k, row in enumerate(compared)
    ]
    title = f"Paired differences in {metric.title} against the best"
    told = "; ".join(f"{r.entry.name}: {points(r, metric)}, {r.verdict}" for r in compared[:12])
    return svg.drawing((width, frame.bottom + 46), title, told, *drawn)


def _axis_name(metric: Quantity, narrow: bool) -> str:
    unit = "points" if metric.unit == "%" else "difference"
    better = "← better" if lower_is_better(metric.key) else "better →"
    return (
        f"{metric.title}, {unit} ({better})"
        if narrow
        else f"Difference in {metric.title}, {unit} on the same rows ({better})"
    )


def _scale(compared: Sequence[Row], frame: Frame, resolution: float | None) -> Scale:
    low, high = focus([0.0, *(r.difference.value for r in compared)])
    kept = [r.difference for r in compared if low <= r.difference.value <= high]
    low = min([0.0, low, -(resolution or 0.0), *(d.low for d in kept if d.low is not None)])
    high = max([0.0, high, resolution or 0.0, *(d.high for d in kept if d.high is not None)])
    room = (high - low) * 0.05 or 0.01
    return Scale(low - room, high + room, frame.left, frame.right)


def _zone(frame: Frame, scale: Scale, resolution: float | None, metric: Quantity) -> Markup:
    zero = svg.line(scale(0), frame.top, scale(0), frame.bottom, "zero")
    if not resolution:
        return svg.group({}, zero)
    left, right = scale(-resolution), scale(resolution)
    band = svg.rectangle(left, frame.top, right - left, frame.bottom - frame.top, "zone")
    unit = " points" if metric.unit == "%" else ""
    said = f"too close to resolve: ±{resolution * metric.scale:.2g}{unit}"
    anchor, at = ("end", right) if frame.narrow or right > frame.right - 60 else ("middle", (left + right) / 2)
    return svg.group({}, band, zero, svg.text(at, frame.top - 8, said, "note", anchor))


def _row(row: Row, frame: Frame, scale: Scale, metric: Quantity, y: float) -> Markup:
    e, d = row.entry, row.difference
    drawn = [svg.line(frame.left, y, frame.right, y, "grid")]
    if not scale.holds(d.value):
        edge, way = (frame.left, 1) if d.value < scale.start else (frame.right, -1)
        arrow = [(edge + 10 * way, y - 5), (edge + 10 * way, y + 5), (edge, y)]
        drawn.append(svg.path(arrow, "mark", close=True))
    else:
        drawn += [] if d.low is None or d.high is None else [whisker(scale(d.low), y, scale(d.high), y)]
        drawn.append(dot(e, scale(d.value), y, 5))
    strong = " strong" if row.verdict in ("tied", "best") else ""
    return entry_group(e, f"point row{strong}", *drawn, *_words(row, frame, metric, y))


def _words(row: Row, frame: Frame, metric: Quantity, y: float) -> list[Markup]:
    said, verdict = points(row, metric), row.verdict
    if frame.narrow:
        name = svg.text(0, y - 14, fitted(row.entry.short, 150), "row-name")
        return [name, svg.text(frame.right + 20, y - 14, f"{said} {verdict}", "row-value", "end")]
    name = svg.text(0, y + 4, fitted(row.entry.short, frame.left - 16), "row-name")
    return [
        name,
        svg.text(frame.right + 18, y + 4, said, "row-value"),
        svg.text(frame.right + 250, y + 4, verdict, "row-word", "end"),
    ]
