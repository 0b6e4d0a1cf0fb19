"""One self-contained page for the result of `sartor position`: opens from disk, no network, only its own script."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sartor.report import sections, svg, table
from sartor.report.entries import Entry, Result, best_first, common_backbone, entries, families, headline
from sartor.report.figures import balance, confusion, forest, frontier, race
from sartor.report.figures.frame import NARROW, WIDE, dot
from sartor.report.json_report import finite_only
from sartor.report.plain import shown
from sartor.report.quantities import AXES, finite, quantity

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

Values = dict[str, Any]


def html(result: Mapping[str, Any]) -> str:
    """The whole page. User text is escaped, invisible characters are marked, cells are cut at 200 characters."""
    found = entries(result)
    script = resource("page.js")
    page = templates().get_template("verdict.html")
    written = page.render(
        styles=resource("figure.css") + resource("page.css"),
        script=script,
        policy=policy(script),
        hints=embedded(sections.hints(found, headline(result))),
        **_context(result, found),
    )
    return written


def _context(result: Result, found: Sequence[Entry]) -> Values:
    name = headline(result)
    return {
        "title": f"Sartor · {shown((result.get('data') or {}).get('source') or 'report', 80)}",
        "facts": sections.facts(result, found),
        "verdict": sections.verdict(result, found),
        "metric": quantity(name),
        "found": found,
        "shared": common_backbone([e.name for e in found]),
        "families": families(found),
        "frontier": frontier_views(result, found),
        "frontier_table": _frontier_table(result, found),
        "columns": table.columns(found, name),
        "rows": table.rows(found, name),
        "race": _race_views(result, found),
        "rungs": sections.rungs(result),
        "forest": _forest_view(result, found),
        "confusion": _confusion_view(result),
        "wrong": sections.wrong(result),
        "by_label": sections.by_label(result),
        "data": sections.data(result),
        "counted": (result.get("data") or {}).get("counted") or "rows",
        "balance": _balance_view(result),
        "stages": sections.stages(result),
        "measured": sections.measured(result),
        "environment": sections.environment(result),
        "command": shown(result.get("command") or "", 2000),
    }


def frontier_views(result: Result, found: Sequence[Entry], widths: Sequence[float] = (WIDE, NARROW)) -> list[Values]:
    """One picture for every cost that was measured, each in its widths, and the rows of the table beneath."""
    limits, resolution = result.get("limits") or {}, finite((result.get("data") or {}).get("resolution"))
    made = []
    for cost in (c for c in AXES if frontier.measured_over(found, c)):
        pictures = [frontier.frontier(found, headline(result), cost, limits, width, resolution) for width in widths]
        made.append({"key": cost.replace("_", "-"), "quantity": quantity(cost), "cost": cost, "pictures": pictures})
    return made


def _frontier_table(result: Result, found: Sequence[Entry]) -> Values:
    """The figures' numbers: every candidate with its quality and each cost."""
    metric, costs = quantity(headline(result)), [quantity(c) for c in AXES]
    rows = [
        (e.name, e.role, metric.full(e.quality), *(q.full(e.costs.get(q.key)) for q in costs))
        for e in best_first(found, metric.key)
    ]
    return {"headings": ["Candidate", "Role", metric.title, *(q.title for q in costs)], "rows": rows}


def _race_views(result: Result, found: Sequence[Entry]) -> list[Values]:
    steps = (result.get("race") or {}).get("rungs") or []
    made = []
    for over, name in (("step", "steps"), ("seconds", "seconds")):
        pictures = [race.race(found, over, steps, width) for width in (WIDE, NARROW)]
        if all(pictures):
            made.append({"key": over, "name": name, "pictures": pictures, "looks": _looks(found)})
    return made


def _looks(found: Sequence[Entry]) -> Values:
    """The curves as a table: first, lowest and last look of each candidate."""
    loss = race.looked_at(found) or ""
    rows = []
    for e in found:
        points = [(finite(p.get("step")), finite(p.get(loss))) for p in e.curve]
        seen = [(step, value) for step, value in points if value is not None]
        if seen:
            numbers = [f"{value:.3f}" for value in (seen[0][1], min(v for _, v in seen), seen[-1][1])]
            rows.append((e.name, len(seen), f"{seen[-1][0] or 0:,.0f}", *numbers, e.status, e.reason))
    return {"loss": quantity(loss).title, "rows": rows}


def _forest_view(result: Result, found: Sequence[Entry]) -> Values | None:
    name, resolution = headline(result), finite((result.get("data") or {}).get("resolution"))
    pictures = [forest.forest(found, name, resolution, width) for width in (WIDE, NARROW)]
    if not all(pictures):
        return None
    rows = [
        (r.entry.name, forest.points(r, quantity(name)), _probability(r.p), r.verdict) for r in forest.rows(found, name)
    ]
    best = next((e.name for e in best_first(found, name) if e.against.get("verdict") == "best" or not e.against), "")
    return {"pictures": pictures, "rows": rows, "best": best}


def _probability(p: float | None) -> str:
    return "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _confusion_view(result: Result) -> Values | None:
    whole = confusion.confusion_of((result.get("pick") or {}).get("confusion"))
    if whole is None:
        return None
    small = len(whole.labels) <= confusion.WHOLE
    drawn = whole if small else whole.block()
    pictures = [confusion.heat_map(drawn, width) for width in (WIDE, NARROW)] if drawn.labels else []
    right = sum(whole.counts[k][k] for k in range(len(whole.labels)))
    return {
        "pictures": pictures,
        "pairs": confusion.pair_rows(whole, 10 if len(whole.labels) <= 12 else 25),
        "classes": len(whole.labels),
        "block": None if small else len(drawn.labels),
        "right": f"{right:,}",
        "rows": f"{sum(whole.sizes):,}",
    }


def _balance_view(result: Result) -> Values | None:
    classes = balance.classes_of((result.get("data") or {}).get("classes"))
    counted = str((result.get("data") or {}).get("counted") or "rows")
    pictures = [balance.balance(classes, width, counted) for width in (WIDE, NARROW)]
    rows = [(label, f"{rows:,.0f}") for label, rows in classes]
    left = len(rows) - balance.DRAWN
    listed = [*rows[: balance.DRAWN], (f"and {left:,} more", "")] if left > 0 else rows
    return {"pictures": pictures, "rows": listed} if all(pictures) else None


def policy(script: str) -> str:
    """The page's content security policy: nothing is loaded, and only this script runs."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'; media-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def embedded(value: object) -> Markup:
    """JSON that cannot close its script element, whatever it says."""
    from markupsafe import Markup

    text = json.dumps(finite_only(value), ensure_ascii=True, separators=(",", ":"))
    for c in "<>&":
        text = text.replace(c, f"\\u{ord(c):04x}")
    return Markup(text)


def templates() -> Environment:
    """Jinja2 over the package's templates; everything is escaped unless it is Markup made by `svg`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("sartor.report", "templates")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.globals |= {"mark": _glyph, "shape": _shape}
    return made


def _glyph(e: Entry) -> Markup:
    return dot(e, 10, 10, 5)


def _shape(name: str) -> Markup:
    """A marker for the legend."""
    if name == "tied":
        return svg.group({}, svg.marker("circle", 10, 10, 4.5), svg.marker("ring", 10, 10, 8, "halo"))
    return svg.marker(name, 10, 10, 5)


def resource(name: str) -> Markup:
    """The text of a file that travels with the templates: our own styles and script."""
    from importlib.resources import files

    from markupsafe import Markup

    return Markup(files("sartor.report").joinpath("templates", name).read_text(encoding="utf-8"))
