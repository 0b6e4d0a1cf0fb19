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
    """A subject while it is measured. `took`: batch size -> its fewest seconds, on the way to the `best` size."""

    name: str
    answer: Answer
    requests: Requests
    clock: Clock
    asked: int = 0
    batches: int = 0
    best: int = 1
    took: dict[int, float] = field(default_factory=dict)
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
        return self.took[1] + (self.took[self.best] if self.best > 1 else 0.0)

    def keep(self, size: int, seconds: float) -> None:
        """Remember a batch's seconds if they are the fewest so far: what came in between only makes it slower."""
        self.took[size] = min(seconds, self.took.get(size, seconds))

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
        _find_best(runners, each * (1 - CLIMB_SHARE) / repeats * LARGEST_BATCH, each * CLIMB_SHARE)
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
        latencies = _repeat(runner.ask, runner.took[1], end, runner.clock)
        return Turn(latencies, len(latencies), sum(latencies))
    singles_end = min(now + (end - now) * SINGLES_SHARE, end - runner.took[runner.best])
    latencies = _repeat(runner.ask, runner.took[1], singles_end, runner.clock)
    batches = _repeat(lambda: runner.ask_batch(runner.best), runner.took[runner.best], end, runner.clock)
    return Turn(latencies, len(batches) * runner.best, sum(batches))


def _repeat(once: Callable[[], float], expected: float, end: float, clock: Clock) -> tuple[float, ...]:
    """The seconds of one call, and of more while the next, if it takes as long as `expected`, ends by `end`."""
    taken = [once()]
    while len(taken) < MOST and clock() + expected <= end:
        taken.append(once())
    return tuple(taken)


def _find_best(runners: list[Runner], limit: float, seconds: float) -> None:
    """Each subject's best batch size, in two passes over all of them, so that one bad moment decides nothing."""
    for _ in range(2):
        for runner in runners:
            _climb(runner, limit, runner.clock() + seconds / 2)
    for runner in runners:
        runner.best = _best(runner.took, limit)


def _climb(runner: Runner, limit: float, until: float) -> None:
    """Try larger and larger batches while one takes at most `limit` seconds; warms the subject up at every size too."""
    for _ in range(2):  # the very first request pays for what is built once
        if not runner.took or runner.clock() + runner.took[1] < until:
            runner.keep(1, runner.ask())
    for below, size in pairwise(LADDER):
        hoped = runner.took[below] * size / below / 2  # a larger batch is worth trying only if it is that much faster
        if size > len(runner.requests.rows) or hoped > min(limit, until - runner.clock()):
            return
        runner.keep(size, runner.ask_batch(size))
        if runner.took[size] > limit:
            return


def _best(took: Mapping[int, float], limit: float) -> int:
    """The smallest batch size within 5 % of the highest speed: beyond it a batch only makes its rows wait."""
    speed = {size: size / max(seconds, INSTANT) for size, seconds in took.items() if size == 1 or seconds <= limit}
    return min(size for size in speed if speed[size] >= 0.95 * max(speed.values()))


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
