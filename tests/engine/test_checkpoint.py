"""Checkpoints on disk: whole or not at all, and nothing else accepted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sartor.engine import checkpoint
from sartor.engine.train import Run
from sartor.errors import BadInput
from text_samples import labelled
from tiny_runs import begun, recipe, same_bits, steps, weights

ROWS = labelled(16)


@pytest.fixture
def run(tiny_encoder: Path) -> Iterator[Run]:
    made, encoded = begun(recipe(tiny_encoder, ROWS, "lora:r=2", max_steps=3), ROWS)
    list(steps(made, encoded))
    return made


def fresh(tiny_encoder: Path) -> Run:
    return begun(recipe(tiny_encoder, ROWS, "lora:r=2", max_steps=3), ROWS)[0]


def test_it_holds_only_what_moves_and_no_pickle(run: Run, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    checkpoint.save(run, tmp_path / "last")
    assert {f.name for f in (tmp_path / "last").iterdir()} == {"run.json", *checkpoint.FILES}
    kept = load_file(tmp_path / "last" / "weights.safetensors")
    assert {n.removeprefix("now.") for n in kept} == set(run.net.trainable())
    assert all("lora_" in name or "head." in name for name in kept)


def test_everything_comes_back(run: Run, tiny_encoder: Path, tmp_path: Path) -> None:
    run.losses, run.seconds = [(0, 1.5), (3, float("inf"))], 2.5
    run.kept = {name: w.detach() + 1 for name, w in run.net.trainable().items()}
    checkpoint.save(run, tmp_path / "last")
    again = fresh(tiny_encoder)
    assert not same_bits(weights(again), weights(run))
    checkpoint.load(again, tmp_path / "last")
    assert (again.done, again.seconds, again.losses) == (3, 2.5, run.losses)
    assert same_bits(weights(again), weights(run))
    assert same_bits(again.kept, run.kept)
    assert again.state is not None
    assert run.state is not None
    theirs = again.state.optimizer.state_dict()["state"]
    for place, kept in run.state.optimizer.state_dict()["state"].items():
        assert same_bits(theirs[place], kept)


def test_a_run_that_has_not_begun_can_be_kept(tiny_encoder: Path, tmp_path: Path) -> None:
    made = fresh(tiny_encoder)
    checkpoint.save(made, tmp_path / "last")
    checkpoint.load(made, tmp_path / "last")
    assert made.done == 0


@pytest.mark.parametrize("name", checkpoint.FILES)
def test_a_damaged_file_is_named(run: Run, tiny_encoder: Path, tmp_path: Path, name: str) -> None:
    checkpoint.save(run, tmp_path / "last")
    file = tmp_path / "last" / name
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(BadInput) as raised:
        checkpoint.load(fresh(tiny_encoder), tmp_path / "last")
    assert str(raised.value) == (
        f"error[CKPT_CORRUPT]: {tmp_path / 'last'}: '{name}' of the checkpoint was damaged. "
        "Fix: start again with --overwrite."
    )


def test_a_save_that_fails_leaves_the_older_one(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(run, tmp_path / "last")
    before = {f.name: f.read_bytes() for f in (tmp_path / "last").iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "_moments", full)
    with torch.no_grad():
        next(iter(run.net.trainable().values())).add_(1)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(run, tmp_path / "last")
    assert {f.name: f.read_bytes() for f in (tmp_path / "last").iterdir()} == before
    assert [f.name for f in tmp_path.iterdir()] == ["last"]


def test_it_replaces_the_older_one(run: Run, tmp_path: Path) -> None:
    for seconds in (1.0, 2.0):
        run.seconds = seconds
        checkpoint.save(run, tmp_path / "last")
    assert json.loads((tmp_path / "last" / "run.json").read_text())["seconds"] == 2.0
    assert [f.name for f in tmp_path.iterdir()] == ["last"]


def test_a_run_on_another_number_of_devices_is_told(
    run: Run, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.save(run, tmp_path / "last")
    again = fresh(tiny_encoder)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(BadInput) as raised:
        checkpoint.load(again, tmp_path / "last")
    assert str(raised.value) == (
        f"error[CKPT_DEVICES]: {tmp_path / 'last'}: the checkpoint is of a run on 1 devices, and this one has 2. "
        "Fix: start as many processes as before, or start again with --overwrite."
    )
