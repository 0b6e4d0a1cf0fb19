"""The cells of the sweep over methods: which there are, which are there already, and how they are written."""

from __future__ import annotations

import base64
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from sartor import part as parts
from sartor.errors import BadInput
from sartor.method import Method
from sartor.recipe import Plan

HERE = Path(__file__).parent
NOTES = HERE.parent / "runs" / "methods.jsonl"
RESULT = HERE / "results" / "methods.json"
PROTOCOL = ("full", "held", "validation")
"""What cells must have in common to stand in one table."""


@dataclass(frozen=True)
class Cell:
    """One run. `size`: training rows, or `full`; `rate`: None where the method takes no step; `steps`: None for as many
    as the plan's defaults make of so many rows."""

    data: str
    size: int | str
    seed: int
    method: str
    rate: float | None
    steps: int | None = None


def known(asked: dict[str, Any]) -> dict[str, Method]:
    """The experiment's methods that this version has; of the others a line says why not."""
    found = {}
    for spelled in asked["methods"]:
        try:
            found[spelled] = cast(Method, parts.part("methods", spelled))
        except BadInput as error:
            print(f"skipped {spelled}: {error}", file=sys.stderr, flush=True)
    return found


def default(method: Method) -> float | None:
    """The rate a run takes where none is given; None for a method without steps."""
    plan = method.plan(Plan())
    return None if plan.max_steps == 0 else plan.learning_rate


def planned(asked: dict[str, Any]) -> list[Cell]:
    """In the order in which they are trained: what is there at any moment is then already worth a look."""
    found = known(asked)
    turns = [_defaults(found), _lengths(found, asked["lengths"]), _other_rates(found, asked["methods"])]
    return [
        Cell(data, size, seed, *way)
        for phase in asked["sizes"]
        for seed in range(asked["seeds"])
        for turn in turns[: None if seed < asked["seeds_of_others"] else 1]
        for size in phase
        for data in asked["data"]
        for way in turn
    ]


Words = tuple[str, float | None, int | None]
"""Method, rate, steps."""


def _defaults(found: dict[str, Method]) -> list[Words]:
    return [(spelled, default(method), None) for spelled, method in found.items()]


def _lengths(found: dict[str, Method], asked: dict[str, list[int]]) -> list[Words]:
    return [(name, default(found[name]), n) for name, steps in asked.items() if name in found for n in steps]


def _other_rates(found: dict[str, Method], listed: dict[str, list[float]]) -> list[Words]:
    own = {name: default(method) for name, method in found.items()}
    return [(name, rate, None) for name in found for rate in listed[name] if own[name] not in (None, rate)]


def finished(asked: dict[str, Any]) -> dict[Cell, dict[str, Any]]:
    """Cells of the results file and of the notes. Ends where they were made under another protocol."""
    before: list[dict[str, Any]] = []
    if RESULT.exists():
        said = json.loads(RESULT.read_text("utf-8"))
        _same_protocol(asked, said["experiment"], RESULT)
        before += said["result"]["cells"]
    if NOTES.exists():
        lines = [json.loads(line) for line in NOTES.read_text("utf-8").splitlines()]
        for line in lines:
            _same_protocol(asked, line["protocol"], NOTES)
        before += [line["cell"] for line in lines]
    return dict(read_back(cell) for cell in before)


def note(cell: Cell, found: dict[str, Any], asked: dict[str, Any]) -> None:
    """Add a finished cell to the notes."""
    NOTES.parent.mkdir(exist_ok=True)
    protocol = {name: asked[name] for name in PROTOCOL}
    with NOTES.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"protocol": protocol, "cell": written(cell, found)}) + "\n")


def collected(asked: dict[str, Any], done: dict[Cell, dict[str, Any]]) -> dict[str, Any]:
    """The cells as the results file has them: those of the experiment in its order, then what else was trained."""
    order = [cell for cell in planned(asked) if cell in done]
    rest = [cell for cell in done if cell not in set(order)]
    return {"missing": len(planned(asked)) - len(order), "cells": [written(cell, done[cell]) for cell in order + rest]}


def written(cell: Cell, found: dict[str, Any]) -> dict[str, Any]:
    """A cell's words and what was found, in one; no finding may have the name of a word."""
    words = asdict(cell)
    if taken := words.keys() & found.keys():
        raise ValueError(f"a finding is called as a cell's word is: {', '.join(sorted(taken))}")
    return words | found


def read_back(cell: dict[str, Any]) -> tuple[Cell, dict[str, Any]]:
    """A written cell -> its words, and what was found."""
    names = Cell.__dataclass_fields__
    return Cell(**{n: cell[n] for n in names}), {n: v for n, v in cell.items() if n not in names}


def packed(right: Any) -> str:
    """(N,) truth values -> text, eight in a byte."""
    return base64.b64encode(np.packbits(np.asarray(right, dtype=bool)).tobytes()).decode("ascii")


def unpacked(text: str, rows: int) -> Any:
    """(N,) truth values again."""
    return np.unpackbits(np.frombuffer(base64.b64decode(text), dtype=np.uint8), count=rows).astype(bool)


def _same_protocol(asked: dict[str, Any], other: dict[str, Any], file: Path) -> None:
    if any(asked[name] != other[name] for name in PROTOCOL):
        sys.exit(f"{file} was made with another {', '.join(PROTOCOL)}: move it away to begin anew")
