"""How a run computes: for its record, so that nobody has to guess which way was taken on which machine."""

from __future__ import annotations

from typing import Any

from sartor.batch import Batch
from sartor.engine.precision import matrix_units, resolve
from sartor.engine.prefix import size_of
from sartor.engine.train import Run
from sartor.pretrained.front import shortened


def account(run: Run, examples: Batch) -> dict[str, Any]:
    """Plain JSON values. `prefix_bytes` is what the kept prefix takes, `prefix_place` where it goes."""
    precision = resolve(run.recipe.plan.precision)
    told: dict[str, Any] = {
        "precision": precision,
        "units": matrix_units(),
        "rows": run.net.body.layout(),
        "tables_by_rows": bool(run.state is not None and run.state.optimizer.tables),
        "prefix_blocks": run.depth,
        "parameters": run.parameters,
    }
    front, room = run.net.body.front, run.net.body.room
    if ahead := front.tokens + front.positions:
        told |= {"in_front": ahead, "shortened": shortened(examples.lengths, front, room)}
    if run.depth:
        size = size_of(run.net.body, examples, precision)
        told |= {"prefix_bytes": size, "prefix_place": run.prefixes.place(size)}
        told |= {"prefix_dropout": "off"} if run.recipe.plan.dropout != 0.0 else {}
    return told


def in_words(told: dict[str, Any]) -> str:
    """The account in a line: what the user is told before the training begins."""
    moved, there = told["parameters"]["trained"], told["parameters"]["all"]
    words = [f"{moved:,} of {there:,} weights move ({moved / there:.2%})", f"{told['precision']}, {told['rows']} rows"]
    if told.get("in_front"):
        cut = f", {told['shortened']:,} rows are cut to make room" if told["shortened"] else ""
        words.append(f"{told['in_front']} tokens before every row{cut}")
    if told["prefix_blocks"]:
        gigabytes = told["prefix_bytes"] / 1e9
        where = {"memory": "in memory", "disk": "on the disk", "nowhere": "nowhere: there is no room"}
        words.append(
            f"{told['prefix_blocks']} frozen blocks are kept {where[told['prefix_place']]} ({gigabytes:.2g} GB)"
        )
    return "; ".join(words)
