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


def _log_ticks(low: float, high: float, wanted: int) -> list[float]:
    low = max(low, 1e-12)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    finest = [1, 1.5, 2, 3, 4, 5, 7]
    for digits in ([1], [1, 3], [1, 2, 5], finest):
        found = [d * 10.0**p for p in powers for d in digits if low * 0.999 <= d * 10.0**p <= high * 1.001]
        enough = len(found) >= max(3, wanted - 3)
        if enough:
            return found[:: -(-len(found) // (wanted + 2))] if digits == [1] else found
    return found if len(found) > 2 else _even_ticks(low, high, wanted)


def tick_text(value: float, ticks: Sequence[float], scale: float = 1.0) -> str:
    """A tick's number with no more decimals than the ticks need to differ."""
    at = value * scale
    if len(ticks) > 1 and _by_ratio(ticks):
        return (
            number(at, max(0, -math.floor(math.log10(abs(at)) + 1e-9)) + (f"{at:.1e}"[2] != "0"))
            if 0 < at < 10
            else number(at, 0)
        )
    step = min((abs(b - a) for a, b in itertools.pairwise(ticks)), default=1.0) * scale
    places = next((d for d in range(7) if abs(step - round(step, d)) < step * 1e-6), 6)
    return number(at, places)


def _by_ratio(ticks: Sequence[float]) -> bool:
    return ticks[0] > 0 and ticks[-1] / ticks[0] >= 4 and abs((ticks[1] - ticks[0]) - (ticks[-1] - ticks[-2])) > 1e-9


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
