"""Scales: data -> pixels, and the ticks a person would choose."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from sartor.report.quantities import number


@dataclass(frozen=True)
class Scale:
    """From [start, stop] in data to [first, last] in pixels, by ratio where `log`. Values outside are clamped."""

    start: float
    stop: float
    first: float
    last: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (self._place(v) for v in (self.start, self.stop, value))
        share = 0.5 if high == low else (at - low) / (high - low)
        return self.first + min(1.0, max(0.0, share)) * (self.last - self.first)

    def holds(self, value: float) -> bool:
        return min(self.start, self.stop) <= value <= max(self.start, self.stop)

    def ticks(self, wanted: int) -> list[float]:
        """About `wanted` round values inside the scale."""
        low, high = sorted((self.start, self.stop))
        return _log_ticks(low, high, wanted) if self.log else _even_ticks(low, high, wanted)

    def _place(self, value: float) -> float:
        return math.log10(max(value, 1e-12)) if self.log else value


def _even_ticks(low: float, high: float, wanted: int) -> list[float]:
    if not high > low:
        return [low]
    rough = (high - low) / max(1, wanted)
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


_DIGITS = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7))


def _log_ticks(low: float, high: float, wanted: int) -> list[float]:
    """The set of digits that gives the number of ticks nearest to `wanted`; over many decades, every n-th power."""
    low = max(low, 1e-12)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    sets = [[d * 10.0**p for p in powers for d in digits if low <= d * 10.0**p <= high] for digits in _DIGITS]
    found = min(sets, key=lambda ticks: abs(len(ticks) - wanted))
    if len(found) < 3:
        return _even_ticks(low, high, wanted)
    return found[:: math.ceil(len(found) / (wanted + 2))] if found is sets[0] else found


def tick_text(value: float, ticks: Sequence[float], scale: float = 1.0) -> str:
    """A tick's number: as many decimals as all need to differ, or as it alone needs where the ticks go by ratio."""
    steps = [abs(b - a) * scale for a, b in itertools.pairwise(ticks)] or [1.0]
    by_ratio = max(steps) > 4.5 * min(steps)
    return number(value * scale, _decimals(abs(value) * scale if by_ratio else min(steps)))


def _decimals(value: float) -> int:
    return next((d for d in range(7) if abs(value - round(value, d)) <= value * 1e-6), 6)


def padded_log(values: Sequence[float], margin: float = 0.06) -> tuple[float, float]:
    """The range of positive `values` with a margin by ratio, never less than a factor of three."""
    low, high = math.log10(min(values)), math.log10(max(values))
    missing = max(0.0, math.log10(3) - (high - low)) / 2
    room = max(high - low, math.log10(3)) * margin + missing
    return 10 ** (low - room), 10 ** (high + room)


def focus(values: Sequence[float]) -> tuple[float, float]:
    """The range worth the ink: all values, less a few that lie so far off that the rest would be squashed together."""
    ordered = sorted(values)
    low, high = 0, len(ordered) - 1
    allowed = len(ordered) // 4
    while low + len(ordered) - 1 - high < allowed:
        span = ordered[high] - ordered[low]
        down, up = ordered[low + 1] - ordered[low], ordered[high] - ordered[high - 1]
        if span <= 0 or max(down, up) < 0.35 * span:
            break
        low, high = (low + 1, high) if down >= up else (low, high - 1)
    return ordered[low], ordered[high]
