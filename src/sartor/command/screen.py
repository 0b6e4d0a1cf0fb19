"""What moves on stderr while a verb works: one live line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import os
import time
from typing import Any, TextIO

from sartor.engine.progress import Progress
from sartor.errors import one_line

PAUSE = 10.0  # seconds between plain lines


class Screen:
    """Shows progress on `stream`; `close` takes the live line away."""

    def __init__(self, stream: TextIO, quiet: bool) -> None:
        self.stream = stream
        self.quiet = quiet
        self.live: Any = None
        self.told = time.monotonic()

    def show(self, progress: Progress) -> None:
        if self.quiet:
            return
        if self.stream.isatty() and os.environ.get("TERM") != "dumb":
            self._redraw(line(progress))
        elif time.monotonic() - self.told >= PAUSE:
            self.told = time.monotonic()
            print(line(progress), file=self.stream, flush=True)

    def _redraw(self, text: str) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        if self.live is None:
            console = Console(file=self.stream, stderr=True)
            self.live = Live(
                console=console, transient=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
            )
            self.live.start()
        self.live.update(Text(text, style="dim", no_wrap=True, overflow="ellipsis"), refresh=True)

    def close(self) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None


def line(progress: Progress) -> str:
    """`race 12/40, 1m 20s left: lora leads`"""
    done = f" {progress.done:g}" if progress.total is None and progress.done else ""
    share = done if progress.total is None else f" {progress.done:g}/{progress.total:g}"
    left = "" if progress.seconds_left is None else f", {duration(progress.seconds_left)} left"
    message = f": {progress.message}" if progress.message else ""
    return one_line(f"{progress.stage}{share}{left}{message}")


def duration(seconds: float) -> str:
    """`45s`, `3m 05s`, `2h 10m`"""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    return f"{whole // 60}m {whole % 60:02d}s" if whole < 3600 else f"{whole // 3600}h {whole % 3600 // 60:02d}m"
