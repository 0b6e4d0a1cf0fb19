"""Results as plain text, at most 100 columns; colour only where it is asked for, and never the only sign."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sartor.report.entries import Entry, Result, best_first, entries, headline
from sartor.report.plain import shown
from sartor.report.quantities import COSTS, count, finite, quantity, seconds, signed, spread

WIDTH = 100
_BOLD, _FAINT, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"


def table(result: Result, color: bool = False) -> str:
    """The candidates, the verdict, the test score and where the bundle is."""
    found = entries(result)
    parts = [_candidates(found, headline(result), color), _unfinished(found), _verdict(result), _warnings(result)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _candidates(found: Sequence[Entry], name: str, color: bool) -> str:
    metric = quantity(name)
    places = metric.column_places(e.quality for e in found)
    heads = ["", "candidate", metric.within]
    heads += ["p50 ms", "size MB", "train s", "status"]
    ordered = best_first(found, name)
    rows = [_row(e, name, places) for e in ordered]
    widths = [max(len(row[k]) for row in [heads, *rows]) for k in range(len(heads))]
    widths[1] = min(widths[1], 34)
    widths[-1] = min(widths[-1], WIDTH - sum(widths[:-1]) - 2 * (len(widths) - 1))
    lines = [_line(heads, widths)] + [_line(row, widths) for row in rows]
    styles = [_BOLD, *(_BOLD if e.pick else "" if e.finished else _FAINT for e in ordered)]
    return "\n".join(_styled(line, style, color) for line, style in zip(lines, styles, strict=True))


def _row(e: Entry, name: str, places: int | None) -> list[str]:
    metric = quantity(name)
    quality = "-" if e.quality is None else f"{metric.say(e.quality, places)} {metric.interval(e.quality, places)}"
    costs = [
        quantity(key).digits(e.costs[key]) if key in e.costs else "-"
        for key in ("latency_ms_p50", "size_mb", "train_seconds")
    ]
    sign = "★" if e.pick else "●" if e.frontier else "≈" if e.tied else " "
    roles = [word for word, so in (("pick", e.pick), ("frontier", e.frontier), ("tied", e.tied)) if so]
    status = ", ".join(roles[:2]) or ("baseline" if e.baseline else e.status)
    status = status if e.finished else e.status
    return [sign, e.name, quality.rstrip(), *costs, status]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Texts to the left, numbers to the right, each cut at its column's width."""
    right = {3, 4, 5}
    cut = [_cut(cell, width) for cell, width in zip(cells, widths, strict=True)]
    return "  ".join(
        c.rjust(w) if k in right else c.ljust(w) for k, (c, w) in enumerate(zip(cut, widths, strict=True))
    ).rstrip()


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _styled(line: str, style: str, color: bool) -> str:
    return f"{style}{line}{_PLAIN}" if color and style else line


def _unfinished(found: Sequence[Entry], limit: int = 8) -> str:
    """Why candidates did not come to the end."""
    told = [f"{e.status}: {e.name}: {e.reason}" for e in found if not e.finished and e.reason]
    more = [f"and {len(told) - limit} more that did not finish"] if len(told) > limit else []
    return "\n".join(_cut(line, WIDTH) for line in [*told[:limit], *more])


def _verdict(result: Result) -> str:
    pick = result.get("pick") or {}
    if not pick:
        told = (
            "No candidate could be picked" if result.get("complete") else "Stopped before a candidate could be picked"
        )
        return f"{told}."
    lines = [f"Pick: {shown(pick.get('name'))}", *_wrapped(shown(pick.get("why") or "", 600))]
    lines.append(f"Test: {_test(result, pick)}")
    if pick.get("bundle"):
        lines.append(f"Bundle: {shown(pick['bundle'])}")
    if not result.get("complete"):
        lines.append(f"Interrupted after {seconds(result.get('seconds'))}: this is the verdict so far.")
    return "\n".join(lines)


def _test(result: Result, pick: Mapping[str, Any]) -> str:
    given = (pick.get("test") or {}).get(headline(result))
    value, metric = spread(given), quantity(headline(result))
    if value is None:
        return "not measured"
    about = given if isinstance(given, Mapping) else {}
    level = finite(about.get("level"))
    interval = metric.interval(value)
    said = f"{metric.title} {metric.say(value)}"
    said += f", {level:.0%} interval {interval}" if level and interval else f" {interval}" if interval else ""
    return said + (f", {count(about['n'])} rows that no choice was made on" if about.get("n") else "")


def _warnings(result: Result) -> str:
    lines = [_wrapped(f"! {shown(w, 300)}", "  ") for w in (result.get("warnings") or [])[:10]]
    return "\n".join(line for group in lines for line in group)


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent)


def lines_for_check(check: Mapping[str, Any]) -> str:
    """What `sartor check` found: the columns as they were read, the split, and every problem with its fix."""
    rows = [_column_row(column, check) for column in check.get("columns") or []]
    heads = ["column", "kind", "role", "missing", "distinct", "why"]
    parts = [f"{count(check.get('rows'))} rows", _grid([heads, *rows], right={3, 4})]
    sizes = ", ".join(f"{shown(name, 30)} {count(n)}" for name, n in (check.get("parts") or {}).items())
    if sizes:
        parts.append("\n".join(_wrapped(f"Split: {sizes}" + (f" ({shown(check['how'])})" if check.get("how") else ""))))
    problems = [_problem(p) for p in check.get("problems") or []]
    bad = sum(p.get("severity") == "error" for p in check.get("problems") or [])
    closing = "Ready." if check.get("ok") else f"Not ready: {bad} error{'' if bad == 1 else 's'} to correct first."
    return "\n\n".join([*parts, *(["\n".join(problems)] if problems else []), closing]) + "\n"


def _column_row(column: Mapping[str, Any], check: Mapping[str, Any]) -> list[str]:
    name = column.get("name")
    role = "target" if name == check.get("target") else "input" if name in (check.get("inputs") or []) else ""
    numbers = [count(column.get("missing")), count(column.get("distinct"))]
    return [shown(name, 40), shown(column.get("kind"), 20), role, *numbers, shown(column.get("why"), 100)]


def _problem(problem: Mapping[str, Any]) -> str:
    places = ", ".join(shown(p, 80) for p in (problem.get("places") or [])[:3])
    where = f"{places}: " if places else ""
    kind = f"{shown(problem.get('severity'), 20)}[{shown(problem.get('code'), 40)}]"
    said = f"{kind}: {where}{shown(problem.get('message'), 400).rstrip('.')}."
    times = finite(problem.get("count")) or 0
    more = f" ({times:,.0f} times)" if times > 1 else ""
    fix = shown(problem.get("fix") or "", 300).rstrip(".")
    return "\n".join(_wrapped(said + more + (f" Fix: {fix}." if fix else ""), "  "))


def _grid(rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> str:
    """Columns two spaces apart, the last one cut at the width of the page."""
    sides = set(right)
    widths = [min(40, max(len(row[k]) for row in rows)) for k in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            _cut(c, w).rjust(w) if k in sides else _cut(c, w).ljust(w)
            for k, (c, w) in enumerate(zip(row[:-1], widths, strict=False))
        ]
        lines.append(_cut("  ".join([*cells, row[-1]]), WIDTH).rstrip())
    return "\n".join(lines)


def scores(result: Result) -> str:
    """What `sartor evaluate` measured; of a bundle that has several tasks, each one's after what all have in common."""
    about = f"{shown(result.get('bundle') or 'bundle')} on {count(result.get('rows'))} rows"
    lines = [_cut(about, WIDTH), "", _metrics(result.get("metrics") or {})]
    for name, told in (result.get("tasks") or {}).items():
        lines += ["", _cut(f"{shown(name, 40)} on {count(told.get('rows'))} rows", WIDTH), ""]
        lines.append(_metrics(told.get("intervals") or {}))
    return "\n".join(lines) + "\n"


def _metrics(metrics: Mapping[str, Any]) -> str:
    rows = []
    for key, value in metrics.items():
        made, q = spread(value), quantity(str(key))
        rows.append([shown(q.title, 40), q.say(made), q.interval(made)])
    return _grid(rows, right={1}) if rows else "no metric was measured"


def comparison(result: Result) -> str:
    """What `sartor compare` found: the sentence first, then both sides' metrics."""
    metric = quantity(str(result.get("metric") or "accuracy"))
    a, b = shown(result.get("a"), 40), shown(result.get("b"), 40)
    lines = _wrapped(f"A is {a}; B is {b}; {count(result.get('rows'))} rows, paired.")
    lines += _wrapped(
        f"{metric.title}: B - A = {_difference(result)}: {shown(result.get('verdict') or 'not decided', 200)}."
    )
    rows = [_both(str(key), value) for key, value in (result.get("metrics") or {}).items()]
    return "\n".join([*lines, *(["", _grid([["metric", "A", "B"], *rows], right={1})] if rows else [])]) + "\n"


def compression(result: Result) -> str:
    """What `sartor compress` made: the paired difference first, then both forms' metrics and costs."""
    if result.get("dry_run"):
        return f"would write {shown(result.get('would_write'), 80)}\n"
    compared, sides = result["comparison"], {"a": result["before"], "b": result["after"]}
    metric = quantity(str(compared["metric"]))
    cut = " then ".join(shown(one, 60) for one in result["with"])
    lines = _wrapped(f"{cut}; both forms on {count(result['parts']['test'])} held-out rows, paired.")
    lines += _wrapped(f"{metric.title}: after - before = {_difference(compared)}: {shown(compared['verdict'], 40)}.")
    rows = []
    for kind, keys in (("metrics", sides["a"]["metrics"]), ("costs", COSTS)):
        for key in keys:
            pair = {side: told[kind].get(key) for side, told in sides.items()}
            rows += [_both(str(key), pair)] if any(value is not None for value in pair.values()) else []
    lines += ["", _grid([["", "before", "after"], *rows], right={1, 2})]
    if result.get("bundle"):
        lines += ["", f"Bundle: {shown(result['bundle'], 90)}"]
    return "\n".join(lines) + "\n"


def _difference(result: Result) -> str:
    metric = quantity(str(result.get("metric") or "accuracy"))
    made = spread(result.get("difference"), (result.get("low"), result.get("high")))
    if made is None:
        return "not measured"
    places, unit = metric.places(made), " points" if metric.unit == "%" else ""
    said = signed(made.value * metric.scale, places) + unit
    if made.low is not None and made.high is not None:
        said += f" [{signed(made.low * metric.scale, places)}, {signed(made.high * metric.scale, places)}]"
    p = finite(result.get("p"))
    return said if p is None else f"{said}, p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}"


def _both(key: str, value: Any) -> list[str]:
    """One metric of A and B; a lone number stands under A."""
    q = quantity(key)
    pair = (
        (value.get("a"), value.get("b"))
        if isinstance(value, Mapping) and ("a" in value or "b" in value)
        else (value, None)
    )
    return [shown(q.title, 40), *(q.full(spread(v)) if v is not None else "" for v in pair)]
