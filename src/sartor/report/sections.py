"""The sections of the report as plain values for the templates; no markup is written here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sartor.report.entries import Entry, Result, headline
from sartor.report.pictured import pictured
from sartor.report.plain import alike, shown
from sartor.report.quantities import NOT_MEASURED, Spread, count, finite, number, quantity, seconds, spread

Values = dict[str, Any]

_WARNINGS, _WRONG = 40, 50
_PLAYED = re.compile(r"data:audio/[a-z]+;base64,[A-Za-z0-9+/]+=*")
_NEAR, _STRETCH = 12, 120
"""Tokens shown on both sides of spans that differ, and at most altogether."""
_ANSWERS = "answers {value} of the test rows correctly"
_REACHES = "reaches {article} {metric} of {value} on the test rows"


def verdict(result: Result, found: Sequence[Entry]) -> Values:
    """The sentence in large type, the evidence, and what it rests on."""
    pick = result.get("pick") or {}
    if not pick:
        sentence = (
            "No candidate could be picked." if result.get("complete") else "Stopped before a candidate could be picked."
        )
        return {
            "name": "",
            "sentence": sentence,
            "why": _unpicked(found),
            "state": state(result),
            "tiles": [],
            "test": None,
            "bundle": "",
        }
    chosen = next((e for e in found if e.pick), None)
    test = spread((pick.get("test") or {}).get(headline(result)))
    return {
        "name": shown(pick.get("name")),
        "sentence": _sentence(result, test),
        "why": shown(pick.get("why") or "", 600),
        "state": state(result),
        "test": _test(result, test),
        "tiles": _tiles(result, chosen),
        "bundle": shown(pick.get("bundle") or ""),
    }


def _unpicked(found: Sequence[Entry]) -> str:
    measured = sum(e.quality is not None for e in found)
    return f"{measured} of {len(found)} candidates were measured; what is known of them stands below."


def _sentence(result: Result, test: Spread | None) -> str:
    metric = quantity(headline(result))
    if test is None:
        return "is the pick so far; it has not been scored on the test rows."
    if metric.key == "accuracy":
        return _ANSWERS.format(value=metric.say(test)) + "."
    name = metric.within
    article = "an" if name[0] in "aeiouAEIOUR" and name != "R²" else "a"
    return _REACHES.format(article=article, metric=name, value=metric.say(test)) + "."


def _test(result: Result, test: Spread | None) -> Values | None:
    """The test score in full: value, interval, level, method, rows."""
    if test is None:
        return None
    metric = quantity(headline(result))
    given = (result.get("pick") or {})["test"][headline(result)]
    about = given if isinstance(given, Mapping) else {}
    level = finite(about.get("level"))
    said = [f"{level:.0%} interval" if level else "interval", shown(about.get("method") or "")]
    return {
        "title": f"Test {metric.within}",
        "value": metric.say(test),
        "interval": metric.interval(test),
        "how": ", ".join(word for word in said if word) + (f", {count(about['n'])} rows" if about.get("n") else ""),
        "others": _other_tests(result),
    }


def _other_tests(result: Result) -> list[tuple[str, str]]:
    tests = (result.get("pick") or {}).get("test") or {}
    return [
        (quantity(str(k)).title, quantity(str(k)).full(spread(v))) for k, v in tests.items() if k != headline(result)
    ]


def _tiles(result: Result, chosen: Entry | None) -> list[tuple[str, str, str]]:
    """(what, value, small print) of the pick's costs and the run."""
    if chosen is None:
        return []
    tiles = []
    for key in ("latency_ms_p50", "size_mb", "train_seconds"):
        value, q = chosen.costs.get(key), quantity(key)
        apart = value is not None and (value.half or 0) > 0
        tiles.append((q.title, q.say(value), q.interval(value) if apart else ""))
    return tiles


def state(result: Result) -> str:
    """How much of the work was done, in words."""
    spent, budget = finite(result.get("seconds")), finite(result.get("budget_seconds"))
    told = "complete" if result.get("complete") else "interrupted: the verdict so far"
    if spent is None:
        return told
    return f"{told} · {seconds(spent)}" + (f" of a budget of {seconds(budget)}" if budget else "")


def facts(result: Result, found: Sequence[Entry]) -> list[tuple[str, str]]:
    """The line under the title."""
    data = result.get("data") or {}
    names = {e.family for e in found}
    families = f"{len(found)} candidates, {len(names)} {'family' if len(names) == 1 else 'families'}"
    pairs = [("Data", shown(data.get("source") or NOT_MEASURED, 80)), ("Target", shown(data.get("target") or "", 60))]
    pairs += [("Rows", count(data.get("rows"))), ("Raced", families), ("Run", state(result))]
    return [(name, value) for name, value in pairs if value]


def rungs(result: Result) -> list[Values]:
    """What happened at each comparison of the race."""
    made = []
    for rung in (result.get("race") or {}).get("rungs") or []:
        dropped = [
            {"name": shown(d.get("name")), "reason": shown(d.get("reason") or "")} for d in rung.get("dropped") or []
        ]
        alive = len(rung.get("alive") or [])
        made.append({"rung": rung.get("rung"), "steps": count(rung.get("steps")), "alive": alive, "dropped": dropped})
    return made


def wrong(result: Result) -> list[Values]:
    """The test rows that the pick got most confidently wrong."""
    made = []
    for row in ((result.get("pick") or {}).get("wrong") or [])[:_WRONG]:
        probability = finite(row.get("probability"))
        values: Values = {key: _answer(row.get(key)) for key in ("text", "label", "prediction")} | {"pictured": None}
        values["residual"] = shown(row.get("off") or "") or _residual(row)
        values["sound"] = _sound(row)
        values["marked"] = _marked(row)
        if row.get("picture"):
            values |= {"pictured": pictured(row), "text": shown(row.get("text")), "residual": _answer(row.get("score"))}
        values["probability"] = "" if probability is None else f"{probability:.3f}"
        made.append(values | {"row": count(row.get("row")), "line": count(row.get("line"))})
    return made


def by_label(result: Result) -> list[tuple[str, ...]]:
    """(label, how many there are, how many were said, precision, recall, F1) where the task counts them."""
    shares = ("precision", "recall", "f1")
    return [
        (
            shown(one.get("label"), 80),
            *(count(one.get(key)) for key in ("count", "said")),
            *(quantity(key).say(spread(one.get(key))) for key in shares),
        )
        for one in (result.get("pick") or {}).get("by_label") or []
    ]


def _marked(row: Mapping[str, Any]) -> list[list[tuple[str, str]]]:
    """A row of tokens twice, with what is true and with what was said: (words, type), the type empty outside spans."""
    tokens = [shown(token, 60) for token in row.get("tokens") or []]
    if not tokens:
        return []
    first, last = _around(row, len(tokens))
    return [_runs(tokens, row.get(key) or [], first, last) for key in ("label", "prediction")]


def _around(row: Mapping[str, Any], count: int) -> tuple[int, int]:
    """The stretch of the tokens that is shown: the spans that differ and what is near them."""
    one, other = ({tuple(span) for span in row.get(key) or []} for key in ("label", "prediction"))
    differing = [place for start, end, _ in one ^ other for place in (int(start), int(end))]
    first = max(0, min(differing, default=0) - _NEAR)
    return first, min(count, max(differing, default=count) + _NEAR, first + _STRETCH)


def _runs(tokens: Sequence[str], spans: Sequence[Any], first: int, last: int) -> list[tuple[str, str]]:
    runs, at = [("… ", "")] if first else [], first
    for start, end, kind in sorted((int(a), int(b), shown(k, 40)) for a, b, k in spans):
        if start < at or end > last:
            continue
        runs += [(" ".join(tokens[at:start]), "")] if start > at else []
        runs.append((" ".join(tokens[start:end]), kind))
        at = end
    runs += [(" ".join(tokens[at:last]), "")] if at < last else []
    return [*runs, (" …", "")] if last < len(tokens) else runs


def _answer(value: object) -> str:
    return number(value, 3).rstrip("0").rstrip(".") if isinstance(value, float) else shown(value)


def _sound(row: Mapping[str, Any]) -> str:
    """The address that carries a row's sound; nothing else is played."""
    address = str(row.get("sound") or "")
    return address if _PLAYED.fullmatch(address) else ""


def _residual(row: Mapping[str, Any]) -> str:
    label, answer = row.get("label"), row.get("prediction")
    numbers = isinstance(label, int | float) and isinstance(answer, int | float)
    return _answer(float(answer) - float(label)) if numbers else ""  # type: ignore[arg-type]


def data(result: Result) -> Values:
    """What was read, how it was split, and what to know of it."""
    given = result.get("data") or {}
    metric = quantity(headline(result))
    smallest, cut = finite(given.get("resolution")), finite(given.get("truncated_share"))
    unit = " points" if metric.unit == "%" else ""
    pairs = [
        ("Source", shown(given.get("source") or NOT_MEASURED)),
        ("Rows", count(given.get("rows"))),
        ("Target", shown(given.get("target") or NOT_MEASURED)),
        ("Inputs", ", ".join(shown(name, 60) for name in given.get("inputs") or []) or NOT_MEASURED),
        ("Split", shown(given.get("how") or NOT_MEASURED)),
        (
            "Smallest difference the validation part can resolve",
            NOT_MEASURED if smallest is None else f"{smallest * metric.scale:.2g}{unit}",
        ),
        ("Texts cut at the encoder's length", NOT_MEASURED if cut is None else f"{cut:.1%}"),
        ("Fingerprint (SHA-256)", shown(given.get("fingerprint") or NOT_MEASURED)),
    ]
    return {"pairs": pairs, "parts": _parts(given.get("parts") or {}), "warnings": warnings(result)}


def _parts(parts: Mapping[str, Any]) -> list[Values]:
    sizes = [(shown(name, 40), finite(rows) or 0.0) for name, rows in parts.items()]
    total = sum(rows for _, rows in sizes) or 1.0
    return [{"name": name, "rows": count(rows), "share": round(100 * rows / total, 2)} for name, rows in sizes]


def warnings(result: Result) -> list[str]:
    """The result's own, and labels that a reader would take for one another."""
    every = result.get("warnings") or []
    given = [shown(w, 400) for w in every[:_WARNINGS]]
    given += [f"and {len(every) - _WARNINGS:,} more, in report.json"] if len(every) > _WARNINGS else []
    classes = (result.get("data") or {}).get("classes") or []
    for group in alike(c.get("label") for c in classes)[:5]:
        given.append(f"These labels look alike and are different: {', '.join(f'“{shown(g, 60)}”' for g in group)}.")
    return given


def stages(result: Result) -> list[Values]:
    """Where the time went."""
    given = [(shown(s.get("name"), 60), finite(s.get("seconds")) or 0.0) for s in result.get("stages") or []]
    total = sum(spent for _, spent in given) or 1.0
    return [{"name": name, "seconds": seconds(spent), "share": round(100 * spent / total, 2)} for name, spent in given]


def measured(result: Result) -> list[tuple[str, str]]:
    return [(shown(m.get("what")), shown(m.get("how"), 600)) for m in result.get("measured") or []]


def environment(result: Result) -> list[tuple[str, str]]:
    given = result.get("environment") or {}
    pairs = [(shown(key, 60).replace("_", " "), shown(value)) for key, value in given.items() if value is not None]
    extra = [("task", result.get("task")), ("seed", result.get("seed"))]
    return pairs + [(name, shown(value)) for name, value in extra if value is not None]


def hints(found: Sequence[Entry], metric: str) -> list[Values]:
    """What the page's script shows beside the pointer, one for each candidate."""
    return [{"name": e.name, "hue": e.hue, "role": _role(e), "lines": _lines(e, metric)} for e in found]


def _role(e: Entry) -> str:
    said = ", ".join(word for word in (e.role, e.status) if word)
    return f"{said}: {e.reason}" if e.reason else said


def _lines(e: Entry, metric: str) -> list[tuple[str, str]]:
    first = [(quantity(metric).title, quantity(metric).full(e.quality))]
    others = [(quantity(k).title, quantity(k).full(v)) for k, v in e.metrics.items() if k != metric]
    costs = [(quantity(k).title, quantity(k).full(v)) for k, v in e.costs.items()]
    tail = [("Repeats", ", ".join(quantity(metric).say(Spread(r)) for r in e.repeats))] if e.repeats else []
    return first + others + costs + tail + ([("Dominated by", e.dominated_by)] if e.dominated_by else [])
