"""The memory that training takes, in a process of its own: `python benchmarks/training_memory.py JSON`.

Reports bytes: `loaded` resident after the imports, the model and the encoded rows; `peak` the process's high-water mark
after one epoch; `above` the mark of the epoch alone over `loaded`.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from sets import Material, load

from sartor.weigh import high_water_mark


def weigh(asked: dict[str, Any]) -> dict[str, int]:
    pool = load(asked["data"], asked["rows"])
    with tempfile.TemporaryDirectory() as made:
        step = SIDES[asked["side"]](pool, asked, Path(made))
        loaded = psutil.Process().memory_info().rss
        before = high_water_mark()
        _restart_mark()
        step()
        trained = high_water_mark()
    return {"loaded": loaded, "peak": max(before, trained), "above": trained - loaded}


def _sartor(pool: Material, asked: dict[str, Any], folder: Path) -> Callable[[], Any]:
    import ours

    from sartor.engine.train import advance

    examples = ours.encoded(pool)
    run = ours.begun(pool, asked["method"], examples, asked["batch"], 1.0, 0)
    return lambda: list(advance(run, examples, run.recipe.plan.steps(len(examples))))


def _defaults(pool: Material, asked: dict[str, Any], folder: Path) -> Callable[[], Any]:
    from dataclasses import replace

    import ours
    import peers

    peer = replace(peers.DEFAULT, batch=asked["batch"])
    return peers.trainer_of(pool, ours.method_of(asked["method"]), peer, 1.0, 0, folder)[0].train


def _restart_mark() -> None:
    """Let the high-water mark begin anew (Linux), so that what loading took for a moment is not counted as training."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", "ascii")


SIDES = {"sartor": _sartor, "defaults": _defaults}

if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(weigh(json.loads(sys.argv[1]))) + "\n")
