"""What the sweep over methods shows, as the tables and sentences of `docs/guide/methods.md`.

`python benchmarks/run.py --page methods` writes them between the page's markers; a test holds the page to the results.

Differences are paired by set, seed and row, in points, with 90 % intervals (see `equivalence`); only seeds count for
which every set has both sides. A share of full's gain has its interval from resampling rows and seeds within each set.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from equivalence import Difference, difference, pooled
from method_cells import Cell, default, known, read_back, unpacked

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "guide" / "methods.md"
FULL, PROBE = "full", "probe"
RESAMPLED = 1000
MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Sweep:
    """The cells of the results file; `rate` is each method's default as the code has it now.

    chosen  what weights are chosen by -> cell -> (N,) whether each held-out row was answered right
    costs   method -> what `method_costs` found; empty where it has not been run
    """

    asked: dict[str, Any]
    cells: dict[Cell, dict[str, Any]]
    chosen: dict[str, dict[Cell, Any]]
    rate: dict[str, float | None]
    costs: dict[str, dict[str, Any]]

    @property
    def right(self) -> dict[Cell, Any]:
        return self.chosen[self.asked["choice"]]

    @property
    def sizes(self) -> list[int | str]:
        return [size for phase in self.asked["sizes"] for size in phase]

    def at(self, data: str, size: int | str, seed: int, way: Way) -> Cell:
        return Cell(data, size, seed, way.method, way.rate, way.steps)

    def seeds(self, size: int | str, *ways: Way) -> list[int]:
        """Those for which every set has a cell of all of these."""
        return [
            seed
            for seed in range(self.asked["seeds"])
            if all(self.at(data, size, seed, way) in self.right for data in self.asked["data"] for way in ways)
        ]

    def evidence(self, size: int | str, way: Way, seeds: Sequence[int]) -> dict[str, Any]:
        """Set -> (seeds, N) whether each row was answered right."""
        return {
            data: np.stack([self.right[self.at(data, size, seed, way)] for seed in seeds])
            for data in self.asked["data"]
        }


@dataclass(frozen=True)
class Way:
    """A method at a rate, for so many steps or as many as the plan says."""

    method: str
    rate: float | None
    steps: int | None = None


def read(folder: Path = HERE / "results") -> Sweep:
    said = json.loads((folder / "methods.json").read_text("utf-8"))
    cells = dict(read_back(cell) for cell in said["result"]["cells"])
    asked = said["experiment"]
    chosen = {choice: _right(cells, choice, asked["held"]) for choice in asked["choices"]}
    rate = {spelled: default(method) for spelled, method in known(asked).items()}
    costs = folder / "method_costs.json"
    found = json.loads(costs.read_text("utf-8"))["result"]["methods"] if costs.exists() else {}
    return Sweep(asked, cells, chosen, rate, found)


def _right(cells: dict[Cell, dict[str, Any]], choice: str, held: int) -> dict[Cell, Any]:
    """Of the cells that were not refused."""
    return {
        cell: unpacked(found["answers"][str(found["chosen"][choice])]["right"], held)
        for cell, found in cells.items()
        if "chosen" in found
    }


def write(page: Path = PAGE) -> str:
    """Put the tables into the page; returns the sentences."""
    sweep = read()
    page.write_text(filled(page.read_text("utf-8"), sweep), "utf-8")
    return "\n".join(sentences(sweep))


def filled(text: str, sweep: Sweep) -> str:
    """The page with what stands between its markers made anew."""
    return MARKED.sub(lambda found: f"{found[1]}{BLOCKS[found[2]](sweep)}\n{found[3]}", text)


# Numbers


def accuracy(sweep: Sweep, size: int | str, way: Way, seeds: Sequence[int]) -> float:
    """The mean over sets and seeds, in percent."""
    found = sweep.evidence(size, way, seeds).values()
    return 100 * float(np.mean([right.mean() for right in found]))


def against(sweep: Sweep, size: int | str, mine: Way, other: Way) -> Difference | None:
    """The mean difference in points; None where no seed has both on every set."""
    seeds = sweep.seeds(size, mine, other)
    if not seeds:
        return None
    ours, theirs = (sweep.evidence(size, way, seeds) for way in (mine, other))
    return pooled([difference(ours[data], theirs[data], 0.0) for data in ours], 0.0)


@dataclass(frozen=True)
class Kept:
    """A method's gain over the probe as a share of full's, with the 90 % interval; gains in points."""

    gain: float
    of: float
    low: float
    high: float
    full_gains: bool
    """Whether full's own gain is shown: the 90 % interval of it lies above 0."""


def kept(sweep: Sweep, size: int | str, method: str) -> Kept | None:
    """None where no seed has all three on every set."""
    ways = [Way(name, sweep.rate[name]) for name in (method, FULL, PROBE)]
    seeds = sweep.seeds(size, *ways)
    if not seeds:
        return None
    resampled = np.array(_resampled([sweep.evidence(size, way, seeds) for way in ways]))  # (3, RESAMPLED)
    mine, full, probe = (accuracy(sweep, size, way, seeds) for way in ways)
    gains = resampled[:2] - resampled[2]
    shares = np.percentile(gains[0] / np.where(gains[1] == 0, np.nan, gains[1]), [5, 95])
    shown = bool(np.percentile(gains[1], 5) > 0)
    return Kept(mine - probe, full - probe, float(shares[0]), float(shares[1]), shown)


def _resampled(evidence: list[dict[str, Any]]) -> list[Any]:
    """Per way (RESAMPLED,) mean accuracies, the same rows and seeds drawn for every way."""
    totals = [np.zeros(RESAMPLED) for _ in evidence]
    for number, data in enumerate(evidence[0]):
        seeds, rows = evidence[0][data].shape
        of_rows, of_seeds = _drawn(number, rows), _drawn(number, seeds)
        for total, way in zip(totals, evidence, strict=True):
            each = of_rows @ way[data].T / rows  # (RESAMPLED, seeds)
            total += 100 * (each * of_seeds).sum(1) / seeds / len(evidence[0])
    return totals


@functools.cache
def _drawn(number: int, count: int) -> Any:
    """(RESAMPLED, count) how often each of `count` things was drawn, for the set of this number."""
    return np.random.default_rng([number, count]).multinomial(count, np.full(count, 1 / count), RESAMPLED)


# Tables


def worth(sweep: Sweep) -> str:
    """Every method at its default: what it trains, what a step costs, how good it is."""
    heads = [_rows_of(sweep, size) for size in sweep.sizes]
    lines = [_row(["method", "weights trained", "step", "memory", *heads]), _row(["---"] * (4 + len(heads)))]
    for method, rate in sweep.rate.items():
        shown = [_quality(sweep, size, Way(method, rate)) for size in sweep.sizes]
        if any(text != "" for text in shown):
            lines.append(_row([f"`{method}`", *_cost(sweep, method), *shown]))
    return "\n".join(lines)


def _cost(sweep: Sweep, method: str) -> list[str]:
    share, cost = _share(sweep, method), sweep.costs.get(method)
    trained = "" if share is None else f"{_percent(share)}"
    if cost is None:
        return [trained, "", ""]
    step = f"{cost['ratio']['median']:.2f}" if "ratio" in cost else "none"
    return [trained, step, f"{cost['memory']['above'] / 1e6:.0f} MB"]


def _share(sweep: Sweep, method: str) -> float | None:
    """The largest share of the weights that a run of this method trained: on the set with the most labels."""
    found = [c["trained"] / c["weights"] for cell, c in sweep.cells.items() if cell.method == method and "trained" in c]
    return max(found) if found else None


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
    return f"{level} ({_signed(found)}{few})"


def by_rate(sweep: Sweep) -> str:
    """Every method at every rate, the default in bold; what is compared comes from the same sets and seeds."""
    heads = [_rows_of(sweep, size) for size in sweep.sizes]
    lines = [_row(["method", "rate", *heads, "best look"]), _row(["---"] * (3 + len(heads)))]
    for method in sweep.rate:
        for way in measured(sweep, method):
            shown = [_beside_default(sweep, size, way) for size in sweep.sizes]
            if any(text != "" for text in shown):
                rate = f"**{way.rate:g}**" if way.rate == sweep.rate[method] else f"{way.rate:g}"
                lines.append(_row([f"`{method}`", rate, *shown, _length(sweep, way)]))
    return "\n".join(lines)


def measured(sweep: Sweep, method: str) -> list[Way]:
    """The rates of a method that were tried, from low to high; none for a method without steps."""
    return [Way(method, rate) for rate in sorted({c.rate for c in sweep.right if c.method == method and c.rate})]


def _beside_default(sweep: Sweep, size: int | str, way: Way) -> str:
    own = Way(way.method, sweep.rate[way.method])
    seeds = sweep.seeds(size, way, own)
    if not seeds:
        return ""
    level = f"{accuracy(sweep, size, way, seeds):.1f}"
    found = against(sweep, size, way, own)
    return level if way == own or found is None else f"{level} ({_signed(found)})"


def _length(sweep: Sweep, way: Way) -> str:
    """The median step of the best look; how many runs were at their best at their last planned step."""
    runs = [sweep.cells[c] for c in sweep.right if (c.method, c.rate, c.steps) == (way.method, way.rate, way.steps)]
    steps = [run["chosen"][sweep.asked["choice"]] for run in runs]
    last = sum(step == run["steps"] for step, run in zip(steps, runs, strict=True))
    return f"{np.median(steps):.0f}; {100 * last / len(runs):.0f} % last"


# Sentences


def claims(sweep: Sweep) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences(sweep))


def sentences(sweep: Sweep) -> Iterator[str]:
    """What the sweep says of each claim, whichever way it falls."""
    asked = sweep.asked["claims"]
    for method in asked["keeps"]["methods"]:
        said = list(_keeps(sweep, method, asked["keeps"])) if method in sweep.rate else []
        yield from said or [f"`{method}` keeps {100 * asked['keeps']['share']:.0f} % of full's gain: not measured yet."]
    for better, than in asked["beats"]:
        yield from _compared(sweep, better, than, "beats")
    yield from _defaults(sweep, asked["default"])
    for mine, other in asked["budget"]:
        yield from _compared(sweep, mine, other, "with as many weights in the end is as good as")
    yield from _lengths(sweep)
    yield from _choices(sweep)


def _keeps(sweep: Sweep, method: str, asked: dict[str, Any]) -> Iterator[str]:
    wanted = f"{100 * asked['share']:.0f} %"
    for size in sweep.sizes:
        found, share = kept(sweep, size, method), _share(sweep, method)
        if found is None or share is None:
            continue
        where = f"`{method}`, {_rows_of(sweep, size)}, {_percent(share)} of the weights:"
        gains = f"{found.gain:+.1f} points over the probe, full {found.of:+.1f}"
        if not found.full_gains:
            yield f"{where} {gains}; full's gain is not shown here, so there is no share of it to keep."
            continue
        ratio = found.gain / found.of
        verdict = _verdict(ratio >= asked["share"], found.low >= asked["share"], found.high < asked["share"])
        room = "" if share <= asked["weights"] else f" (but more than {100 * asked['weights']:.0f} % of the weights)"
        interval = f"[{100 * found.low:.0f}, {100 * found.high:.0f}]"
        yield f"{where} {gains}: {100 * ratio:.1f} % {interval} of it kept; at least {wanted} {verdict}{room}."


def _compared(sweep: Sweep, mine: str, other: str, says: str) -> Iterator[str]:
    """A line a size; `beats` wants a difference above 0, the other claim one that is not below."""
    pair = [Way(name, sweep.rate.get(name)) for name in (mine, other)]
    found = {size: against(sweep, size, *pair) for size in sweep.sizes}
    if any(name not in sweep.rate for name in (mine, other)) or all(d is None for d in found.values()):
        yield f"`{mine}` {says} `{other}`: not measured yet."
        return
    for size, seen in found.items():
        if seen is None:
            continue
        good = seen.points > 0 if says == "beats" else seen.points >= 0
        verdict = _verdict(good, seen.low > 0, seen.high < 0)
        yield f"`{mine}` {says} `{other}`, {_rows_of(sweep, size)}: {_signed(seen)} points, {verdict}."


def _verdict(good: bool, shown: bool, refuted: bool) -> str:
    if shown:
        return "shown"
    if refuted:
        return "refuted"
    return "met, within the noise" if good else "missed, within the noise"


def _defaults(sweep: Sweep, margin: float) -> Iterator[str]:
    """The rates that beat their method's default by more than the margin, or that there are none."""
    compared = 0
    for method in sweep.rate:
        for size, way, found in _others(sweep, method):
            compared += 1
            if found.points > margin:
                what = f"`{method}`, {_rows_of(sweep, size)}: {way.rate:g} beats the default {sweep.rate[method]:g}"
                yield f"{what} by {_signed(found)} points: more than {margin:g}, {_certain(found, margin)}."
    if compared == 0:
        yield "No other rate has been compared with a default yet."
    else:
        yield f"Other rates compared with their method's default, each at each size: {compared}."


def _others(sweep: Sweep, method: str) -> Iterator[tuple[int | str, Way, Difference]]:
    own = Way(method, sweep.rate[method])
    for size in sweep.sizes:
        for way in measured(sweep, method):
            found = against(sweep, size, way, own)
            if way != own and found is not None:
                yield size, way, found


def _choices(sweep: Sweep) -> Iterator[str]:
    """What choosing the weights by the other loss would have changed, all methods at their defaults together."""
    first, second = sweep.asked["choices"]
    for size in sweep.sizes:
        cells = [c for c in sweep.right if c.size == size and _is_default(sweep, c)]
        if not cells:
            continue
        gains = [100 * (sweep.chosen[second][c].mean() - sweep.chosen[first][c].mean()) for c in cells]
        better, worse = sum(g > 0 for g in gains), sum(g < 0 for g in gains)
        what = f"{_rows_of(sweep, size)}, {len(cells)} runs at their defaults"
        yield (
            f"{what}: weights chosen by the held-out loss after a temperature instead of the loss as it is: "
            f"{np.mean(gains):+.1f} points on average, {better} runs better, {worse} worse."
        )


def _is_default(sweep: Sweep, cell: Cell) -> bool:
    """Whether this is a run, not a probe, as it is where nothing is said of its rate and length."""
    return cell.rate is not None and cell.steps is None and cell.rate == sweep.rate.get(cell.method)


def _lengths(sweep: Sweep) -> Iterator[str]:
    """What other lengths would have changed."""
    for method, lengths in sweep.asked["lengths"].items():
        own = Way(method, sweep.rate.get(method))
        for size in sweep.sizes:
            for steps in lengths:
                found = against(sweep, size, Way(method, own.rate, steps), own)
                if found is not None:
                    what = f"`{method}`, {_rows_of(sweep, size)}, {steps} steps instead of its own"
                    yield f"{what}: {_signed(found)} points."


def _certain(found: Difference, margin: float) -> str:
    return "shown" if found.low > margin else "within the noise"


# Words


def _signed(found: Difference) -> str:
    """`-0.5 [-1.2, +0.2]`; without an interval where there is one seed."""
    if not np.isfinite(found.high):
        return f"{found.points:+.1f}"
    return f"{found.points:+.1f} [{found.low:+.1f}, {found.high:+.1f}]"


def _rows_of(sweep: Sweep, size: int | str) -> str:
    return f"{sweep.asked['full']:,} rows" if size == "full" else f"{size} rows"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else "all"


def _row(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"


BLOCKS: dict[str, Callable[[Sweep], str]] = {"worth": worth, "rates": by_rate, "claims": claims}
"""The name in a marker -> what stands behind it."""
