"""What a command costs before it does anything."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SARTOR = Path(sys.executable).with_name("sartor")


def measure(asked: dict[str, Any]) -> dict[str, Any]:
    """CPU milliseconds of each command in turn, repeated: median, lowest, highest."""
    taken: dict[str, list[float]] = {name: [] for name in asked["commands"]}
    for _ in range(asked["repeats"]):
        for name, words in asked["commands"].items():
            taken[name].append(_cpu_ms([str(SARTOR), *words.split()]))
    return {
        name: {"cpu_ms": round(statistics.median(ms)), "low": round(min(ms)), "high": round(max(ms))}
        for name, ms in taken.items()
    }


def _cpu_ms(words: list[str]) -> float:
    with tempfile.TemporaryDirectory() as empty:
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=empty)
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    return 1000 * (usage.ru_utime + usage.ru_stime)
