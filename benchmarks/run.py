"""Run experiments and write what was measured, with the hardware: `python benchmarks/run.py [NAME ...]`.

An experiment is a file in `experiments/`; its `kind` is the module here that measures it and that may print a table of
what it found; without a name the quick ones run. Data sets are looked for in the folder
`SARTOR_SHARED`, or `../shared/data` beside the repository; they are not part of it.

`python benchmarks/run.py --page methods` runs nothing: it writes the tables of `docs/guide/methods.md` from results.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
QUICK = ("startup", "engine")


def main(names: list[str]) -> None:
    if names[:1] == ["--page"]:
        return _page(names[1:])
    known = sorted(f.stem for f in (HERE / "experiments").glob("*.yaml"))
    print("experiments:", ", ".join(known))
    for name in names or QUICK:
        asked = yaml.safe_load((HERE / "experiments" / f"{name}.yaml").read_text("utf-8"))
        kind = importlib.import_module(asked["kind"])
        found = kind.measure(asked)
        _write(name, asked, found)
        print(kind.table(found) if hasattr(kind, "table") else json.dumps(found, indent=1, default=str))


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


if __name__ == "__main__":
    main(sys.argv[1:])
