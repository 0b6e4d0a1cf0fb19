"""Run experiments and write what was measured, with the hardware: `python benchmarks/run.py [NAME ...]`.

An experiment is a file in `experiments/`; without a name the quick ones run. Data sets are looked for in the folder
`SARTOR_SHARED`, or `../shared/data` beside the repository; they are not part of it.

`python benchmarks/run.py --page methods` runs nothing: it writes the tables of `docs/guide/methods.md` from results.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
SARTOR = Path(sys.executable).with_name("sartor")
QUICK = ("startup", "engine")


def main(names: list[str]) -> None:
    if names[:1] == ["--page"]:
        return _page(names[1:])
    known = sorted(f.stem for f in (HERE / "experiments").glob("*.yaml"))
    print("experiments:", ", ".join(known))
    for name in names or QUICK:
        asked = yaml.safe_load((HERE / "experiments" / f"{name}.yaml").read_text("utf-8"))
        found = KINDS[asked["kind"]](asked)
        _write(name, asked, found)
        if asked["kind"] not in TABLED:
            print(json.dumps(found, indent=1, default=str))


def _page(names: list[str]) -> None:
    """Write what the results say into the pages that have tables of them; the sweep's notes are taken in first."""
    import method_cells
    import methods_page

    if names != ["methods"]:
        sys.exit(f"no page is made from {' '.join(names) or 'nothing'}. Fix: --page methods")
    asked = yaml.safe_load((HERE / "experiments" / "methods.yaml").read_text("utf-8"))
    _write("methods", asked, method_cells.collected(asked, method_cells.finished(asked)))
    print(methods_page.write())


def _write(name: str, asked: dict[str, Any], found: dict[str, Any]) -> None:
    """What was measured into the results, with the hardware."""
    from sartor.engine.environment import environment

    result = {"experiment": asked, "date": time.strftime("%Y-%m-%d"), "environment": environment(), "result": found}
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / f"{name}.json").write_text(written(result), "utf-8")


def written(result: dict[str, Any]) -> str:
    """A results file: indented JSON, a cell of a sweep on a line of its own."""
    found = result["result"]
    if not isinstance(found, dict) or "cells" not in found:
        return json.dumps(result, indent=1, default=str) + "\n"
    bare = json.dumps({**result, "result": {**found, "cells": []}}, indent=1, default=str)
    lines = ",\n".join("   " + json.dumps(cell) for cell in found["cells"])
    return bare.replace('"cells": []', f'"cells": [\n{lines}\n  ]') + "\n"


def startup(asked: dict[str, Any]) -> dict[str, Any]:
    """CPU milliseconds of each command in turn, repeated: median, lowest, highest."""
    taken: dict[str, list[float]] = {name: [] for name in asked["commands"]}
    for _ in range(asked["repeats"]):
        for name, words in asked["commands"].items():
            taken[name].append(_cpu_ms([str(SARTOR), *words.split()]))
    return {
        name: {"cpu_ms": round(statistics.median(ms)), "low": round(min(ms)), "high": round(max(ms))}
        for name, ms in taken.items()
    }


def position(asked: dict[str, Any]) -> dict[str, Any]:
    """`sartor position` on the command line, then the same rows through scikit-learn alone, compared row by row."""
    from reference import compared
    from sets import shared

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


def _cpu_ms(words: list[str]) -> float:
    with tempfile.TemporaryDirectory() as empty:
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=empty)
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    return 1000 * (usage.ru_utime + usage.ru_stime)


def engine(asked: dict[str, Any]) -> dict[str, Any]:
    """Training and answering speed, memory and linearity, side by side with transformers' own tools."""
    import engine as side_by_side

    found = side_by_side.engine(asked)
    print(side_by_side.table(found))
    return found


def audit(asked: dict[str, Any]) -> dict[str, Any]:
    """Whether the fast engine learns what a plain 32-bit padded loop learns: curves at equal steps, final quality."""
    import audit as against_plain

    found = against_plain.audit(asked)
    print(against_plain.table(found))
    return found


def methods(asked: dict[str, Any]) -> dict[str, Any]:
    """Every method at several rates, sizes and seeds on four data sets, each cell a whole run."""
    import methods as sweep

    return sweep.methods(asked)


def method_costs(asked: dict[str, Any]) -> dict[str, Any]:
    """A step of every method beside one of full fine-tuning, its memory and what it trains."""
    import method_costs as beside_full

    found = beside_full.costs(asked)
    print(beside_full.table(found))
    return found


def multitask(asked: dict[str, Any]) -> dict[str, Any]:
    """Several tasks trained together against each trained alone: quality task by task, parameters, time."""
    import together

    found = together.together(asked)
    print(together.table(found))
    return found


def fewshot(asked: dict[str, Any]) -> dict[str, Any]:
    """Methods on a few rows of each class, over random draws of them."""
    import fewshot as few_rows

    found = few_rows.fewshot(asked)
    print(few_rows.table(found))
    return found


def images(asked: dict[str, Any]) -> dict[str, Any]:
    """Image networks beside what pixels alone give."""
    import images as beside_pixels

    found = beside_pixels.images(asked)
    print(beside_pixels.table(found))
    return found


def meta(asked: dict[str, Any]) -> dict[str, Any]:
    """Learning to learn: unseen sine waves, characters or intents, from a few examples of each."""
    import unseen

    found = unseen.unseen(asked)
    print(unseen.table(found))
    return found


KINDS = {
    "images": images,
    "startup": startup,
    "position": position,
    "engine": engine,
    "audit": audit,
    "methods": methods,
    "method_costs": method_costs,
    "multitask": multitask,
    "fewshot": fewshot,
    "meta": meta,
}
TABLED = ("images", "engine", "audit", "methods", "method_costs", "multitask", "fewshot", "meta")
"""Kinds that print a table of their own; the numbers behind it are in the results file."""

if __name__ == "__main__":
    main(sys.argv[1:])
