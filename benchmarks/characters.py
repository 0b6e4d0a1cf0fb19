"""A character model in Sartor's loop and in the plain one, in turn on the same machine; n-grams beside them.

Both are scored on the whole held-out text: consecutive windows, every character of it but the first is asked once.
Processor seconds stand beside those of the clock, since the machine may have been busy with other work."""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import plain_gpt
import torch
from sets import shared

from sartor import part as parts
from sartor.data.hints import Hints
from sartor.engine.train import advance, prepare
from sartor.opening import open_data
from sartor.recipe import Recipe, plan_from


def measure(asked: dict[str, Any]) -> dict[str, Any]:
    """Held-out losses in nats a character, and milliseconds of an update, the median over slices and their range."""
    text = shared(asked["text"]).read_text("utf-8")
    cut = int(len(text) * 0.9)
    alphabet = sorted(set(text))
    found: dict[str, Any] = {"characters": [cut, len(text) - cut]}
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{name}.txt" for name in ("train", "held")]
        for path, part in zip(paths, (text[:cut], text[cut:]), strict=True):
            path.write_text(part, "utf-8")
        opening = open_data(str(paths[0]), Hints(), "causal_lm", str(paths[1]), str(paths[1]), asked["seed"])
    run = _run(asked, opening)
    place = {c: i for i, c in enumerate(alphabet)}
    data = np.array([place[c] for c in text], dtype=np.uint16)
    torch.manual_seed(asked["seed"])
    plain = plain_gpt.PlainGPT(len(alphabet))
    ours = advance(run, run.examples, asked["steps"])
    theirs = plain_gpt.loop(plain, data[:cut], asked["steps"], asked["seed"])
    took = _in_turn({"sartor": ours, "plain": theirs}, asked["slice"])
    ids = torch.tensor(run.net.body.tokenizer(text[cut:], add_special_tokens=False)["input_ids"])
    held = torch.from_numpy(data[cut:].astype(np.int64))
    scored = {"sartor": _loss(lambda x: run.net.body.model.eval()(x, use_cache=False).logits, ids)}
    scored["plain"] = _loss(plain.eval(), held)
    for name in scored:
        found[name] = {"loss": scored[name], **took[name]}
    for order in asked["orders"]:
        fitted = parts.part("baselines", f"ngram:order={order}").fit(opening.task, opening.split.train)
        scores = opening.task.score(fitted.predict(opening.split.test), opening.split.test)
        found[f"{order}-gram"] = {"loss": math.log(scores.metrics["perplexity"])}
    return found


def table(found: dict[str, Any]) -> str:
    rows = [f"{name:8} loss {one['loss']:.4f}" for name, one in found.items() if "loss" in one]
    return (
        "\n".join(rows)
        + "\n"
        + "\n".join(
            f"{name:8} {found[name]['cpu_ms'][0]:.1f} ms of processor an update" for name in ("sartor", "plain")
        )
    )


def _run(asked: dict[str, Any], opening: Any) -> Any:
    backbone = parts.part("backbones", asked["backbone"]).learn(opening.split.train)
    made = parts.part("methods", "full"), parts.part("objectives", "supervised")
    plan = plan_from({"seed": asked["seed"], "max_steps": asked["steps"], **asked["plan"]})
    recipe = Recipe(task=opening.task, backbone=backbone, method=made[0], objective=made[1], plan=plan)
    return prepare(recipe, opening.task.encode(opening.split.train, backbone.build(opening.task.layout)))


def _in_turn(loops: dict[str, Iterator[Any]], size: int) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of an update of each: the median of its slices, the lowest and the highest."""
    wall: dict[str, list[float]] = {name: [] for name in loops}
    used: dict[str, list[float]] = {name: [] for name in loops}
    alive = dict(loops)
    while alive:
        for name in list(alive):
            began, spent = time.perf_counter(), time.process_time()
            steps = sum(1 for _, _ in zip(range(size), alive[name], strict=False))
            if steps < size:
                del alive[name]
            if steps:
                wall[name].append(1e3 * (time.perf_counter() - began) / steps)
                used[name].append(1e3 * (time.process_time() - spent) / steps)
        print({n: round(statistics.median(v), 1) for n, v in used.items() if v}, flush=True)
    return {name: {"wall_ms": _range(wall[name]), "cpu_ms": _range(used[name])} for name in loops}


def _range(values: list[float]) -> list[float]:
    return [round(v, 2) for v in (statistics.median(values), min(values), max(values))]


@torch.no_grad()
def _loss(scores: Callable[[Any], Any], ids: Any) -> float:
    """Mean nats of a character over consecutive windows."""
    size = plain_gpt.T
    count = (len(ids) - 1) // size
    x, y = ids[: count * size].view(count, size), ids[1 : count * size + 1].view(count, size)
    total = 0.0
    for some, right in zip(x.split(64), y.split(64), strict=True):
        found = scores(some).float()
        total += float(torch.nn.functional.cross_entropy(found.flatten(0, 1), right.flatten(), reduction="sum"))
    return total / (count * size)
