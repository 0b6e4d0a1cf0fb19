"""The engine beside transformers' own tools, in one process, both in turn: `python benchmarks/run.py engine`.

Every ratio is of two measurements taken one after the other in the same repeat; a line shows the median of the repeats,
the lowest and the highest. A section that the experiment's file leaves out is not run.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import ours
import peers
import torch
from ruler import Pace, Spread, matrix_rate, timed
from sets import Material, load, material

from sartor.batch import Batch
from sartor.engine.features import outputs
from sartor.engine.precision import resolve
from sartor.errors import BadInput

HERE = Path(__file__).parent
TARGETS = {
    "defaults": (4.0, 8.0),
    "tuned": (1.7, 3.0),
    "cached": (10.0, 30.0),
    "matrix": (0.25, 0.45),
    "memory": (1.0, 0.7),
    "evaluation": (3.0, 8.0),
    "linear": (1.05, 1.05),
    "none": (None, None),
}
"""Which floor and which aim a line has; below 1 or at it, less is better (memory, time over what tokens predict)."""
LESS_IS_BETTER = {"memory", "linear"}
SHORT, LONG = 32, 256
"""Tokens of the rows, and of the one long row, that show whether the longest row sets the cost."""


@dataclass(frozen=True)
class Line:
    """One line of the table: what Sartor did, what the peer did, and the ratio that has a target."""

    name: str
    unit: str
    ours: float | None
    peer: float | None
    ratio: Spread | None
    target: str
    note: str = ""

    def verdict(self) -> str:
        floor, aim = TARGETS[self.target]
        if floor is None or aim is None or self.ratio is None:
            return ""
        if self.target in LESS_IS_BETTER:
            return "aim" if self.ratio.median <= aim else "floor" if self.ratio.median <= floor else "BELOW"
        return "aim" if self.ratio.median >= aim else "floor" if self.ratio.median >= floor else "BELOW"

    def to_json(self) -> dict[str, Any]:
        floor, aim = TARGETS[self.target]
        return {**asdict(self), "floor": floor, "aim": aim, "reached": self.verdict()}


def measure(asked: dict[str, Any]) -> dict[str, Any]:
    """Every section the experiment names, in order; the table's lines, and what each section saw."""
    load_before = os.getloadavg()
    lines: list[Line] = []
    details: dict[str, Any] = {}
    for name, section in SECTIONS.items():
        for part in _parts(asked.get(name)):
            began = time.monotonic()
            found, seen = section(part)
            lines += found
            seen["section_seconds"] = round(time.monotonic() - began, 1)
            details.setdefault(name, []).append(seen)
            for line in found:
                print(row(line), file=sys.stderr, flush=True)
    return {
        "load_average": {"before": load_before, "after": os.getloadavg()},
        "precision": resolve("auto"),
        "lines": [line.to_json() for line in lines],
        "details": details,
    }


def _parts(asked: Any) -> list[dict[str, Any]]:
    return [] if asked is None else asked if isinstance(asked, list) else [asked]


# Training throughput


def throughput(asked: dict[str, Any]) -> tuple[list[Line], dict[str, Any]]:
    """Real tokens per second of both Trainers and of Sartor on the same rows; the share of the matrix rate."""
    pool = load(asked["data"], asked["rows"])
    lines: list[Line] = []
    seen: dict[str, Any] = {**asked, "tokens_mean": float(ours.encoded(pool).lengths.double().mean()), "methods": {}}
    for method in asked["methods"]:
        found, what = _side_by_side(pool, method, asked)
        lines += found
        seen["methods"][method] = what
    return lines, seen


def _side_by_side(pool: Material, method: str, asked: dict[str, Any]) -> tuple[list[Line], dict[str, Any]]:
    made, warm = ours.method_of(method), asked["warm"]
    tuned, trials = peers.best_batch(pool.part(0, asked["trial"]), made, asked["batches"], 1)
    own = {b: ours.train(pool.part(0, asked["trial"]), method, batch=b, warm=1).rate for b in asked["batches"]}
    best = max(own, key=lambda size: own[size])
    sides: dict[str, Callable[[Material, int], Pace]] = {
        "defaults": lambda rows, seed: peers.train(rows, made, peers.DEFAULT, warm=warm, seed=seed),
        "sartor": lambda rows, seed: ours.train(rows, method, batch=peers.DEFAULT.batch, warm=warm, seed=seed),
        "tuned": lambda rows, seed: peers.train(rows, made, tuned, warm=warm, seed=seed),
        "sartor at its best": lambda rows, seed: ours.train(rows, method, batch=best, warm=warm, seed=seed),
    }
    paces, matrix = _in_turn(pool, sides, asked)
    rates = {name: [pace.rate for pace in found] for name, found in paces.items()}
    name = f"{asked['data']} {method}"
    lines = [
        _against(f"{name}: HF defaults", "tokens/s", rates["sartor"], rates["defaults"], "defaults"),
        _against(f"{name}: HF tuned, batch {tuned.batch}", "tokens/s", rates["sartor"], rates["tuned"], "tuned"),
        _against(
            f"{name}: HF tuned, batch {tuned.batch}; Sartor {best}",
            "tokens/s",
            rates["sartor at its best"],
            rates["tuned"],
            "tuned",
        ),
    ]
    needed = ours.flops(pool.part(0, asked["per_run"]), method)
    done = [needed * rate / 1e9 for rate in rates["sartor"]]
    lines.append(_against(f"{name}: share of the matrix rate", "GFLOP/s", done, [m / 1e9 for m in matrix], "matrix"))
    seen = {"rates": rates, "tuned_batch": tuned.batch, "trials": trials, "matrix_flops": matrix}
    seen |= {"own_batch": best, "own_trials": own}
    return lines, {**seen, "flops_per_token": needed}


def _in_turn(
    pool: Material, sides: dict[str, Callable[[Material, int], Pace]], asked: dict[str, Any]
) -> tuple[dict[str, list[Pace]], list[float]]:
    """Every side once a repeat, on the repeat's own rows, the first in turn moving on; the matrix rate each time."""
    names = list(sides)
    paces: dict[str, list[Pace]] = {name: [] for name in names}
    matrix = []
    for repeat in range(asked["repeats"]):
        rows = pool.part(repeat * asked["per_run"], asked["per_run"])
        matrix.append(matrix_rate(resolve("auto")))
        for name in names[repeat % len(names) :] + names[: repeat % len(names)]:
            paces[name].append(sides[name](rows, repeat))
    return paces, matrix


def _against(name: str, unit: str, mine: Sequence[float], theirs: Sequence[float], target: str, note: str = "") -> Line:
    """Sartor over the peer, pair by pair."""
    ratio = Spread.over([a / b for a, b in zip(mine, theirs, strict=True)])
    return Line(name, unit, statistics.median(mine), statistics.median(theirs), ratio, target, note)


# Late LoRA and probe


def late(asked: dict[str, Any]) -> tuple[list[Line], dict[str, Any]]:
    """LoRA in the last blocks: epochs after the first (what is frozen below need not run again), and all of them.

    The Trainer does the same work in every epoch, so its pace is that of one."""
    pool, method, epochs = load(asked["data"], asked["rows"]), asked["method"], asked["epochs"]
    name = f"{asked['data']} {method}"
    try:
        made = ours.method_of(method)
    except BadInput as error:
        return [Line(name, "tokens/s", None, None, None, "cached", f"not measured: {error}")], dict(asked)
    after: dict[str, list[float]] = {"sartor": [], "defaults": []}
    whole: list[float] = []
    batch = peers.DEFAULT.batch
    for repeat in range(asked["repeats"]):
        after["defaults"].append(peers.train(pool, made, peers.DEFAULT, warm=asked["warm"], seed=repeat).rate)
        run = ours.steps(pool, method, ours.encoded(pool), batch=batch, epochs=epochs, seed=repeat)
        after["sartor"].append(timed(*run, -(-len(pool) // batch)).rate)
        whole.append(timed(*run, 0).rate)
    lines = [
        _against(f"{name}: epochs after the first", "tokens/s", after["sartor"], after["defaults"], "cached"),
        _against(f"{name}: all {epochs} epochs", "tokens/s", whole, after["defaults"], "none"),
    ]
    return lines, {**asked, "rates": after, "sartor_all_epochs": whole}


def probe(asked: dict[str, Any]) -> tuple[list[Line], dict[str, Any]]:
    """A whole probe: Sartor's feature pass and solved head, against the Trainer on a frozen body for some epochs.

    L-BFGS has no epochs that compare with the Trainer's, so the whole work is timed, from an opened tokenizer to a
    trained head. Sartor's time includes the search of the penalty; the Trainer's has one learning rate and no search.
    """
    pool = load(asked["data"], asked["rows"])
    made = ours.method_of("probe")
    mine, theirs, work = [], [], asked["epochs"] * int(ours.encoded(pool).lengths.sum())
    for repeat in range(asked["repeats"]):
        theirs.append(peers.train(pool, made, peers.DEFAULT, warm=0, epochs=asked["epochs"], seed=repeat).seconds)
        mine.append(ours.probe(pool))
    name = f"{asked['data']} probe: whole, HF head for {asked['epochs']} epochs"
    line = _against(name, "tokens/s", [work / s for s in mine], [work / s for s in theirs], "cached")
    return [line], {**asked, "seconds": {"sartor": mine, "defaults": theirs}}


# Memory


def memory(asked: dict[str, Any]) -> tuple[list[Line], dict[str, Any]]:
    """The peak of a process that trains, on the same rows at the same batch, and its share above the loaded model."""
    found: dict[str, list[dict[str, float]]] = {"sartor": [], "defaults": []}
    for _ in range(asked["repeats"]):
        for side, seen in found.items():
            seen.append(_weighed({**asked, "side": side}))
    name = f"{asked['data']} {asked['method']}: peak memory"
    mb = {side: {key: [s[key] / 1e6 for s in seen] for key in seen[0]} for side, seen in found.items()}
    lines = [
        _against(name, "MB", mb["sartor"]["peak"], mb["defaults"]["peak"], "memory"),
        _against(f"{name} above the loaded model", "MB", mb["sartor"]["above"], mb["defaults"]["above"], "none"),
    ]
    return lines, {**asked, "mb": mb}


def _weighed(asked: dict[str, Any]) -> dict[str, float]:
    """One side in a process of its own."""
    words = [sys.executable, str(HERE / "training_memory.py"), json.dumps(asked)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"weighing {asked} failed:\n{done.stderr}")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


# Evaluation


def evaluation(asked: dict[str, Any]) -> tuple[list[Line], dict[str, Any]]:
    """Rows per second: the bundle with tokenisation, and encoded rows, against `pipeline` at its best batch.

    Two pipelines: over the bundle itself, whose pooling is one block more there, and over transformers' own classifier
    of six blocks, which is as much work as Sartor's own pass.
    """
    pool = load(asked["data"], asked["rows"])
    with tempfile.TemporaryDirectory() as made:
        bundle = ours.saved(pool, Path(made) / "bundle")
        plain = Path(made) / "plain"
        peers.save_plain(len(pool.task.describe()["id2label"]), ours.method_of("full"), plain)
        with peers.classifying(bundle.path) as own, peers.classifying(plain) as six:
            pipes = {"pipeline over the bundle": own, "pipeline over six blocks": six}
            best = {name: _best(pipe, pool.texts[: asked["trial"]], asked["batches"]) for name, pipe in pipes.items()}
            answers = _answers(bundle, pool)
            turns: dict[str, Callable[[], Any]] = {**answers}
            for name, pipe in pipes.items():
                size = best[name][0]
                turns[name] = lambda pipe=pipe, size=size: peers.answer(pipe, pool.texts, size)
            rates = _rows_per_second(turns, len(pool), asked["repeats"])
    lines = [
        _against(
            f"{asked['data']}: {mine}, {name} at {best[name][0]}", "rows/s", rates[mine], rates[name], "evaluation"
        )
        for name in pipes
        for mine in answers
    ]
    return lines, {**asked, "rates": rates, "trials": {name: found for name, (_, found) in best.items()}}


def _answers(bundle: Any, pool: Material) -> dict[str, Callable[[], Any]]:
    """Name -> Sartor's ways to answer: texts through the bundle, encoded rows through the engine."""
    run = ours.begun(pool, "full", ours.encoded(pool), 32, 1.0, 0)
    examples = ours.encoded(pool)
    ways: dict[str, Callable[[], Any]] = {"Bundle.predict": lambda: bundle.predict(pool.texts)}
    for precision in ours.precisions():
        ways[f"Bundle.predict {precision}"] = lambda p=precision: bundle.predict(pool.texts, precision=p)
    for precision in dict.fromkeys(["fp32", resolve("auto")]):
        ways[f"outputs {precision}"] = lambda p=precision: outputs(run.net, examples, p)
    return ways


def _best(pipe: Any, texts: list[str], sizes: Sequence[int]) -> tuple[int, dict[int, float]]:
    """The batch size at which a pipeline answers most rows per second, and what each gave."""
    peers.answer(pipe, texts[: max(sizes)], max(sizes))  # the first call pays for what is made once
    found = {}
    for size in sizes:
        began = time.perf_counter()
        peers.answer(pipe, texts, size)
        found[size] = len(texts) / (time.perf_counter() - began)
    return max(found, key=found.__getitem__), found


def _rows_per_second(turns: dict[str, Callable[[], Any]], rows: int, repeats: int) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {name: [] for name in turns}
    for answer in turns.values():
        answer()
    for _ in range(repeats):
        for name, answer in turns.items():
            began = time.perf_counter()
            answer()
            rates[name].append(rows / (time.perf_counter() - began))
    return rates


# Linearity


def linearity(asked: dict[str, Any]) -> tuple[list[Line], dict[str, Any]]:
    """An epoch of the rows against one of the rows twice over; short rows against the same with one long row."""
    pool, method = load(asked["data"], asked["rows"]), asked["method"]
    once = ours.encoded(pool)
    twice = once.take(torch.arange(len(once)).repeat(2))
    twice = replace(twice, rows=torch.arange(len(twice)))
    short, with_long = _one_long(asked)
    works: dict[str, tuple[Material, Batch]] = {
        "once": (pool, once),
        "twice": (pool, twice),
        "short": (short, ours.encoded(short)),
        "long": (with_long, ours.encoded(with_long)),
    }
    paces: dict[str, list[Pace]] = {name: [] for name in works}
    for repeat in range(asked["repeats"] + 1):
        for name, (rows, examples) in works.items():
            pace = ours.train(rows, method, batch=32, warm=0, seed=repeat, examples=examples)
            if repeat:  # the first round warms up
                paces[name].append(pace)
    return _linear_lines(asked["data"], paces), {
        **asked,
        "paces": {n: [asdict(p) for p in f] for n, f in paces.items()},
    }


def _linear_lines(data: str, paces: dict[str, list[Pace]]) -> list[Line]:
    """Seconds per token of the larger work over those of the smaller: 1 where cost is linear in tokens."""
    names = {
        ("twice", "once"): f"{data}: twice the data, time over twice",
        ("long", "short"): f"{data}: one row {LONG // SHORT}x longer, time over what its tokens predict",
    }
    cost = {name: [1e6 / pace.rate for pace in found] for name, found in paces.items()}
    return [_against(said, "us/token", cost[a], cost[b], "linear") for (a, b), said in names.items()]


def _one_long(asked: dict[str, Any]) -> tuple[Material, Material]:
    """Rows of at most `SHORT` tokens, and the same rows with one of them grown to `LONG` tokens."""
    pool = load(asked["data"], asked["rows"] * 4)
    lengths = ours.encoded(pool).lengths.numpy()
    short = pool.take(np.flatnonzero(lengths <= SHORT)[: asked["rows"]])
    pairs = [{"text": text, "label": str(label)} for text, label in zip(short.texts, short.labels, strict=True)]
    grown = [
        {**pairs[0], "text": " ".join(short.texts[:LONG])},
        *pairs[1:],
    ]  # a word each is enough; the cut does the rest
    return material(short.name, pairs, len(pairs)), material(short.name, grown, len(grown))


# The table


def table(result: dict[str, Any]) -> str:
    """The lines as a person reads them; `reached` is the aim, the floor, or BELOW both."""
    fields = Line.__dataclass_fields__
    lines = [Line(**{k: v for k, v in found.items() if k in fields}) for found in result["lines"]]
    lines = [replace(line, ratio=Spread(**line.ratio) if isinstance(line.ratio, dict) else None) for line in lines]
    shown = f"{'':72}{'Sartor':>10}{'peer':>10}  {'unit':9}{'ratio [low, high]':>22}{'floor':>7}{'aim':>6}  reached"
    return "\n".join([shown, *(row(line) for line in lines)])


def row(line: Line) -> str:
    floor, aim = TARGETS[line.target]
    ratio = "" if line.ratio is None else f"{line.ratio.median:.2f} [{line.ratio.low:.2f}, {line.ratio.high:.2f}]"
    numbers = "".join(
        f"{'-' if n is None else f'{n:,.4g}' if n < 1000 else f'{n:,.0f}':>10}" for n in (line.ours, line.peer)
    )
    targets = f"{'' if floor is None else f'{floor:g}':>7}{'' if aim is None else f'{aim:g}':>6}"
    return f"{line.name:72}{numbers}  {line.unit:9}{ratio:>22}{targets}  {line.verdict()}{line.note}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


SECTIONS: dict[str, Callable[[dict[str, Any]], tuple[list[Line], dict[str, Any]]]] = {
    "throughput": throughput,
    "late": late,
    "probe": probe,
    "memory": memory,
    "evaluation": evaluation,
    "linearity": linearity,
}
