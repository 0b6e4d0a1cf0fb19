"""What each method costs beside full fine-tuning: a step, memory, weights. `python benchmarks/run.py method_costs`.

The methods take their steps in turn, round by round, in one process with one thread; a step counts in CPU seconds, and
only its ratio to full's of the same round is told. Other work on the machine then disturbs both sides alike.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ours
import torch
import yaml
from method_cells import known
from ruler import Spread
from sets import load

from sartor.engine.train import Run, advance

HERE = Path(__file__).parent
FULL = "full"


def measure(asked: dict[str, Any]) -> dict[str, Any]:
    """Method -> its share of trained weights, its step beside full's, the memory of training."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = _of_each(asked)
    finally:
        torch.set_num_threads(threads)
    return {"load_average": os.getloadavg(), "methods": found}


def _of_each(asked: dict[str, Any]) -> dict[str, dict[str, Any]]:
    pool = load(asked["data"], asked["rows"])
    examples = ours.encoded(pool)
    names = list(known(yaml.safe_load((HERE / "experiments" / f"{asked['of']}.yaml").read_text("utf-8"))))
    needed = asked["warm"] + asked["steps"] * asked["rounds"]
    epochs = needed * asked["batch"] / asked["rows"] + 1
    runs = {name: ours.begun(pool, name, examples, asked["batch"], epochs, 0) for name in names}
    steps = _in_turn(runs, examples, asked)
    return {
        name: {
            **_weights(run),
            "steps": [round(s, 4) for s in steps.get(name, [])],
            **(_beside(steps[name], steps[FULL]) if name in steps else {}),
            "memory": _memory(name, asked),
        }
        for name, run in runs.items()
    }


def _in_turn(runs: dict[str, Run], examples: Any, asked: dict[str, Any]) -> dict[str, list[float]]:
    """CPU seconds of one step in every round; methods that take no step are left out."""
    stepping = [name for name, run in runs.items() if run.state is not None]
    taken: dict[str, list[float]] = {name: [] for name in stepping}
    for name in stepping:
        _advance(runs[name], examples, asked["warm"])
    for turn in range(asked["rounds"]):
        for name in stepping if turn % 2 == 0 else reversed(stepping):
            taken[name].append(_advance(runs[name], examples, asked["steps"]) / asked["steps"])
        print(f"round {turn + 1} of {asked['rounds']}", file=sys.stderr, flush=True)
    return taken


def _advance(run: Run, examples: Any, steps: int) -> float:
    """CPU seconds of the next so many steps."""
    began = time.process_time()
    for _ in advance(run, examples, run.done + steps):
        pass
    return time.process_time() - began


def _beside(mine: list[float], full: list[float]) -> dict[str, Any]:
    return {"ratio": Spread.over([round(a / b, 4) for a, b in zip(mine, full, strict=True)]).to_json()}


def _weights(run: Run) -> dict[str, Any]:
    """What moves, and the bytes of it: what has to be kept beside the backbone."""
    moving = run.net.trainable().values()
    trained = sum(weight.numel() for weight in moving)
    every = sum(weight.numel() for weight in run.net.parameters())
    stored = sum(weight.numel() * weight.element_size() for weight in moving)
    return {"trained": trained, "weights": every, "share": trained / every, "bytes": stored}


def _memory(name: str, asked: dict[str, Any]) -> dict[str, int]:
    """Bytes, see `training_memory`."""
    told = {"side": "sartor", "method": name, "data": asked["data"], "rows": asked["memory_rows"]}
    words = [sys.executable, str(HERE / "training_memory.py"), json.dumps({**told, "batch": asked["batch"]})]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found: dict[str, int] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def table(result: dict[str, Any]) -> str:
    return "\n".join([f"{'method':24}{'share':>9}{'step':>8}  (range)       memory", *_lines(result["methods"])])


def _lines(found: dict[str, dict[str, Any]]) -> Iterator[str]:
    for name, cost in found.items():
        ratio = cost.get("ratio")
        step = f"{ratio['median']:8.2f}  ({ratio['low']:.2f}-{ratio['high']:.2f})" if ratio else f"{'-':>8}{'':13}"
        yield f"{name:24}{100 * cost['share']:8.2f}%{step}{cost['memory']['above'] / 1e6:8.0f} MB"
