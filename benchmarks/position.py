"""A whole race on the command line, and the simple baselines through scikit-learn alone on the same rows."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from reference import compared
from sets import shared

SARTOR = Path(sys.executable).with_name("sartor")


def measure(asked: dict[str, Any]) -> dict[str, Any]:
    """`sartor position` on the command line, then the same rows through scikit-learn alone, compared row by row."""
    data = shared(asked["data"])
    with tempfile.TemporaryDirectory() as made:
        out = Path(made) / "run"
        words = [
            "position",
            str(data),
            "--target",
            asked["target"],
            "--budget",
            f"{asked['budget']}s",
            "--out",
            str(out),
        ]
        began = time.monotonic()
        done = subprocess.run([SARTOR, *words, "--json"], capture_output=True, text=True, check=True)
        wall = time.monotonic() - began
        result = json.loads(done.stdout)["result"]
        return {"wall_seconds": round(wall, 1), **_short(result), **compared(data, asked["target"], out)}


def _short(result: dict[str, Any]) -> dict[str, Any]:
    headline = result["headline"]
    shown = [
        {k: c[k] for k in ("name", "status", "tied", "frontier", "train_seconds")}
        | {headline: c["metrics"].get(headline), "interval": c["intervals"].get(headline)}
        for c in result["candidates"]
    ]
    pick = result["pick"]
    return {
        "pick": pick["name"],
        "why": pick["why"],
        "validation": pick["metrics"],
        "test": pick["test"],
        "gains_on_test": pick["gains"],
        "tied": result["tied"],
        "seconds": result["seconds"],
        "stages": result["stages"],
        "candidates": shown,
    }
