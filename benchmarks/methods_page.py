"""What the sweep over methods shows, as the tables and sentences of `docs/guide/methods.md`.

`python benchmarks/run.py --page methods` writes them between the page's markers; a test holds the page to the results.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from method_claims import claims, sentences
from method_numbers import FULL, Sweep, Way, accuracy, against, measured, percent, read, rows_of, signed, trained_share

PAGE = Path(__file__).parent.parent / "docs" / "guide" / "methods.md"
MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def write(page: Path = PAGE) -> str:
    """Put the tables into the page; returns the sentences."""
    sweep = read()
    page.write_text(filled(page.read_text("utf-8"), sweep), "utf-8")
    return "\n".join(sentences(sweep))


def filled(text: str, sweep: Sweep) -> str:
    """The page with what stands between its markers made anew."""
    return MARKED.sub(lambda found: f"{found[1]}{BLOCKS[found[2]](sweep)}\n{found[3]}", text)


def worth(sweep: Sweep) -> str:
    """Every method at its default: what it trains, what a step costs, how good it is."""
    heads = [rows_of(sweep, size) for size in sweep.sizes]
    lines = [_row(["method", "weights trained", "step", "memory", *heads]), _row(["---"] * (4 + len(heads)))]
    for method, rate in sweep.rate.items():
        shown = [_quality(sweep, size, Way(method, rate)) for size in sweep.sizes]
        if any(text != "" for text in shown):
            lines.append(_row([f"`{method}`", *_cost(sweep, method), *shown]))
    return "\n".join(lines)


def _cost(sweep: Sweep, method: str) -> list[str]:
    part, cost = trained_share(sweep, method), sweep.costs.get(method)
    trained = "" if part is None else percent(part)
    if cost is None:
        return [trained, "", ""]
    if "ratio" not in cost:
        return [trained, "none", ""]
    return [trained, f"{cost['ratio']['median']:.2f}", f"{cost['memory']['above'] / 1e6:.0f} MB"]


def _quality(sweep: Sweep, size: int | str, way: Way) -> str:
    full = Way(FULL, sweep.rate[FULL])
    found = against(sweep, size, way, full)
    if found is None:
        return ""
    seeds = sweep.seeds(size, way, full)
    level = f"{accuracy(sweep, size, way, seeds):.1f}"
    few = f"; {len(seeds)} seed{'s' if len(seeds) > 1 else ''}" if len(seeds) < sweep.asked["seeds"] else ""
    if way == full:
        return level + (f" ({few[2:]})" if few else "")
    return f"{level} ({signed(found)}{few})"


def by_rate(sweep: Sweep) -> str:
    """Every method at every rate, the default in bold; what is compared comes from the same sets and seeds."""
    heads = [rows_of(sweep, size) for size in sweep.sizes]
    lines = [_row(["method", "rate", *heads, "best look"]), _row(["---"] * (3 + len(heads)))]
    for method in sweep.rate:
        for way in measured(sweep, method):
            shown = [_beside_default(sweep, size, way) for size in sweep.sizes]
            if any(text != "" for text in shown):
                rate = f"**{way.rate:g}**" if way.rate == sweep.rate[method] else f"{way.rate:g}"
                lines.append(_row([f"`{method}`", rate, *shown, _length(sweep, way)]))
    return "\n".join(lines)


def _beside_default(sweep: Sweep, size: int | str, way: Way) -> str:
    own = Way(way.method, sweep.rate[way.method])
    seeds = sweep.seeds(size, way, own)
    if not seeds:
        return ""
    level = f"{accuracy(sweep, size, way, seeds):.1f}"
    found = against(sweep, size, way, own)
    return level if way == own or found is None else f"{level} ({signed(found)})"


def _length(sweep: Sweep, way: Way) -> str:
    """The median step of the best look; how many runs were at their best at their last planned step."""
    runs = [sweep.cells[c] for c in sweep.right if (c.method, c.rate, c.steps) == (way.method, way.rate, way.steps)]
    steps = [run["chosen"][sweep.asked["choice"]] for run in runs]
    last = sum(step == run["planned_steps"] for step, run in zip(steps, runs, strict=True))
    return f"{np.median(steps):.0f}; {100 * last / len(runs):.0f} % last"


def _row(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"


BLOCKS: dict[str, Callable[[Sweep], str]] = {"worth": worth, "rates": by_rate, "claims": claims}
"""The name in a marker -> what stands behind it."""
