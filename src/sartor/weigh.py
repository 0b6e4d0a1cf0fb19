"""`python -m sartor.weigh BUNDLE ROWS.jsonl BATCH`: load a bundle, answer the rows, report the memory it took.

A process of its own, because memory that was freed or shared by others cannot be told from what a deployment needs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def weigh(bundle: Path, rows: Path, batch: int) -> dict[str, Any]:
    """Answer the JSON lines in `rows`, `batch` at a time; returns their number and the high-water mark in bytes."""
    from sartor.bundle import Bundle

    deployed = Bundle.load(bundle)
    asked = [json.loads(line) for line in rows.read_text("utf-8").split("\n") if line]
    for start in range(0, len(asked), batch):
        deployed.predict(asked[start : start + batch])
    return {"rows": len(asked), "peak_bytes": high_water_mark()}


def high_water_mark() -> int:
    """The most bytes of memory that this process has had resident.

    Linux: VmHWM, which begins anew with the program; `ru_maxrss` would include what its parent held when it forked.
    """
    try:
        lines = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
    except OSError:
        lines = []
    found = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
    return int(found) * 1024 if found else _most_resident()


def begin_again() -> bool:
    """Let the high-water mark begin from what is resident now; whether this machine can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", "ascii")
    except OSError:
        return False
    return True


def _most_resident() -> int:
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # macOS counts bytes, the others kilobytes


def main(words: Sequence[str]) -> None:
    """Write the report as the last line of standard output."""
    bundle, rows, batch = words
    sys.stdout.write("\n" + json.dumps(weigh(Path(bundle), Path(rows), int(batch))) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
