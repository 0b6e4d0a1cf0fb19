"""What the sweep over methods says of the claims in its experiment file, whichever way it falls: one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from equivalence import Difference
from method_cells import Cell
from method_numbers import Sweep, Way, against, kept, measured, percent, rows_of, signed, trained_share


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
        found, part = kept(sweep, size, method), trained_share(sweep, method)
        if found is None or part is None:
            continue
        where = f"`{method}`, {rows_of(sweep, size)}, {percent(part)} of the weights:"
        gains = f"{found.gain:+.1f} points over the probe, full {found.of:+.1f}"
        if not found.full_gains:
            yield f"{where} {gains}; full's gain is not shown here, so there is no share of it to keep."
            continue
        ratio = found.gain / found.of
        verdict = _verdict(ratio >= asked["share"], found.low >= asked["share"], found.high < asked["share"])
        room = "" if part <= asked["weights"] else f" (but more than {100 * asked['weights']:.0f} % of the weights)"
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
        yield f"`{mine}` {says} `{other}`, {rows_of(sweep, size)}: {signed(seen)} points, {verdict}."


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
                what = f"`{method}`, {rows_of(sweep, size)}: {way.rate:g} beats the default {sweep.rate[method]:g}"
                yield f"{what} by {signed(found)} points: more than {margin:g}, {_certain(found, margin)}."
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
        what = f"{rows_of(sweep, size)}, {len(cells)} runs at their defaults"
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
                    what = f"`{method}`, {rows_of(sweep, size)}, {steps} steps instead of its own"
                    yield f"{what}: {signed(found)} points."


def _certain(found: Difference, margin: float) -> str:
    return "shown" if found.low > margin else "within the noise"
