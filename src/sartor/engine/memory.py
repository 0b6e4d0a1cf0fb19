"""Memory and size of a deployed candidate, in MB of 1e6 bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sartor.data.media import as_json
from sartor.data.rows import Rows
from sartor.engine.measure import Measured
from sartor.engine.sample import requests
from sartor.errors import BadEnvironment

MB = 1e6
FEWEST_ROWS, MOST_ROWS = 32, 256
NOISE = 0.01
"""The same bundle in three processes: 551.3, 555.4 and 555.5 MB."""


def peak_memory_mb(bundle: Path, rows: Rows, *, batch: int = 1, timeout: float = 120.0, repeats: int = 1) -> Measured:
    """The peak resident memory of a fresh process that loads `bundle` and answers the longest of a sample of `rows`.

    The interpreter and its libraries are in it: it is what a deployment needs. Raises `BadEnvironment`.
    """
    asked = requests(rows).longest(min(max(FEWEST_ROWS, batch), MOST_ROWS))
    lines = [json.dumps(row, ensure_ascii=True, default=as_json) for row in asked]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        file.write_text("\n".join(lines) + "\n", "utf-8")
        return peak_memory(weighing(bundle, file, batch), timeout, repeats)


def weighing(bundle: Path, rows: Path, batch: int) -> list[str]:
    """The words that start the process; `-P` so that no file of the working folder is taken for a library."""
    return [sys.executable, "-P", "-m", "sartor.weigh", str(bundle), str(rows), str(batch)]


def peak_memory(command: Sequence[str], timeout: float = 120.0, repeats: int = 1) -> Measured:
    """MB from `command`'s own report: a last line of JSON with `peak_bytes`. Raises `BadEnvironment` where it dies.

    The range is that of the repeats and 1 % more both ways: it holds for one process too.
    """
    found = Measured.over([_peak_bytes(command, timeout) / MB for _ in range(repeats)])
    return replace(found, low=found.low * (1 - NOISE), high=found.high * (1 + NOISE))


def size_mb(folder: Path) -> Measured:
    """MB of all the files in `folder`."""
    return Measured.once(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / MB)


def _peak_bytes(command: Sequence[str], timeout: float) -> int:
    patient = {"OMP_WAIT_POLICY": "PASSIVE"} | os.environ  # threads that wait by spinning crawl on a busy machine
    try:
        done = subprocess.run(
            command, env=patient, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise _failed(f"it did not finish within {timeout:g} seconds") from None
    except OSError as error:
        raise _failed(f"it did not start ({error})") from None
    if done.returncode:
        raise _failed(_last_words(done))
    report = _report(done.stdout)
    if report is None:
        raise _failed("it wrote no report")
    return report


def _report(output: bytes) -> int | None:
    """`peak_bytes` in the last line, or None."""
    lines = output.decode("utf-8", "replace").strip().splitlines()
    try:
        value: Any = json.loads(lines[-1] if lines else "")
    except ValueError:
        return None
    found = value.get("peak_bytes") if isinstance(value, dict) else None
    return found if isinstance(found, int) else None


def _last_words(done: subprocess.CompletedProcess[bytes]) -> str:
    """How a process ended, and the last line it wrote to standard error."""
    if done.returncode < 0:
        return f"it was killed by signal {-done.returncode}" + (" (out of memory?)" if done.returncode == -9 else "")
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return f"it ended with exit code {done.returncode}" + (f": {lines[-1]}" if lines else "")


def _failed(why: str) -> BadEnvironment:
    fix = "free memory and try again; `python -m sartor.weigh BUNDLE ROWS.jsonl 1` shows all that the process says"
    return BadEnvironment("MEASURE_MEMORY", f"the process that measures memory failed: {why}", fix=fix)
