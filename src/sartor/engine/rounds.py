"""Rounds: every subject asked in turn, again and again, with a fixed piece of work timed in between.

Time on a shared machine comes in good and bad stretches. Subjects that take turns share them, and the fixed work tells
how good each stretch was.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

from sartor.data.rows import Rows
from sartor.engine.sample import Requests
from sartor.predictions import Predictions

Answer = Callable[[Rows], Predictions]
"""A deployed candidate: raw rows in, predictions out, tokenisation included."""
Clock = Callable[[], float]
Work = Callable[[], None]

LADDER = (1, 8, 32, 128, 512)
CLIMB_SHARE = 0.3
"""At most about this share of the time goes into finding each subject's best batch size."""
SINGLES_SHARE = 0.5
"""Share of a turn for single requests; the rest is for batches."""
LARGEST_BATCH = 0.8
"""A batch takes at most this share of a turn, so that every turn has one."""
MOST = 2000
"""Requests, and batches, in one turn at most."""
INSTANT = 1e-9


@dataclass(frozen=True)
class Turn:
    """What one subject did in one round: seconds of each single request, then rows and seconds in batches."""

    latencies: tuple[float, ...]
    rows: int
    seconds: float


@dataclass
class Runner:
    """A subject while it is measured. `ladder`: batch size -> rows per second, on the way to the `best` size."""

    name: str
    answer: Answer
    requests: Requests
    clock: Clock
    asked: int = 0
    batches: int = 0
    best: int = 1
    request_seconds: float = 0.0
    batch_seconds: float = 0.0
    ladder: dict[int, float] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)

    def ask(self) -> float:
        """Seconds of the next single request."""
        self.asked += 1
        return self._seconds(self.requests.one(self.asked - 1))

    def ask_batch(self, size: int) -> float:
        """Seconds of the next batch."""
        self.batches += 1
        return self._seconds(self.requests.batch(size, self.batches - 1))

    def least(self) -> float:
        """Seconds of the shortest turn."""
        return self.request_seconds + (self.batch_seconds if self.best > 1 else 0.0)

    def _seconds(self, rows: Rows) -> float:
        started = self.clock()
        self.answer(rows)
        return self.clock() - started


def run(
    subjects: Mapping[str, Answer], requests: Requests, seconds: float, repeats: int, clock: Clock, work: Work
) -> tuple[list[Runner], list[list[float]]]:
    """Every subject's turns, and per round the seconds of the fixed work before, between and after them.

    Ends by `seconds`, with fewer rounds if need be; only two requests and the fixed work are done at any price.
    """
    runners = [Runner(name, answer, requests, clock) for name, answer in subjects.items()]
    deadline = clock() + seconds
    each = seconds / len(runners)
    references: list[list[float]] = []
    with _without_garbage_collection():
        work()
        for runner in runners:
            _climb(runner, each * (1 - CLIMB_SHARE) / repeats * LARGEST_BATCH, clock() + each * CLIMB_SHARE)
        for number in range(repeats):
            if number and clock() + sum(r.least() for r in runners) + sum(references[-1]) > deadline:
                break
            references.append(_round(rotated(runners, number), deadline, (repeats - number) * len(runners), work))
    return runners, references


def fixed_work() -> Work:
    """About 5 ms of what answering is made of, always the same: fp32 products, large and small, and a loop."""
    import torch

    large, rows = torch.full((448, 448), 0.5), torch.full((16, 384), 0.5)
    wide, narrow = torch.full((384, 1536), 0.001), torch.full((1536, 384), 0.001)

    def work() -> None:
        torch.mm(large, large)
        for _ in range(2):  # many short parallel stretches: what suffers most where processors are oversubscribed
            torch.nn.functional.gelu(rows @ wide) @ narrow
        total = 0
        for i in range(40_000):
            total += i & 7

    return work


def rotated(runners: list[Runner], number: int) -> list[Runner]:
    """The order of round `number`: in as many rounds as there are subjects, each stands at every place once."""
    first = number % len(runners)
    return runners[first:] + runners[:first]


def _round(runners: list[Runner], deadline: float, turns_left: int, work: Work) -> list[float]:
    """One turn of each, in the given order; what one leaves of its time goes to those after it."""
    clock = runners[0].clock
    readings = [_timed(work, clock)]
    for place, runner in enumerate(runners):
        now = clock()
        share = (deadline - now) / (turns_left - place)
        runner.turns.append(_turn(runner, now, now + share - readings[-1]))
        readings.append(_timed(work, clock))
    return readings


def _turn(runner: Runner, now: float, end: float) -> Turn:
    """Single requests, then batches, at least one of each, until `end`."""
    if end - now > 4 * runner.least():
        runner.ask()  # not counted: a served model need not win its caches back from a rival
    if runner.best == 1:
        latencies = _repeat(runner.ask, runner.request_seconds, end, runner.clock)
        return Turn(latencies, len(latencies), sum(latencies))
    singles_end = min(now + (end - now) * SINGLES_SHARE, end - runner.batch_seconds)
    latencies = _repeat(runner.ask, runner.request_seconds, singles_end, runner.clock)
    batches = _repeat(lambda: runner.ask_batch(runner.best), runner.batch_seconds, end, runner.clock)
    return Turn(latencies, len(batches) * runner.best, sum(batches))


def _repeat(once: Callable[[], float], expected: float, end: float, clock: Clock) -> tuple[float, ...]:
    """The seconds of one call, and of more while the next, if it takes as long as `expected`, ends by `end`."""
    taken = [once()]
    while len(taken) < MOST and clock() + expected <= end:
        taken.append(once())
    return tuple(taken)


def _climb(runner: Runner, limit: float, until: float) -> None:
    """Find the best batch size among those whose batches take at most `limit` seconds; warms the subject up too."""
    runner.request_seconds = runner.ask()
    if runner.clock() + runner.request_seconds < until:
        runner.request_seconds = runner.ask()  # the first one paid for what is built once
    took = {1: runner.request_seconds}
    for below, size in pairwise(LADDER):
        hoped = took[below] * size / below / 2  # a larger batch is worth trying only if it is that much faster per row
        if size > len(runner.requests.rows) or hoped > min(limit, until - runner.clock()):
            break
        took[size] = runner.ask_batch(size)
        if runner.clock() + took[size] < until:
            took[size] = min(took[size], runner.ask_batch(size))
        if took[size] > limit:
            break
    runner.ladder = {size: size / max(spent, INSTANT) for size, spent in took.items()}
    runner.best = _smallest_of_the_fastest(
        {s: speed for s, speed in runner.ladder.items() if s == 1 or took[s] <= limit}
    )
    runner.batch_seconds = took[runner.best]


def _smallest_of_the_fastest(ladder: Mapping[int, float]) -> int:
    """The smallest batch size within 5 % of the highest speed: beyond it a batch only makes its rows wait."""
    most = max(ladder.values())
    return min(size for size, speed in ladder.items() if speed >= 0.95 * most)


def _timed(work: Work, clock: Clock) -> float:
    started = clock()
    work()
    return clock() - started


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """A collection that falls into one subject's turn is not its cost."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
