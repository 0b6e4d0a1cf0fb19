"""One modality, the other, and both: the same rows, parts and scores for all of them, and what becomes of the joint
network where one modality is missing or belongs to another row.

The training file is parted into a training and a validation part; the given validation file is the test part, which
nothing is chosen by. The joint network is made of the bodies that were trained alone, or of what its recipe names.
"""

from __future__ import annotations

import csv
import gzip
import json
import resource
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sets import shared

import sartor
from sartor.data.hints import Hints
from sartor.data.read import read
from sartor.data.rows import Rows
from sartor.measuring import intervals
from sartor.position.statistics import paired
from sartor.predictions import Predictions

TEXTS, PHOTO = ("title", "attributes"), "image"
LEAST = 25
INPUTS = {"text": TEXTS, "photo": (PHOTO,), "both": (*TEXTS, PHOTO)}


def measure(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Target -> run -> scores on the test part; then the joint one against the best of the single ones."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for part in ("train", "val"):
            _write(folder, part, asked["targets"], asked["rows"])
        return {target: _of_target(folder, target, asked) for target in asked["targets"]}


def _write(folder: Path, part: str, targets: list[str], most: int) -> None:
    """Products as JSON lines beside their photos: a title, the attributes that are not asked for, a photo. Left out are
    those whose target nobody knows or has fewer than 25 training rows; of the rest the first `most` are taken."""
    with zipfile.ZipFile(shared(f"fashion_products/{part}_images.zip")) as archive:
        archive.extractall(folder / "images")
    with gzip.open(shared(f"fashion_products/{part}.csv.gz"), "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with gzip.open(shared("fashion_products/train.csv.gz"), "rt", encoding="utf-8") as file:
        counts = Counter((target, row[target]) for row in csv.DictReader(file) for target in targets)
    lines = [
        {
            "title": row["productDisplayName"],
            "attributes": f"{row['gender']}; {row['season']} {row['year']}; {row['usage']}",
            PHOTO: f"images/{row['id']}.jpg",
            **{target: row[target] for target in targets},
        }
        for row in rows
        if all(row[target] not in ("", "NA") and counts[target, row[target]] >= LEAST for target in targets)
    ]
    (folder / f"{part}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines[:most]), "utf-8")


def _of_target(folder: Path, target: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    said: dict[str, tuple[Predictions, Any]] = {}
    bundles: dict[str, str] = {}
    for name, run in asked["runs"].items():
        began, used = time.monotonic(), _cpu()
        kept = {*INPUTS[run["inputs"]], target}
        others = (*INPUTS["both"], *asked["targets"])
        hints = Hints(target=target, ignore=tuple(c for c in others if c not in kept), kinds=_kinds(run["inputs"]))
        done = sartor.finetune(
            str(folder / "train.jsonl"),
            hints=hints,
            test=str(folder / "val.jsonl"),
            backbone=run["backbone"].format(**bundles),
            method=run["method"],
            plan={"seed": asked["seed"], **run.get("plan", {})},
            out=folder / target / name,
        )
        told, bundle = done.to_json(), done.bundle
        bundles[name] = str(bundle.path)
        rows = read(str(folder / "val.jsonl"), like=bundle.schema)
        said[name] = (bundle.answer(rows), bundle.task)
        found[name] = {
            "test": _rounded(intervals(bundle.task, said[name][0], rows)),
            "parts": told["data"]["parts"],
            "steps": told["steps"],
            "wall_seconds": round(time.monotonic() - began, 1),
            "cpu_seconds": round(_cpu() - used, 1),
            **({"gaps": _gaps(bundle, rows, said[name][0])} if run["inputs"] == "both" else {}),
        }
        print(target, name, found[name]["test"]["accuracy"], found[name].get("gaps"), flush=True)
    return {"runs": found, "compared": _compared(asked, found, said, rows)}


def _kinds(inputs: str) -> dict[str, str]:
    kinds = {**dict.fromkeys(TEXTS, "text"), PHOTO: "image"}
    return {name: kind for name, kind in kinds.items() if name in INPUTS[inputs]}


def _gaps(bundle: Any, rows: Rows, whole: Predictions) -> dict[str, Any]:
    """Accuracy of the joint network without the photo, without the texts, and with another row's photo."""
    photos = list(rows.columns[PHOTO])
    turned = [photos[i] for i in np.random.default_rng(0).permutation(len(photos))]
    changed = {
        "no photo": {PHOTO: [None] * len(rows)},
        "no text": {name: [""] * len(rows) for name in TEXTS},
        "another row's photo": {PHOTO: turned},
    }
    out = {}
    for name, columns in changed.items():
        asked = Rows(rows.schema, {**rows.columns, **columns}, rows.numbers, rows.lines, rows.source)
        scores = intervals(bundle.task, bundle.answer(asked), asked)
        out[name] = _rounded(scores)["accuracy"]
    return out


def _compared(asked: Mapping[str, Any], found: Mapping[str, Any], said: Mapping[str, Any], rows: Rows) -> Any:
    """Each joint run against the best single one, on the same rows of the test part."""
    single = [name for name, run in asked["runs"].items() if run["inputs"] != "both"]
    best = max(single, key=lambda name: found[name]["test"]["accuracy"]["value"])
    out = {}
    for name, run in asked["runs"].items():
        if run["inputs"] == "both":
            items = [task.score(p, rows).items["accuracy"] for p, task in (said[name], said[best])]
            told = paired(*items, lower_is_better=False, metric="accuracy", seed=0, draws=2000)
            out[name] = {"against": best, "difference": told.difference, "low": told.low, "high": told.high}
            print(name, out[name], flush=True)
    return _rounded(out)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    return {key: _rounded(inner) for key, inner in value.items()} if isinstance(value, Mapping) else value


def table(found: Mapping[str, Any]) -> str:
    """For people."""
    lines = []
    for target, told in found.items():
        for name, run in told["runs"].items():
            a = run["test"]["accuracy"]
            lines.append(f"{target}, {name}: {a['value']:.3f} [{a['low']:.3f}, {a['high']:.3f}]")
            lines += [f"    {gap}: {s['value']:.3f}" for gap, s in run.get("gaps", {}).items()]
        for name, c in told["compared"].items():
            lines.append(f"    {name} - {c['against']}: {c['difference']:+.3f} [{c['low']:+.3f}, {c['high']:+.3f}]")
    return "\n".join(lines)
