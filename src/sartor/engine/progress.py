"""Progress: where a piece of work stands. Torch-free, so that whoever shows it costs nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One look at running work.

    stage         what is being done, such as "race"
    done, total   in the stage's own unit; `total` is None where it is not known
    seconds_left  until the whole work ends, or None where it cannot be told yet
    message       the latest finding, in a few words
    """

    stage: str
    done: float = 0.0
    total: float | None = None
    seconds_left: float | None = None
    message: str = ""
