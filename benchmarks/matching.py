"""Pairs: what two towers make of them, beside baselines that train nothing or next to nothing.

Every set is written as JSON lines with its parts apart; the last part is the test part, which nothing is chosen by.
Intervals are over queries (over pairs where scores are asked for).

    sick            how related two sentences are (1 to 5); test: the official trial part
    sick_partners   of the pairs with a relatedness of at least 4, who is whose; parts cut from the training file
    ucm_captions    aerial images and five captions each; test: the official validation part, 210 images
    movielens100k   what a person liked, as titles, and a film that they also liked; films of the validation and of the
                    test part occur in no other part, neither as partners nor in what was liked (cold items)
"""

from __future__ import annotations

import csv
import gzip
import json
import resource
import tempfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sets import shared

import sartor
from sartor.baseline import Baseline
from sartor.data.hints import Hints
from sartor.measuring import intervals
from sartor.opening import open_data
from sartor.part import part

Lines = list[dict[str, Any]]
LIKED = 4
"""The least rating of a film that somebody liked."""


def measure(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Every baseline and every run on the test part of one set."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        parts = SETS[asked["set"]](folder, asked)
        for name, lines in parts.items():
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
        files = {name: str(folder / f"{name}.jsonl") for name in parts}
        return {"sizes": {name: len(lines) for name, lines in parts.items()}, **_measured(files, folder, asked)}


def _measured(files: Mapping[str, str], folder: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = {"validation": files.get("validation"), "test": files.get("test")}
    hints = Hints(target=asked.get("target"))
    opening = open_data(files["train"], hints, "matching", given["validation"], given["test"], asked["seed"])
    found: dict[str, Any] = {}
    for name in asked["baselines"]:
        began, used = time.monotonic(), _cpu()
        made = part("baselines", name)
        assert isinstance(made, Baseline)
        said = made.fit(opening.task, opening.split.train, asked["seed"]).predict(opening.split.test)
        found[name] = _scores(intervals(opening.task, said, opening.split.test)) | _took(began, used)
        print(name, found[name], flush=True)
    for name, run in asked["runs"].items():
        began, used = time.monotonic(), _cpu()
        plan = {"seed": asked["seed"], **run.get("plan", {})}
        words = {"backbone": run["backbone"], "method": run["method"], "task": "matching", "hints": hints, **given}
        told = sartor.finetune(files["train"], seed=asked["seed"], plan=plan, out=folder / name, **words).to_json()
        found[name] = _scores(told["test"]) | {"steps": told["steps"], "looks": told["losses"]} | _took(began, used)
        print(name, found[name], flush=True)
    return {"parts": opening.split.sizes(), "how": opening.split.how, "candidates": found}


def _sick(folder: Path, asked: Mapping[str, Any]) -> dict[str, Lines]:
    return {name: _read(f"sick/{file}.jsonl.gz") for name, file in (("train", "train"), ("test", "trial"))}


def _sick_partners(folder: Path, asked: Mapping[str, Any]) -> dict[str, Lines]:
    rows = [row for row in _read("sick/train.jsonl.gz") if row["relatedness"] >= LIKED]
    return {"train": [{"query": row["sentence1"], "passage": row["sentence2"]} for row in rows]}


def _ucm_captions(folder: Path, asked: Mapping[str, Any]) -> dict[str, Lines]:
    parts: dict[str, Lines] = {}
    for name, file in (("train", "train"), ("test", "val")):
        with zipfile.ZipFile(shared(f"ucm_captions/{file}_images.zip")) as archive:
            archive.extractall(folder / file)
        rows = _read(f"ucm_captions/{file}.jsonl.gz")
        parts[name] = [{"caption": text, "image": f"{file}/{row['image']}"} for row in rows for text in row["captions"]]
    return parts


def _movielens(folder: Path, asked: Mapping[str, Any]) -> dict[str, Lines]:
    """Pairs of three liked films and another one. A tenth of the films is cold in the validation part, another in the
    test part; what was liked is named by warm films alone."""
    with gzip.open(shared("movielens100k/items.csv.gz"), "rt", encoding="utf-8") as file:
        texts = {row["item_id"]: f"{row['title']}: {row['genres'].replace('|', ', ')}" for row in csv.DictReader(file)}
    with gzip.open(shared("movielens100k/ratings_u1_base.csv.gz"), "rt", encoding="utf-8") as file:
        liked: dict[str, list[str]] = {}
        for row in csv.DictReader(file):
            if float(row["rating"]) >= LIKED:
                liked.setdefault(row["user_id"], []).append(row["item_id"])
    draw = np.random.default_rng(asked["seed"])
    items = draw.permutation(sorted(texts, key=int)).tolist()
    tenth = len(items) // 10
    cold = {"validation": set(items[:tenth]), "test": set(items[tenth : 2 * tenth])}
    warm = set(items[2 * tenth :])
    parts: dict[str, Lines] = {"train": [], "validation": [], "test": []}
    for user in draw.permutation(sorted(liked, key=int)).tolist():
        known = draw.permutation([item for item in liked[user] if item in warm]).tolist()
        if len(known) < asked["history"] + 1:
            continue
        told = " | ".join(texts[item] for item in known[: asked["history"]])
        others = known[asked["history"] : asked["history"] + asked["each"]]
        parts["train"] += [{"query": told, "passage": texts[item]} for item in others]
        for name, chosen in cold.items():
            if len({line["query"] for line in parts[name]}) < asked["people"]:
                parts[name] += [{"query": told, "passage": texts[item]} for item in liked[user] if item in chosen]
    return parts


SETS = {"sick": _sick, "sick_partners": _sick_partners, "ucm_captions": _ucm_captions, "movielens100k": _movielens}


def _read(name: str) -> Lines:
    with gzip.open(shared(name), "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _scores(found: Mapping[str, Any]) -> dict[str, Any]:
    """Metric -> value, low, high."""
    return {metric: [round(float(one[key]), 4) for key in ("value", "low", "high")] for metric, one in found.items()}


def _took(began: float, used: float) -> dict[str, float]:
    return {"wall_seconds": round(time.monotonic() - began, 1), "cpu_seconds": round(_cpu() - used, 1)}


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def table(found: Mapping[str, Any]) -> str:
    """For people."""
    lines = []
    for name, told in found["candidates"].items():
        shown = [
            f"{m} {v[0]:.3f} [{v[1]:.3f}, {v[2]:.3f}]" for m, v in told.items() if isinstance(v, list) and m != "looks"
        ]
        lines.append(f"{name}: " + "; ".join(shown))
    return "\n".join(lines)
