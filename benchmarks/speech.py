"""Speech networks beside classical models: the same tables, parts and scores for all of them.

`split` says which recordings of FSDD are held out: `index` the first that are here of each digit and speaker (the
official test has the five before them), a speaker's name all of that speaker's; `strings` joins single digits of one
speaker into strings, those of held-out recordings apart. Other data are parted by Sartor.
"""

from __future__ import annotations

import csv
import io
import tempfile
import time
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from sets import shared

import sartor
from sartor.baseline import Baseline
from sartor.data.hints import Hints
from sartor.measuring import intervals
from sartor.opening import open_data
from sartor.part import part

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
RATE = 8000
HELD_OUT = 5
"""Recordings of each digit and speaker behind the official test's."""
Clip = tuple[str, int, str, int]
"""Member of the archive, digit, speaker, index."""


def measure(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Split -> candidate -> scores on what is held out."""
    found: dict[str, Any] = {}
    for split in asked["splits"]:
        with tempfile.TemporaryDirectory() as made:
            train, test = _tables(Path(made), asked, split)
            found[split] = _candidates(train, test, asked, Path(made))
    return found


def _candidates(train: Path, test: Path | None, asked: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    hints = Hints(target=asked["target"])
    held = None if test is None else str(test)
    opening = open_data(str(train), hints, None, None, held, asked["seed"])
    found: dict[str, Any] = {"parts": opening.split.sizes(), "how": opening.split.how}
    for name in asked["baselines"]:
        baseline = part("baselines", name)
        assert isinstance(baseline, Baseline)
        began = time.monotonic()
        fitted = baseline.fit(opening.task, opening.split.train, asked["seed"])
        scores = intervals(opening.task, fitted.predict(opening.split.test), opening.split.test)
        found[name] = _shown(scores) | {"wall_seconds": round(time.monotonic() - began, 1)}
        print(train.stem, name, found[name], flush=True)
    for name, words in asked.get("runs", {}).items():
        began, cpu = time.monotonic(), time.process_time()
        done = sartor.finetune(
            str(train),
            test=held,
            target=asked["target"],
            backbone=words["backbone"],
            plan=words["plan"],
            seed=asked["seed"],
            out=folder / name,
        ).to_json()
        found[name] = _shown(done["test"]) | {"steps": done["steps"], "looks": done["losses"]}
        took = {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.monotonic() - began}
        found[name] |= {key: round(value, 1) for key, value in took.items()}
        print(train.stem, name, _shown(done["test"]), took, flush=True)
    return found


def _shown(scores: Mapping[str, Any]) -> dict[str, Any]:
    return {metric: [round(float(one[key]), 4) for key in ("value", "low", "high")] for metric, one in scores.items()}


def _tables(folder: Path, asked: Mapping[str, Any], split: str) -> tuple[Path, Path | None]:
    """The training table, and the held-out one where the split makes it."""
    if asked["data"] != "fsdd":
        return shared(f"{asked['data']}/train.csv"), None
    archive = zipfile.ZipFile(shared("fsdd/train.zip"))
    clips = [_clip(name) for name in sorted(archive.namelist()) if name.endswith(".wav")]
    first = {index for _, _, _, index in clips}
    held = sorted(first)[:HELD_OUT]
    speaker = split if split in {c[2] for c in clips} else None
    out = [c for c in clips if (c[2] == speaker if speaker else c[3] in held)]
    rest = [c for c in clips if c not in set(out)]
    if split == "strings":
        return tuple(_strings(folder / n, archive, some, asked[n]) for n, some in (("train", rest), ("test", out)))  # type: ignore[return-value]
    (folder / "clips.zip").symlink_to(shared("fsdd/train.zip"))
    return _write(folder / "train.csv", asked, rest), _write(folder / "test.csv", asked, out)


def _clip(name: str) -> Clip:
    digit, speaker, index = Path(name).stem.split("_")
    return name, int(digit), speaker, int(index)


def _write(path: Path, asked: Mapping[str, Any], clips: Iterable[Clip]) -> Path:
    return _table(path, asked["target"], [(name, WORDS[digit]) for name, digit, _, _ in clips])


def _table(path: Path, target: str, rows: Iterable[tuple[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["audio", target])
        writer.writerows(rows)
    return path


def _strings(folder: Path, archive: zipfile.ZipFile, clips: list[Clip], count: int) -> Path:
    """`count` strings of 3 to 6 digits, each by one speaker, with 0 to 150 ms of silence between them."""
    folder.mkdir()
    draw = np.random.default_rng(len(clips))
    speakers = sorted({speaker for _, _, speaker, _ in clips})
    by = {s: [c for c in clips if c[2] == s] for s in speakers}
    rows = []
    for i in range(count):
        own = by[speakers[i % len(speakers)]]
        some = [own[k] for k in draw.integers(len(own), size=int(draw.integers(3, 7)))]
        parts = [np.zeros(int(draw.integers(0, RATE * 0.15)), dtype=np.float32)]
        for name, *_ in some:
            sound, rate = soundfile.read(io.BytesIO(archive.read(name)), dtype="float32")
            assert rate == RATE
            parts += [sound, np.zeros(int(draw.integers(0, RATE * 0.15)), dtype=np.float32)]
        soundfile.write(folder / f"{i}.wav", np.concatenate(parts), RATE)
        rows.append((f"{i}.wav", " ".join(WORDS[digit] for _, digit, _, _ in some)))
    return _table(folder / f"{folder.name}.csv", "text", rows)


def table(found: Mapping[str, Any]) -> str:
    """The headline of every candidate for people."""
    lines = []
    for split, candidates in found.items():
        for name, told in candidates.items():
            if isinstance(told, Mapping) and name not in ("parts", "how"):
                metric, (value, low, high) = next(iter(told.items()))
                lines.append(f"{split}: {name}: {metric} {value:.3f} [{low:.3f}, {high:.3f}]")
    return "\n".join(lines)
