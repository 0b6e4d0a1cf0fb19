"""Checkpoints on disk: whole or not at all, and nothing else accepted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from sartor.engine import checkpoint
from sartor.engine.faults import Faults
from sartor.engine.train import Run, accumulate
from sartor.errors import BadEnvironment, BadInput
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


def bump(run: Run) -> None:
    """Other weights than before."""
    with torch.no_grad():
        next(iter(run.net.trainable().values())).add_(1)


def test_it_holds_only_what_moves_and_no_pickle(run: Run, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    folder = checkpoint.save(run, tmp_path)
    assert folder.name == "000001-step-3"
    assert {f.name for f in folder.iterdir()} == {"run.json", *checkpoint.FILES}
    kept = load_file(folder / "weights.safetensors")
    assert {n.removeprefix("now.") for n in kept} == set(run.net.trainable())
    assert all("lora_" in name or "head." in name for name in kept)


def test_everything_comes_back(run: Run, tiny_encoder: Path, tmp_path: Path) -> None:
    run.losses, run.seconds, run.start = [(0, 1.5), (3, float("inf"))], 2.5, {"penalty": 0.125}
    run.best = (3, 0.5)
    run.kept = {name: w.detach() + 1 for name, w in run.net.trainable().items()}
    accumulate(run)
    bump(run)
    accumulate(run)
    assert run.state is not None
    run.state.faults = Faults(at_once=3, halvings=2, unapplied=7, in_a_row=4)
    checkpoint.save(run, tmp_path)
    again = fresh(tiny_encoder)
    assert not same_bits(weights(again), weights(run))
    assert checkpoint.load(again, tmp_path)
    assert again.state is not None
    for name in ("done", "seconds", "losses", "best", "start", "averaged"):
        assert getattr(again, name) == getattr(run, name), name
    assert again.state.faults == run.state.faults
    assert same_bits(weights(again), weights(run))
    assert same_bits(again.kept, run.kept)
    assert same_bits(again.average, run.average)
    theirs = again.state.optimizer.state_dict()
    for place, kept in run.state.optimizer.state_dict()["state"].items():
        assert same_bits(theirs["state"][place], kept)
    assert str(theirs["param_groups"]) == str(run.state.optimizer.state_dict()["param_groups"]).replace(
        "(", "["
    ).replace(")", "]")


class Composite(torch.optim.Optimizer):
    """An optimizer made of two, with a state that is nested and has plain numbers in it."""

    def __init__(self) -> None:
        self.inner: dict[str, Any] = {
            "muon": {"state": {0: {"momentum": torch.ones(2), "step": 7, "none": None}}, "betas": [0.5, 0.25]},
            "adam": {"state": {3: {"momentum": torch.zeros(3), "on": True}}},
        }

    def state_dict(self) -> dict[str, Any]:
        return self.inner

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.inner = state


def test_any_optimizer_made_of_tensors_and_numbers_comes_back(run: Run, tiny_encoder: Path, tmp_path: Path) -> None:
    assert run.state is not None
    run.state.optimizer = Composite()
    checkpoint.save(run, tmp_path)
    again = fresh(tiny_encoder)
    assert again.state is not None
    again.state.optimizer = empty = Composite()
    empty.inner = {}
    checkpoint.load(again, tmp_path)
    assert repr(empty.inner) == repr(Composite().inner)


def test_a_run_that_has_not_begun_can_be_kept(tiny_encoder: Path, tmp_path: Path) -> None:
    made = fresh(tiny_encoder)
    checkpoint.save(made, tmp_path)
    assert checkpoint.load(made, tmp_path)
    assert made.done == 0


@pytest.mark.parametrize("exists", [True, False])
def test_where_there_is_none_nothing_is_loaded(run: Run, tmp_path: Path, exists: bool) -> None:
    place = tmp_path if exists else tmp_path / "nowhere"
    assert not checkpoint.load(run, place)
    assert run.done == 3


@pytest.mark.parametrize("name", ["run.json", *checkpoint.FILES])
@pytest.mark.parametrize("how", ["one bit", "cut off", "removed"])
def test_a_damaged_file_is_named(run: Run, tiny_encoder: Path, tmp_path: Path, name: str, how: str) -> None:
    folder = checkpoint.save(run, tmp_path)
    damage(folder / name, how)
    if (name, how) == ("run.json", "removed"):  # what is left of a removal that was killed
        assert not checkpoint.load(fresh(tiny_encoder), tmp_path)
        return
    with pytest.raises(BadInput) as raised:
        checkpoint.load(fresh(tiny_encoder), tmp_path)
    assert str(raised.value) == (
        f"error[CKPT_CORRUPT]: {folder}: '{name}' of the checkpoint was damaged. Fix: start again with --overwrite."
    )


def damage(file: Path, how: str) -> None:
    content = bytearray(file.read_bytes())
    if how == "removed":
        file.unlink()
        return
    if how == "cut off":
        file.write_bytes(content[: len(content) // 2])
        return
    at = content.index(b'"step": 3') + 8 if file.suffix == ".json" else len(content) - 1
    content[at] ^= 1
    file.write_bytes(content)


def test_every_bit_of_the_facts_counts(run: Run, tiny_encoder: Path, tmp_path: Path) -> None:
    folder = checkpoint.save(run, tmp_path)
    again = fresh(tiny_encoder)
    whole = (folder / "run.json").read_bytes()
    for at in range(0, len(whole), 97):
        (folder / "run.json").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        if not whole[at : at + 1].isspace():
            with pytest.raises(BadInput, match="CKPT_CORRUPT"):
                checkpoint.load(again, tmp_path)
    assert again.done == 0


def test_a_damaged_newest_one_is_passed_over_for_the_one_before(run: Run, tiny_encoder: Path, tmp_path: Path) -> None:
    first = checkpoint.save(run, tmp_path)
    shutil.copytree(first, tmp_path / "kept")
    before = weights(run)
    bump(run)
    second = checkpoint.save(run, tmp_path)
    assert second.name == "000002-step-3"
    (tmp_path / "kept").rename(first)  # as if the process had been killed before it removed the first
    again = fresh(tiny_encoder)
    checkpoint.load(again, tmp_path)
    assert same_bits(weights(again), weights(run))
    damage(second / "optimizer.safetensors", "one bit")
    checkpoint.load(again, tmp_path)
    assert same_bits(weights(again), before)


def full(*_: object) -> None:
    from safetensors import SafetensorError

    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize("earlier", [True, False])
def test_a_full_disk_leaves_the_last_good_one(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: bool
) -> None:
    if earlier:
        checkpoint.save(run, tmp_path)
    before = {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()}
    monkeypatch.setattr(checkpoint, "save_file", full)
    bump(run)
    with pytest.raises(BadEnvironment) as raised:
        checkpoint.save(run, tmp_path)
    stays = "the last good one, 000001-step-3, stays" if earlier else "there is none yet"
    assert str(raised.value) == (
        f"error[DISK_FULL]: {tmp_path}: the disk is full, no checkpoint was saved; {stays}. "
        "Fix: free some space and run the same command again with --resume."
    )
    assert {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()} == before
    assert len(list(tmp_path.iterdir())) == earlier


def test_another_error_is_passed_on(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(checkpoint, "save_file", broken)
    with pytest.raises(OSError, match="Input/output error"):
        checkpoint.save(run, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_it_replaces_older_ones_and_what_killed_saves_left(run: Run, tmp_path: Path) -> None:
    checkpoint.save(run, tmp_path)
    (tmp_path / ".0123abcd").mkdir()
    (tmp_path / ".0123abcd" / "weights.safetensors").write_text("half")
    (tmp_path / "000004-step-9").mkdir()  # half removed
    (tmp_path / "mine").mkdir()
    run.seconds = 2.0
    folder = checkpoint.save(run, tmp_path)
    assert json.loads((folder / "run.json").read_text())["run"]["seconds"] == 2.0
    assert sorted(f.name for f in tmp_path.iterdir()) == ["000005-step-3", "mine"]


OPERATIONS = {
    checkpoint: ("save_file", "sync"),
    shutil: ("rmtree",),
    Path: ("mkdir", "rename", "unlink", "write_text"),
}


def test_killed_before_any_operation_on_the_disk_there_is_always_a_whole_one(
    run: Run, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder as it lies before every single operation of a save is what a process killed there leaves behind."""
    place = tmp_path / "checkpoints"
    checkpoint.save(run, place)
    old = weights(run)
    bump(run)
    left: list[Path] = []
    copy = shutil.copytree  # which calls none of the operations below

    def watched(function: Any) -> Any:
        def call(*words: Any, **named: Any) -> Any:
            with monkeypatch.context() as quiet:
                for owner, name in originals:
                    quiet.setattr(owner, name, originals[owner, name])
                left.append(Path(copy(place, tmp_path / f"killed-{len(left)}")))
            return function(*words, **named)

        return call

    originals = {(owner, name): getattr(owner, name) for owner, names in OPERATIONS.items() for name in names}
    with monkeypatch.context() as patched:
        for (owner, name), function in originals.items():
            patched.setattr(owner, name, watched(function))
        checkpoint.save(run, place)
    found = [state_of(folder, tiny_encoder) for folder in [*left, place]]
    renamed = next(i for i, folder in enumerate(left) if (folder / "000002-step-3").exists())
    assert len(found) > 12
    assert all(same_bits(state, old) for state in found[:renamed])
    assert all(same_bits(state, weights(run)) for state in found[renamed:])
    for folder in left:  # and the next save is as good as any
        assert checkpoint.save(run, folder).exists()
        assert len(list(folder.iterdir())) == 1
        assert same_bits(state_of(folder, tiny_encoder), weights(run))


def state_of(place: Path, encoder: Path) -> dict[str, torch.Tensor]:
    again = fresh(encoder)
    assert checkpoint.load(again, place)
    return weights(again)


def test_clearing_leaves_nothing(run: Run, tmp_path: Path) -> None:
    checkpoint.save(run, tmp_path / "checkpoints")
    checkpoint.clear(tmp_path / "checkpoints")
    assert list(tmp_path.iterdir()) == []


def test_half_cleared_is_none_and_not_a_damaged_one(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(run, tmp_path)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.clear(tmp_path)
    assert not checkpoint.load(run, tmp_path)


def test_the_clock_says_when_to_save(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    saver = checkpoint.Saver(tmp_path, every=30.0, since=100.0)
    assert not saver.due()
    now[0] += 30
    assert saver.due()
    saver.save(run)
    assert not saver.due()
    saver.cost = 3.0  # saving is slow: once a minute is 5 %
    now[0] += 59
    assert not saver.due()
    now[0] += 1
    assert saver.due()
