"""Effort: what a run's updates took, as it was measured while they were made.

The memory is the most that was resident in the process since its training began, the interpreter, its libraries and
the data included: what a machine must have to train this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from sartor.weigh import begin_again, high_water_mark

MB = 1e6


@dataclass
class Effort:
    """Seconds of every update that this process made, and since when its memory is watched."""

    since: str
    took: list[float] = field(default_factory=list)

    @classmethod
    def begin(cls) -> Self:
        """Watch from now on."""
        import torch

        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        return cls("the start of training" if begin_again() else "the start of the process")

    def told(self) -> dict[str, Any]:
        """Plain values: peak bytes and since when, updates timed, their median and middle half in seconds."""
        import numpy as np
        import torch

        found: dict[str, Any] = {"peak_bytes": high_water_mark(), "since": self.since, "updates": len(self.took)}
        if torch.cuda.is_available():
            found |= {"device_peak_bytes": int(torch.cuda.max_memory_allocated())}
        if self.took:
            low, middle, high = (float(q) for q in np.quantile(self.took, [0.25, 0.5, 0.75]))
            found |= {"step_seconds": {"value": middle, "low": low, "high": high}}
        return found


def effort_costs(told: Mapping[str, Any]) -> dict[str, Any]:
    """What of it stands among the costs, in their units."""
    peak = told["peak_bytes"] / MB
    costs: dict[str, Any] = {"training_memory_mb": {"value": peak, "low": peak, "high": peak}}
    if "step_seconds" in told:
        costs |= {"step_ms": {name: 1e3 * value for name, value in told["step_seconds"].items()}}
    return costs
