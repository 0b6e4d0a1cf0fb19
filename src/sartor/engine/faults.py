"""Faults inside training: an update that is no number, memory that does not suffice, a signal in the wrong moment.

What happened is part of the run and is kept in its checkpoints, so that a resumed run goes on as it would have.
"""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Literal

from sartor.batch import Batch
from sartor.errors import BadEnvironment, out_of_memory
from sartor.network import Network

Policy = Literal["skip", "halve", "stop"]
IN_A_ROW = 10
"""Updates in a row that are not applied before a run has diverged: no single bad row does that."""


@dataclass
class Faults:
    """What went wrong in a run so far, and what follows from it.

    at_once    rows in one pass, where memory did not suffice for the plan's; none: as planned
    halvings   how often the rate was halved
    unapplied  updates that were not applied, `in_a_row` of them the latest ones
    """

    at_once: int | None = None
    halvings: int = 0
    unapplied: int = 0
    in_a_row: int = 0

    def share(self) -> float:
        """What is left of the planned rate."""
        return 0.5**self.halvings

    def judge(self, loss: float, norm: float, policy: Policy) -> bool:
        """Whether an update may be applied: its loss and the norm of its gradient are numbers. Taken down if not."""
        if math.isfinite(loss) and math.isfinite(norm):
            self.in_a_row = 0
            return True
        self.unapplied, self.in_a_row = self.unapplied + 1, self.in_a_row + 1
        self.halvings += policy == "halve"
        return False

    def diverged(self, policy: Policy) -> bool:
        """Whether the run should end: at the first such update, or after many in a row."""
        return self.in_a_row >= (1 if policy == "stop" else IN_A_ROW)


def within_memory(
    descend: Callable[[int], float], net: Network, batch: Batch, size: int, faults: Faults, alone: bool = True
) -> float:
    """The loss by `descend(rows in one pass)`, which gathers the gradients of `batch`; again in halves while memory
    does not suffice. The gradients of a failed try are dropped, so the update is that of a run of the smaller size.

    The size that fits is remembered. Raises `BadEnvironment` where a single row does not fit. Where several processes
    train together (not `alone`) nothing is tried again: the others know nothing of it.
    """
    found = min(size, faults.at_once or size)
    while True:
        try:
            loss = descend(found)
            break
        except (MemoryError, RuntimeError) as error:
            if not alone or not out_of_memory(error):
                raise
        net.zero_grad(set_to_none=True)  # after the except, which holds the failed pass's tensors
        found = min(found, len(batch))
        if found == 1:
            raise _too_large(batch)
        found = -(-found // 2)
    if found < size:
        faults.at_once = found
    return loss


def _too_large(batch: Batch) -> BadEnvironment:
    longest = int(batch.lengths.argmax())
    row, tokens = int(batch.rows[longest].flatten()[0]), int(batch.lengths[longest])
    fix = (
        "close other programs and go on with --resume, or start again with shorter rows (max_length of the backbone) "
        "or a method that trains less (lora, probe)"
    )
    return BadEnvironment(
        "MEMORY", f"memory does not suffice to train on one row (row {row}, {tokens} tokens)", fix=fix
    )


@contextmanager
def undisturbed() -> Iterator[None]:
    """Signals that Python would answer with an exception wait until the end: an update is applied whole or not at all.

    Only the main thread gets such signals; handlers that are not Python's are left as they are."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def wait(number: int, _: FrameType | None) -> None:
        came.append(number)

    asked = (signal.SIGINT, signal.SIGTERM)
    before = {number: kept for number in asked if callable(kept := signal.getsignal(number))}
    try:
        for number in before:
            signal.signal(number, wait)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for one in came:
        before[signal.Signals(one)](one, None)
