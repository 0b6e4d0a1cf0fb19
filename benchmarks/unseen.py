"""Learning to learn: sine waves, handwritten characters, banking intents. `python benchmarks/run.py meta_sinusoid ...`.

sinusoid    mean squared error on unseen waves, by objective and number of meta-iterations
characters  Omniglot (Lake et al. 2015): accuracy over episodes of alphabets that were never trained on
intents     Banking77 (Casanueva et al. 2020): accuracy over episodes of intents that were never trained on

Characters and intents go the whole way of a user, `sartor finetune` on files; what stands beside them (the nearest
example by pixels or by frozen MiniLM) is asked the very same episodes.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sinusoid
from numpy.typing import NDArray
from sets import shared

from sartor.asking import Shape
from sartor.data.hints import Hints
from sartor.data.read import read
from sartor.data.rows import Rows
from sartor.episodic import classes_of, trials
from sartor.position.intervals import mean_interval

SARTOR = Path(sys.executable).with_name("sartor")
ALPHABETS = "omniglot/images_background_small1.zip"
TURNS = (0, 90, 180, 270)
SIDE = 64
EPISODES, QUERIES, WAYS = 600, 5, 5
"""As `few_shot` asks by default."""
Floats = NDArray[np.float32]


def measure(asked: dict[str, Any]) -> dict[str, Any]:
    return {"sinusoid": waves, "characters": characters, "intents": intents}[asked["what"]](asked)


def table(found: Mapping[str, Any]) -> str:
    """A line for each run."""
    lines = []
    for run in found.get("runs", []):
        if "mse" in run:
            said = "  ".join(f"{name}: {e['mean']:.3f} ± {e['half']:.3f}" for name, e in run["mse"].items())
            lines.append(f"{run['name']:<12} {run['meta_iterations']:>6} {run['cpu_seconds']:6.0f} s  {said}")
        else:
            lines.append(f"{run['name']:<40} {run['shots']} shots, seed {run['seed']}: {_said(run['accuracy'])}")
    for fold in found.get("folds", []):
        for name, run in fold["shots"].items():
            beside = f"pixels {_said(run['pixels'])}"
            lines.append(f"{' + '.join(fold['held']):<26} {name} shots: {_said(run['accuracy'])}  {beside}")
    return "\n".join([*lines, *([f"mean over folds: {found['mean']}"] if "mean" in found else [])])


def _said(interval: Mapping[str, Any]) -> str:
    return f"{100 * interval['value']:.1f} [{100 * interval['low']:.1f}, {100 * interval['high']:.1f}]"


def waves(asked: dict[str, Any]) -> dict[str, Any]:
    found = []
    for name, objective in asked["objectives"].items():
        for steps in asked["meta_iterations"]:
            found.append({"name": name, **sinusoid.learn(asked, objective, steps)})
            print(table({"runs": found[-1:]}), file=sys.stderr, flush=True)
    return {"runs": found}


# Characters


def characters(asked: dict[str, Any]) -> dict[str, Any]:
    """Each fold holds alphabets out as the test part; of the others a sixth of the characters choose the weights."""
    folds = []
    with tempfile.TemporaryDirectory() as made:
        drawings = list(_drawings(Path(made)))
        for number, held in enumerate(asked["folds"]):
            folds.append(_fold(asked, Path(made), drawings, held, number))
            print(table({"folds": folds[-1:]}), file=sys.stderr, flush=True)
    shots = folds[0]["shots"]
    return {
        "folds": folds,
        "mean": {s: float(np.mean([f["shots"][s]["accuracy"]["value"] for f in folds])) for s in shots},
    }


def _drawings(folder: Path) -> Iterator[dict[str, Any]]:
    """Every drawing as a file, upright and turned; a turned character is a class of its own, and only trained on."""
    from PIL import Image

    with zipfile.ZipFile(shared(ALPHABETS)) as archive:
        for name in sorted(n for n in archive.namelist() if n.endswith(".png")):
            alphabet, character, drawing = name.split("/")[-3:]
            image = _framed(Image.open(io.BytesIO(archive.read(name))).convert("L"))
            for turn in TURNS:
                file = f"{alphabet}-{character}-{drawing.removesuffix('.png')}-{turn}.png"
                image.rotate(turn).save(folder / file)
                label = f"{alphabet} {character} {turn}"
                yield {"image": file, "character": label, "of": f"{alphabet} {character}", "in": alphabet, "turn": turn}


def _framed(image: Any) -> Any:
    """The square around what is drawn, with a little room: where on the sheet and how large it was is no matter."""
    from PIL import Image

    down, right = np.nonzero(np.asarray(image) < 128)
    half = 0.575 * max(np.ptp(down), np.ptp(right)) + 2
    left, top = (right.min() + right.max()) / 2 - half, (down.min() + down.max()) / 2 - half
    corner = (2 * half / SIDE, 0, left, 0, 2 * half / SIDE, top)
    return image.transform((SIDE, SIDE), Image.Transform.AFFINE, corner, Image.Resampling.BILINEAR, fillcolor=255)


def _fold(
    asked: Mapping[str, Any], folder: Path, drawings: Sequence[Mapping[str, Any]], held: list[str], number: int
) -> dict[str, Any]:
    known = sorted({d["of"] for d in drawings if d["in"] not in held})
    order = np.random.default_rng(number).permutation(len(known))
    choosing = {known[i] for i in order[: len(known) // 6]}
    parts = {
        "train": [d for d in drawings if d["in"] not in held and d["of"] not in choosing],
        "validation": [d for d in drawings if d["of"] in choosing and not d["turn"]],
        "test": [d for d in drawings if d["in"] in held and not d["turn"]],
    }
    for name, rows in parts.items():
        _write(folder / f"{name}.csv", rows, ("image", "character"))
    words = ["--target", "character", "--objective", asked["objective"], "--backbone", asked["backbone"]]
    words += ["--validation", str(folder / "validation.csv"), "--test", str(folder / "test.csv")]
    found = {}
    for shots in asked["shots"]:
        done = finetune(folder / "train.csv", [*words, "--task", f"few_shot:shots={shots}"], asked)
        found[str(shots)] = done | {"pixels": nearest_pixels(folder / "test.csv", shots)}
    classes = {name: len({d["character"] for d in rows}) for name, rows in parts.items()}
    return {"held": held, "classes": classes, "shots": found}


def _write(file: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def nearest_pixels(file: Path, shots: int) -> dict[str, Any]:
    """The nearest example by the pixels of 28 x 28, nothing learned."""
    from PIL import Image

    with file.open(encoding="utf-8") as lines:
        names = [row["image"] for row in csv.DictReader(lines)]
    images = [np.asarray(Image.open(file.parent / name).resize((28, 28)), dtype=np.float32).ravel() for name in names]
    return nearest(read(file, Hints(target="character")), np.stack(images), shots)


def nearest(rows: Rows, points: Floats, shots: int, means: bool = False) -> dict[str, Any]:
    """Accuracy over episodes of the class of the nearest example, or of the nearest mean of a class's examples."""
    found, classes, shape = [], classes_of(rows), Shape(WAYS, shots, QUERIES)
    for places in trials(rows, shape, EPISODES):
        told, asked = places[: shape.support], places[shape.support :]
        near, labels = points[told], classes[told]
        if means:
            near, labels = near.reshape(shape.ways, shape.shots, -1).mean(1), labels[:: shape.shots]
        far = ((points[asked][:, None] - near[None]) ** 2).sum(-1)
        found.append(float((labels[far.argmin(1)] == classes[asked]).mean()))
    return mean_interval(np.array(found), within=(0.0, 1.0)).to_json()


# Intents


def intents(asked: dict[str, Any]) -> dict[str, Any]:
    data, found = shared(asked["data"]), []
    for seed in asked["seeds"]:
        for shots in asked["shots"]:
            which = {"seed": seed, "shots": shots}
            task = ["--target", "label", "--seed", str(seed), "--task", f"few_shot:shots={shots}"]
            runs = {name: finetune(data, [*task, *words.split()], asked) for name, words in asked["runs"].items()}
            runs |= {name: {"accuracy": said} for name, said in frozen(data, seed, shots).items()}
            found += [{"name": name, **which, **run} for name, run in runs.items()]
            print(table({"runs": found[-len(runs) :]}), file=sys.stderr, flush=True)
    return {"runs": found}


def frozen(data: Path, seed: int, shots: int) -> dict[str, dict[str, Any]]:
    """MiniLM as it is, vectors of length one, on the same test part and episodes."""
    from sartor.backbones.minilm import MiniLM
    from sartor.data.inputs import inputs
    from sartor.engine.features import features
    from sartor.opening import open_data

    rows = open_data(data, Hints(target="label"), f"few_shot:shots={shots}", None, None, seed).split.test
    body = MiniLM().build("row").eval()
    points = features(body, body.encode(inputs(rows, body.reads))).numpy()
    points = points / np.linalg.norm(points, axis=1, keepdims=True)
    return {
        "frozen MiniLM, nearest example": nearest(rows, points, shots),
        "frozen MiniLM, nearest mean": nearest(rows, points, shots, means=True),
    }


def finetune(data: Path, words: Sequence[str], asked: Mapping[str, Any]) -> dict[str, Any]:
    """`sartor finetune`: the accuracy on the test part, and what it took."""
    plan = [word for key, value in asked.get("plan", {}).items() for word in ("--set", f"plan.{key}={value}")]
    with tempfile.TemporaryDirectory() as out:
        call = [str(SARTOR), "finetune", str(data), *words, *plan, "--out", f"{out}/run", "--json"]
        done = subprocess.run(call, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(call)}\n{done.stderr[-2000:]}")
        result = json.loads(done.stdout)["result"]
    taken = {name: result["costs"][name]["value"] for name in ("train_seconds", "latency_ms_p50")}
    held = {"accuracy": result["test"]["accuracy"], "validation": result["intervals"]["accuracy"]}
    return held | {"steps": result["steps"], **taken}
