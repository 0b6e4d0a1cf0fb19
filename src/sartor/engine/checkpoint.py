"""Checkpoints: a run as it stands, on disk whole or not at all; going on takes the same steps as never stopping.

    000007-step-120/
        run.json               what is no tensor, and the sha256 of all there is
        weights.safetensors    what moves, the best of it so far, its average; what the method remembers
        optimizer.safetensors  the optimizer's tensors

Each is written beside under a hidden name, synced and renamed to the next number; only then do older ones go, their
run.json first. So a numbered folder with a run.json is complete, and wherever a process is killed, the newest of them
is the one to go on from. Order and randomness are functions of (seed, step): no generator's state needs to be kept.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sartor.disk import sync
from sartor.engine import launch
from sartor.engine.devices import full, like
from sartor.engine.faults import Faults
from sartor.engine.train import Run
from sartor.errors import BadEnvironment, BadInput, disk_full
from sartor.pretrained.gate import sha256

FILES = ("weights.safetensors", "optimizer.safetensors")
MANIFEST = "run.json"
LARGEST_SHARE = 0.05
"""Of the time, for saving by the clock."""
_NUMBERED = re.compile(r"(\d{6,})-step-\d+")


@dataclass
class Saver:
    """Saves a run when enough has been done since the last time: `every` seconds, and longer where saving is slow."""

    place: Path
    every: float
    since: float = field(default_factory=time.monotonic)
    cost: float = 0.0

    def due(self) -> bool:
        """Never where several processes would have to agree on the time: those save at looks."""
        return launch.world() == 1 and time.monotonic() - self.since >= max(self.every, self.cost / LARGEST_SHARE)

    def save(self, run: Run) -> None:
        began = time.monotonic()
        save(run, self.place)
        self.since = time.monotonic()
        self.cost = self.since - began


def save(run: Run, place: Path) -> Path:
    """Write the run into a new folder in `place`; older ones go when it is on the disk.

    Of several processes the first writes; of a sharded network all must call, and what is written is whole.
    Raises `BadEnvironment` where the disk is full; the last good checkpoint stays."""
    facts, tensors = _state(run)
    if not launch.first():
        return place
    place.mkdir(parents=True, exist_ok=True)
    earlier = [path for path in place.iterdir() if path.is_dir()]
    for leftover in (path for path in earlier if path.name.startswith(".")):  # of saves that were killed
        shutil.rmtree(leftover, ignore_errors=True)
    beside = place / f".{uuid.uuid4().hex[:8]}"
    folder = place / f"{1 + max(map(_number, earlier), default=0):06d}-step-{run.done}"
    try:
        _write(facts, tensors, beside)
        beside.rename(folder)
        sync(place)
    except Exception as error:
        if disk_full(error):
            raise _no_space(place) from error
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    for older in filter(_number, earlier):
        _remove(older)
    return folder


def load(run: Run, place: Path) -> bool:
    """Put the run where the newest checkpoint that is not damaged left it; False where there is none.

    Raises `BadInput` where every one is damaged, or where it is of another recipe."""
    damage: BadInput | None = None
    for folder in complete(place):
        try:
            facts = _read(folder)
        except BadInput as error:
            damage = damage or error
            continue
        if facts["recipe"] != run.recipe.fingerprint():
            fix = "give the same words as before, or start again with --overwrite"
            raise BadInput("CKPT_MISMATCH", "the checkpoint is of another recipe", fix=fix, where=str(folder))
        if facts["devices"] != launch.world():
            said = f"the checkpoint is of a run on {facts['devices']} devices, and this one has {launch.world()}"
            fix = "start as many processes as before, or start again with --overwrite"
            raise BadInput("CKPT_DEVICES", said, fix=fix, where=str(folder))
        _restore(run, facts, folder)
        return True
    if damage is not None:
        raise damage
    return False


def complete(place: Path) -> list[Path]:
    """The complete checkpoints in `place`, the newest first."""
    if not place.is_dir():
        return []
    return sorted((p for p in place.iterdir() if _number(p) and (p / MANIFEST).is_file()), key=_number, reverse=True)


def clear(place: Path) -> None:
    """Remove every checkpoint, the oldest first."""
    for folder in reversed(complete(place)):
        _remove(folder)
    shutil.rmtree(place, ignore_errors=True)


def _number(folder: Path) -> int:
    """The checkpoint's number; 0 for what is none."""
    found = _NUMBERED.fullmatch(folder.name)
    return int(found[1]) if found else 0


def _remove(folder: Path) -> None:
    (folder / MANIFEST).unlink(missing_ok=True)  # first: what is left of a removal that was killed does not count
    shutil.rmtree(folder, ignore_errors=True)


def _state(run: Run) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """Everything of the run: facts as JSON, and the tensors of each file, whole where the network is sharded."""
    assert run.state is not None
    shelves: dict[str, Mapping[str, Tensor]]
    shelves = {"now": run.net.changing(), "best": run.kept, "average": run.average}
    shelves |= {"method": run.recipe.method.remembered(run.net)}
    weights = {
        f"{shelf}.{n}": full(w.detach()).contiguous() for shelf, kept in shelves.items() for n, w in kept.items()
    }
    moments: dict[str, Tensor] = {}
    optimizer = _packed(run.state.optimizer.state_dict(), "optimizer", moments)
    facts = {"recipe": run.recipe.fingerprint(), "step": run.done, "seconds": run.seconds, "losses": run.losses}
    facts |= {"best": run.best}
    facts |= {"start": run.start, "averaged": run.averaged, "faults": asdict(run.state.faults), "optimizer": optimizer}
    return facts | {"devices": launch.world()}, dict(zip(FILES, (weights, moments), strict=True))


def _write(facts: dict[str, Any], tensors: dict[str, dict[str, Tensor]], folder: Path) -> None:
    """Everything of the run, on the disk when this returns."""
    folder.mkdir()
    for name, kept in tensors.items():
        save_file(kept, folder / name)
    said = json.dumps(facts, indent=1)
    hashes = {name: sha256(folder / name) for name in FILES} | {"run": hashlib.sha256(said.encode()).hexdigest()}
    (folder / MANIFEST).write_text(json.dumps({"run": json.loads(said), "sha256": hashes}, indent=1), "utf-8")
    for file in (*folder.iterdir(), folder):
        sync(file)


def _read(folder: Path) -> dict[str, Any]:
    """The facts of a checkpoint, every byte of it checked. Raises `BadInput` naming the damaged file."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        facts: dict[str, Any] = manifest["run"]
        found = {"run": hashlib.sha256(json.dumps(facts, indent=1).encode()).hexdigest()}
        found |= {name: sha256(folder / name) if (folder / name).is_file() else "none" for name in FILES}
        damaged = [name for name, value in found.items() if manifest["sha256"][name] != value]
    except (ValueError, LookupError, TypeError):
        damaged = ["run"]
    if damaged:
        name = MANIFEST if damaged[0] == "run" else damaged[0]
        fix = "start again with --overwrite"
        raise BadInput("CKPT_CORRUPT", f"'{name}' of the checkpoint was damaged", fix=fix, where=str(folder))
    return facts


def _restore(run: Run, facts: dict[str, Any], folder: Path) -> None:
    assert run.state is not None
    moving = run.net.changing()
    remembered = run.recipe.method.remembered(run.net)
    shelves: dict[str, dict[str, Tensor]] = {"now": {}, "best": {}, "average": {}, "method": {}}
    for name, weight in load_file(folder / FILES[0]).items():
        shelf, _, place = name.partition(".")
        into = remembered[place] if shelf == "method" else moving[place]
        shelves[shelf][place] = like(weight.to(into.device), into)
    with torch.no_grad():
        for shelf, tensors in (("now", moving), ("method", remembered)):
            for name, into in tensors.items():
                into.copy_(shelves[shelf][name])
    run.kept, run.average, run.averaged = shelves["best"], shelves["average"], facts["averaged"]
    run.state.optimizer.load_state_dict(_unpacked(facts["optimizer"], load_file(folder / FILES[1])))
    run.state.step, run.state.faults = facts["step"], Faults(**facts["faults"])
    run.diverged = run.state.faults.diverged(run.recipe.plan.nonfinite)
    run.seconds, run.start = facts["seconds"], facts["start"]
    run.losses = [(int(step), float(loss)) for step, loss in facts["losses"]]
    run.best = tuple(facts["best"]) if facts["best"] else None


def _packed(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """`value`, made of dicts, lists and plain values, as JSON; its tensors are put aside under their paths."""
    if isinstance(value, Tensor):
        tensors[name] = full(value.detach()).contiguous()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"items": [[key, _packed(inner, f"{name}.{key}", tensors)] for key, inner in value.items()]}
    if isinstance(value, list | tuple):
        return [_packed(inner, f"{name}.{i}", tensors) for i, inner in enumerate(value)]
    return value


def _unpacked(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpacked(inner, tensors) for inner in value]
    if isinstance(value, dict) and "tensor" in value:
        return tensors[value["tensor"]]
    if isinstance(value, dict):
        return {key: _unpacked(inner, tensors) for key, inner in value["items"]}
    return value


def _no_space(place: Path) -> BadEnvironment:
    last = complete(place)
    kept = f"the last good one, {last[0].name}, stays" if last else "there is none yet"
    fix = "free some space and run the same command again with --resume"
    return BadEnvironment("DISK_FULL", f"the disk is full, no checkpoint was saved; {kept}", fix=fix, where=str(place))
