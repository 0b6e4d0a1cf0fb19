"""Checkpoints: a run as it stands, on disk whole or not at all; going on takes the same steps as never stopping.

    run.json              recipe fingerprint, step, seconds, the held-out losses, the sha256 of the two files below
    weights.safetensors   the weights that move, and the best of them so far
    optimizer.safetensors AdamW's moments

Order and randomness are functions of (seed, step), so no generator's state needs to be kept.
"""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from sartor.disk import sync
from sartor.engine import launch
from sartor.engine.devices import full, like
from sartor.engine.train import Run
from sartor.errors import BadInput
from sartor.pretrained.gate import sha256

FILES = ("weights.safetensors", "optimizer.safetensors")


def save(run: Run, folder: Path) -> None:
    """Write the run into `folder`, replacing an older checkpoint only when the new one is complete and on the disk.

    Of several processes the first writes; of a sharded network all must call, and what is written is whole."""
    assert run.state is not None
    weights = {f"now.{n}": full(w.detach()).contiguous() for n, w in run.net.trainable().items()}
    weights |= {f"best.{n}": full(w).contiguous() for n, w in run.kept.items()}
    moments = _moments(run)
    if not launch.first():
        return
    beside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    beside.mkdir(parents=True)
    try:
        save_file(weights, beside / FILES[0])
        save_file(moments, beside / FILES[1])
        facts = {"recipe": run.recipe.fingerprint(), "step": run.done, "seconds": run.seconds, "losses": run.losses}
        facts |= {"devices": launch.world()}
        hashes = {name: sha256(beside / name) for name in FILES}
        (beside / "run.json").write_text(json.dumps({**facts, "sha256": hashes}), "utf-8")
        for file in (*beside.iterdir(), beside):
            sync(file)
        old = folder.with_name(f"{beside.name}.old")
        if folder.exists():
            folder.rename(old)
        beside.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
        sync(folder.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def load(run: Run, folder: Path) -> None:
    """Put the run where the checkpoint left it. Raises `BadInput` for a damaged or a foreign one."""
    facts = json.loads((folder / "run.json").read_text("utf-8"))
    for name, expected in facts["sha256"].items():
        if sha256(folder / name) != expected:
            fix = "start again with --overwrite"
            raise BadInput("CKPT_CORRUPT", f"'{name}' of the checkpoint was damaged", fix=fix, where=str(folder))
    if facts["recipe"] != run.recipe.fingerprint():
        fix = "give the same words as before, or start again with --overwrite"
        raise BadInput("CKPT_MISMATCH", "the checkpoint is of another recipe", fix=fix, where=str(folder))
    if facts["devices"] != launch.world():
        said = f"the checkpoint is of a run on {facts['devices']} devices, and this one has {launch.world()}"
        fix = "start as many processes as before, or start again with --overwrite"
        raise BadInput("CKPT_DEVICES", said, fix=fix, where=str(folder))
    weights = load_file(folder / FILES[0])
    with torch.no_grad():
        for name, weight in run.net.trainable().items():
            weight.copy_(like(weights[f"now.{name}"], weight))
    moving = run.net.trainable()
    best = {n.removeprefix("best."): w for n, w in weights.items() if n.startswith("best.")}
    run.kept = {name: like(w, moving[name]) for name, w in best.items()}
    _restore_moments(run, load_file(folder / FILES[1]))
    assert run.state is not None
    run.state.step, run.seconds = facts["step"], facts["seconds"]
    run.losses = [(int(step), float(loss)) for step, loss in facts["losses"]]


def _moments(run: Run) -> dict[str, torch.Tensor]:
    """place.key -> tensor, where place is the weight's position in the optimizer's groups."""
    assert run.state is not None
    found = run.state.optimizer.state_dict()["state"]
    return {f"{place}.{key}": full(value).contiguous() for place, kept in found.items() for key, value in kept.items()}


def _restore_moments(run: Run, moments: dict[str, torch.Tensor]) -> None:
    assert run.state is not None
    assert run.state is not None
    places = [weight for group in run.state.optimizer.param_groups for weight in group["params"]]
    kept: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in moments.items():
        place, _, key = name.partition(".")
        kept.setdefault(int(place), {})[key] = like(value, places[int(place)])
    whole = run.state.optimizer.state_dict()
    run.state.optimizer.load_state_dict({**whole, "state": kept})
