"""Every error Sartor raises on purpose.

SartorError
├── BadInput          exit 2: the user's words, files or data; nothing was written
├── BadEnvironment    exit 3: memory, disk, a missing extra, a device
├── GateFailed        exit 4: the work was done and a stated limit was not met
└── Interrupted       exit 130 or 143: a signal; what was finished is kept

An error is one sentence: `error[CODE]: where: what is wrong. Fix: what to do.`
"""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable

_MEMORY = re.compile(r"DefaultCPUAllocator|(can't|cannot) allocate memory|out of memory|bad_alloc", re.IGNORECASE)
_DISK = {errno.ENOSPC, errno.EDQUOT}


class SartorError(Exception):
    """One sentence that says where, what is wrong and what would be right."""

    exit_code = 1

    def __init__(self, code: str, message: str, *, fix: str, where: str = "") -> None:
        self.code = code
        self.message = message.rstrip(".")
        self.fix = fix.rstrip(".")
        self.where = where
        Exception.__init__(self, self.sentence())

    def sentence(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return one_line(f"error[{self.code}]: {place}{self.message}. Fix: {self.fix}.")

    def to_json(self) -> dict[str, str]:
        return {"code": self.code, "message": self.message, "fix": self.fix, "where": self.where}


class BadInput(SartorError):
    """The user's words, files or data are wrong; nothing was written."""

    exit_code = 2


class BadEnvironment(SartorError):
    """The machine lacks something: memory, disk, a device, an optional package."""

    exit_code = 3


class GateFailed(SartorError):
    """The work was finished and a stated limit was not met."""

    exit_code = 4


class Interrupted(SartorError):
    """A signal stopped the work; what was finished is kept and can be resumed."""

    def __init__(self, signal_number: int, *, kept: str) -> None:
        self.exit_code = 128 + signal_number
        name = {2: "Ctrl-C", 15: "SIGTERM"}.get(signal_number, f"signal {signal_number}")
        SartorError.__init__(self, "INTERRUPTED", f"stopped by {name}", fix=kept)


def out_of_memory(error: BaseException) -> bool:
    """Whether memory did not suffice: Python's word for it, or one of torch's."""
    torch_says = type(error).__name__ == "OutOfMemoryError" or (
        isinstance(error, RuntimeError) and _MEMORY.search(str(error)) is not None
    )
    return isinstance(error, MemoryError) or torch_says


def disk_full(error: BaseException) -> bool:
    """Whether the disk, or the quota on it, is full: Python's word for it, or that of a library written in Rust."""
    said = re.search(r"\(os error (\d+)\)", str(error))
    number = error.errno if isinstance(error, OSError) else int(said[1]) if said else None
    return number in _DISK


def one_line(text: str) -> str:
    """`text` on one line, without the control and direction marks that could forge a terminal's output."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(shown.split())


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to `name`, or None where none is close (difflib ratio >= 0.6)."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The fix for a misspelt name: the nearest known one, then all of them."""
    names = sorted(known)
    close = nearest(name, names)
    shown = ", ".join(names[:30]) + (f" and {len(names) - 30} more" if len(names) > 30 else "")
    return (f"did you mean '{close}'? Known: {shown}") if close else f"known: {shown}"


def missing_extra(package: str, extra: str, purpose: str) -> BadEnvironment:
    """The error for an optional package that is not installed."""
    return BadEnvironment(
        "EXTRA_MISSING",
        f"{purpose} needs the package '{package}', which is not installed",
        fix=f'pip install "sartor[{extra}]"',
    )
