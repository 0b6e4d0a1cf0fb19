"""measure: the one ruler. Every number it gives has a range, and overlapping ranges are ties.

The numbers are as the clock gave them. Dividing each turn by how slow the fixed work was around it was tried and
dropped: on a mildly busy machine it made the range of a subject's rounds 1.5 to 4 times as wide, and where rivals came
and went it narrowed the ranges by a quarter but moved the medians as much or more from run to run. The fixed work is
reported instead, so that a slow round is told from a slow candidate.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sartor.data.rows import Rows
from sartor.engine.rounds import INSTANT, Answer, Clock, Runner, Work, fixed_work, run
from sartor.engine.sample import requests
from sartor.errors import BadInput

__all__ = ["Answer", "Costs", "Measured", "Reference", "Timing", "measure"]

ENOUGH_FOR_P99 = 100
"""Requests in a round from which the round has a 99th percentile of its own."""
TOO_FEW = 3
"""Fewer rounds than this say nothing about a range, so it is stretched `STRETCH`-fold both ways."""
STRETCH = 2.0


@dataclass(frozen=True)
class Measured:
    """A number measured `repeats` times: the median, the lowest and the highest.

    The ranges of two equal subjects miss each other in 2 of 252 comparisons with 5 repeats, in 2 of 20 with 3.
    """

    value: float
    low: float
    high: float
    repeats: int

    @classmethod
    def over(cls, values: Sequence[float]) -> Self:
        """The median and the range of `values`."""
        return cls(float(np.median(values)), float(min(values)), float(max(values)), len(values))

    @classmethod
    def once(cls, value: float) -> Self:
        """A number that was taken once and has no range, such as a size."""
        return cls(value, value, value, 1)

    def overlaps(self, other: Measured) -> bool:
        """Whether the two ranges share a value: a tie."""
        return self.low <= other.high and other.low <= self.high

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Costs:
    """What a candidate costs. MB are 1e6 bytes; None: not measured."""

    latency_ms_p50: Measured
    latency_ms_p99: Measured
    throughput_rows_per_s: Measured
    best_batch: int
    peak_memory_mb: Measured | None = None
    size_mb: Measured | None = None
    train_seconds: Measured | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Timing:
    """How fast one subject answers.

    best_batch   the smallest batch size within 5 % of the most rows per second, of those that the time allowed to try
    requests     single requests behind the latencies
    ladder       batch size -> rows per second on the way to the best
    """

    latency_ms_p50: Measured
    latency_ms_p99: Measured
    throughput_rows_per_s: Measured
    best_batch: int
    requests: int
    ladder: dict[int, float]

    def costs(
        self,
        *,
        peak_memory_mb: Measured | None = None,
        size_mb: Measured | None = None,
        train_seconds: Measured | None = None,
    ) -> Costs:
        """All costs, with what was measured elsewhere."""
        speed = (self.latency_ms_p50, self.latency_ms_p99, self.throughput_rows_per_s, self.best_batch)
        return Costs(*speed, peak_memory_mb=peak_memory_mb, size_mb=size_mb, train_seconds=train_seconds)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Reference:
    """The milliseconds of the fixed work, the median of each round: how steady the machine was."""

    ms: Measured
    rounds: tuple[float, ...]

    @property
    def drift(self) -> float:
        """The slowest round over the fastest: 1 on a quiet machine; above 2, rivals were at work."""
        return self.ms.high / self.ms.low if self.ms.low else 1.0

    def to_json(self) -> dict[str, Any]:
        return {"ms": self.ms.to_json(), "rounds": list(self.rounds), "drift": self.drift}


def measure(
    subjects: Mapping[str, Answer],
    rows: Rows,
    *,
    seconds: float = 10.0,
    repeats: int = 5,
    clock: Clock = time.perf_counter,
    work: Work | None = None,
) -> tuple[dict[str, Timing], Reference]:
    """Latency and throughput of every subject on a sample of `rows`, in `seconds` for all of them together.

    In each of `repeats` rounds every subject takes a turn, in rotated order: single requests (latency), then batches of
    its best size (throughput), the fixed `work` timed before and after. Where `seconds` are too few there are fewer
    rounds. About 3 seconds per subject let a small encoder on two cores reach its best batch size.
    """
    if not len(rows):
        fix = "give at least one row; measurements are made on your own rows"
        raise BadInput("MEASURE_ROWS", "there are no rows to measure on", fix=fix, where=rows.source)
    runners, readings = run(subjects, requests(rows), seconds, repeats, clock, work or fixed_work())
    rounds = tuple(1e3 * float(np.median(found)) for found in readings)
    return {runner.name: _timing(runner) for runner in runners}, Reference(Measured.over(rounds), rounds)


def _timing(runner: Runner) -> Timing:
    ladder = {size: size / max(seconds, INSTANT) for size, seconds in runner.took.items()}
    latencies = [1e3 * np.array(turn.latencies) for turn in runner.turns]
    p50 = Measured.over([float(np.median(found)) for found in latencies])
    speed = Measured.over([turn.rows / max(turn.seconds, INSTANT) for turn in runner.turns])
    p50, p99, speed = (_stretched(m) for m in (p50, _p99(latencies), speed))
    return Timing(p50, p99, speed, runner.best, sum(map(len, latencies)), ladder)


def _p99(latencies: Sequence[NDArray[np.float64]]) -> Measured:
    """The median of the rounds' 99th percentiles; with few requests in a round, that of all the rounds' together."""
    tails = Measured.over([_tail(found) for found in latencies])
    if min(map(len, latencies)) >= ENOUGH_FOR_P99:
        return tails
    return replace(tails, value=_tail(np.concatenate(latencies)))


def _tail(latencies: NDArray[np.float64]) -> float:
    """The latency that 99 % of them do not exceed: one of them, so that few requests do not dilute the slowest."""
    return float(np.quantile(latencies, 0.99, method="inverted_cdf"))


def _stretched(found: Measured) -> Measured:
    if found.repeats >= TOO_FEW:
        return found
    return replace(found, low=found.low / STRETCH, high=found.high * STRETCH)
