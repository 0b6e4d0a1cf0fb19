"""The result's candidates as values that every renderer draws from: names made safe, roles said once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sartor.report.plain import shown
from sartor.report.quantities import COSTS, Spread, finite, lower_is_better, spread

Result = Mapping[str, Any]
HUES = 6
"""Colours for families; baselines are grey, hue 0."""


@dataclass(frozen=True)
class Entry:
    """One candidate.

    index     its place in the result, which ties its marks together across figures
    short     its name without the backbone that most candidates share
    hue       its family's colour, 0 for baselines
    quality   the headline metric on the validation part, with its interval
    against   the paired difference against the best: {"difference", "low", "high", "p", "verdict"}, or empty
    curve     looks at the held-out rows during the race
    """

    index: int
    name: str
    short: str
    family: str
    hue: int
    baseline: bool
    status: str
    reason: str
    pick: bool
    frontier: bool
    tied: bool
    quality: Spread | None
    metrics: dict[str, Spread] = field(default_factory=dict)
    costs: dict[str, Spread] = field(default_factory=dict)
    best_batch: int | None = None
    against: Mapping[str, Any] = field(default_factory=dict)
    repeats: tuple[float, ...] = ()
    dominated_by: str = ""
    curve: tuple[Mapping[str, Any], ...] = ()

    @property
    def finished(self) -> bool:
        return self.status == "finished"

    @property
    def shape(self) -> str:
        """Its marker: the role is told by shape, so that colour is never needed."""
        return "star" if self.pick else "square" if self.baseline else "ring" if self.tied else "circle"

    @property
    def role(self) -> str:
        """In words: pick, frontier, tied with the best, baseline."""
        roles = [word for word, so in (("pick", self.pick), ("frontier", self.frontier), ("tied", self.tied)) if so]
        return ", ".join([*roles, *(["baseline"] if self.baseline else [])])


def headline(result: Result) -> str:
    """The metric that candidates are ranked by."""
    return str(result.get("headline") or "accuracy")


def entries(result: Result) -> tuple[Entry, ...]:
    """Every candidate of the result, in its order."""
    found = [c for c in result.get("candidates") or [] if isinstance(c, Mapping)]
    hues = _hues(found)
    names = [shown(c.get("name")) for c in found]
    short = _short(names)
    return tuple(_entry(result, c, i, names[i], short[i], hues) for i, c in enumerate(found))


def _entry(result: Result, c: Mapping[str, Any], index: int, name: str, short: str, hues: dict[str, int]) -> Entry:
    metrics, costs, own = c.get("metrics") or {}, c.get("costs") or {}, c.get("name")
    spreads = _spreads(metrics, c.get("intervals") or {})
    picked = (result.get("pick") or {}).get("name")
    batch = finite(costs.get("best_batch"))
    return Entry(
        index=index,
        name=name,
        short=short,
        family=shown(c.get("family") or "other", 40),
        hue=hues[str(c.get("family"))],
        baseline=_is_baseline(c),
        status=shown(c.get("status") or "unknown", 40),
        reason=shown(c.get("reason") or ""),
        pick=own is not None and own == picked,
        frontier=bool(c.get("frontier")) or own in (result.get("frontier") or []),
        tied=bool(c.get("tied")) or own in (result.get("tied") or []),
        quality=spreads.get(headline(result)),
        metrics=spreads,
        costs={key: made for key in COSTS if (made := spread(costs.get(key))) is not None},
        best_batch=None if batch is None else int(batch),
        against=c.get("against_best") or {},
        repeats=tuple(r for r in map(finite, c.get("repeats") or []) if r is not None),
        dominated_by=shown(c.get("dominated_by") or ""),
        curve=tuple(point for point in c.get("curve") or [] if isinstance(point, Mapping)),
    )


def _spreads(metrics: Mapping[str, Any], intervals: Mapping[str, Any]) -> dict[str, Spread]:
    made = {str(key): spread(value, intervals.get(key)) for key, value in metrics.items()}
    return {key: value for key, value in made.items() if value is not None}


def _is_baseline(c: Mapping[str, Any]) -> bool:
    """A candidate that is no fine-tuned network: it has no recipe, and its name no ` + method`."""
    if c.get("family") in ("baseline", "baselines"):
        return True
    return c.get("recipe") is None and " + " not in str(c.get("name"))


def _hues(found: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """family -> colour, in order of appearance; families of baselines share the grey."""
    grey = {str(c.get("family")) for c in found if _is_baseline(c)}
    others = [f for f in dict.fromkeys(str(c.get("family")) for c in found) if f not in grey]
    return dict.fromkeys(grey, 0) | {f: 1 + k % (HUES - 1) for k, f in enumerate(others)}


def common_backbone(names: Sequence[str]) -> str:
    """The backbone that most names share, which short names leave out; empty where there is none."""
    heads = [name.split(" + ")[0] for name in names if " + " in name]
    most = max(heads, key=heads.count, default="")
    return most if heads.count(most) > max(1, len(heads) // 2) else ""


def _short(names: Sequence[str]) -> list[str]:
    """Names without the backbone that most of them share, as long as they stay different."""
    shared = common_backbone(names)
    cut = [name.removeprefix(f"{shared} + ") if shared else name for name in names]
    return cut if len(set(cut)) == len(set(names)) else list(names)


def families(found: Sequence[Entry]) -> dict[str, int]:
    """family -> hue, in order of appearance, for the legend."""
    return {e.family: e.hue for e in found}


def best_first(found: Sequence[Entry], metric: str) -> list[Entry]:
    """By quality, the unmeasured last in their own order."""
    sign = 1.0 if lower_is_better(metric) else -1.0
    return sorted(found, key=lambda e: (e.quality is None, sign * e.quality.value if e.quality else 0.0))
