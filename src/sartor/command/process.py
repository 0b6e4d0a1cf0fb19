"""The process around a verb: quiet libraries, signals, crash reports. Nothing else touches the environment."""

from __future__ import annotations

import errno
import os
import platform
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from sartor import __version__
from sartor.engine import launch
from sartor.errors import BadEnvironment, BadInput, Interrupted, SartorError, disk_full, one_line, out_of_memory

KEPT = "run the same command again with --resume to go on from what was finished"
_QUIET = {
    "GOMP_SPINCOUNT": "5000",  # waiting threads sleep soon: as fast on an idle machine, twice as fast on a busy one
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TORCH_CPP_LOG_LEVEL": "ERROR",  # notes of torch.distributed to its developers
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}


def quiet_libraries(argv: Sequence[str]) -> None:
    """No chatter, no bars, no telemetry; and no network unless the words ask for it. What the user set stays."""
    import warnings

    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if not any(word.startswith("hf:") or "encoder" in word for word in argv):
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    warnings.simplefilter("ignore")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def signals() -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM raise `Interrupted`, once; the second ends the process. Yields the signals that came."""
    came: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        if came and launch.world() > 1:
            return  # a launcher passes on what its processes have heard already; it has its own last word
        if came:
            os._exit(128 + number)
        came.append(number)
        raise Interrupted(number, kept=KEPT)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def muffled() -> Iterator[None]:
    """What libraries print goes nowhere: stdout and stderr belong to the command line."""
    from contextlib import redirect_stderr, redirect_stdout

    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def as_ours(error: BaseException, argv: Sequence[str]) -> SartorError:
    """Any exception as the sentence to show; a bug of ours is written down in a crash report."""
    if isinstance(error, SartorError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted(signal.SIGINT, kept=KEPT)
    if out_of_memory(error):
        fix = "close other programs, or give fewer rows or a smaller batch"
        return BadEnvironment("MEMORY", "the memory of this machine does not suffice", fix=fix)
    if launch.world() > 1 and isinstance(error, RuntimeError) and "by peer" in str(error):
        fix = "see what the others say, and run the same command again with --resume"
        return BadEnvironment("PEER_LOST", "another of the processes that train together has ended", fix=fix)
    if disk_full(error):
        where = str(getattr(error, "filename", None) or "")
        return BadEnvironment("DISK_FULL", "the disk is full", fix="free some space", where=where)
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        where = str(error.filename or "")
        return BadInput("PATH_PERMISSION", "this may not be read or written", fix="change its permissions", where=where)
    return _bug(error, argv)


def _bug(error: BaseException, argv: Sequence[str]) -> SartorError:
    words = one_line(" ".join(argv))
    head = (
        f"sartor {__version__}, Python {platform.python_version()}, {platform.platform()}\ncommand: sartor {words}\n\n"
    )
    handle, name = tempfile.mkstemp(prefix="sartor-crash-", suffix=".txt", text=True)
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as report:
        report.write(head + "".join(traceback.format_exception(error)))
    message = f"Sartor failed ({type(error).__name__}); this is a bug"
    return SartorError("BUG", message, fix=f"report it with the file {Path(name)}")
