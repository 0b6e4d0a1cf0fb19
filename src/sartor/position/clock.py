"""The budget: wall time, from the moment the user pressed return."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Budget:
    """Seconds that may pass; `spent` were used before (start-up, or an earlier try that is being resumed)."""

    seconds: float
    spent: float = 0.0
    now: Callable[[], float] = time.monotonic
    began: float = field(default=-1.0)

    def started(self) -> Budget:
        return Budget(self.seconds, self.spent, self.now, self.now())

    @property
    def used(self) -> float:
        return self.spent + (self.now() - self.began if self.began >= 0 else 0.0)

    @property
    def left(self) -> float:
        return self.seconds - self.used
