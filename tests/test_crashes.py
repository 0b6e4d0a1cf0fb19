"""Runs that are killed, stopped, out of disk or out of memory, in processes of their own; resumed, they end with the
bits of a run that nothing disturbed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from text_samples import labelled

Job = Callable[..., int]
PLAN = ("max_steps=12", "eval_steps=4", "per_device_train_batch_size=8", "precision=fp32", "learning_rate=1e-3")
"""An epoch is 7 updates; looks come after 4, 8 and 12."""
METHODS = {"full": "full", "lora": "lora:r=2,lora_dropout=0.1"}
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "SARTOR_SEED": "0"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crashes")
    rows = labelled(90)
    texts = zip(rows.columns["text"], rows.columns["label"], strict=True)
    lines = [json.dumps({"text": f"{text} {i}", "label": label}) for i, (text, label) in enumerate(texts)]
    (folder / "data.jsonl").write_text("\n".join(lines), "utf-8")
    return folder


@pytest.fixture(scope="module")
def job(place: Path) -> Iterator[Job]:
    """`job(act, ...)` in a process of its own; returns how it ended."""
    command = [sys.executable, str(Path(__file__).with_name("crash_site.py")), str(place / "log")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ONE_THREAD) as site:
        assert site.stdin and site.stdout
        assert json.loads(site.stdout.readline()) == "ready"

        def perform(*acts: Any) -> int:
            assert site.stdin and site.stdout
            print(json.dumps(acts), file=site.stdin, flush=True)
            return int(json.loads(site.stdout.readline()))

        yield perform
        site.stdin.close()


@pytest.fixture(scope="module")
def words(place: Path, tiny_encoder: Path) -> Callable[..., list[str]]:
    """The command line of a run into `out`."""

    def words(out: Path, method: str = "full", *more: str, plan: tuple[str, ...] = ()) -> list[str]:
        sets = [word for piece in (*PLAN, *plan) for word in ("--set", f"plan.{piece}")]
        encoder = f"encoder:path={tiny_encoder},pooling=mean"
        what = ["--target", "label", "--backbone", encoder, "--method", METHODS[method], "--out", str(out)]
        return ["finetune", str(place / "data.jsonl"), *what, *sets, *more]

    return words


@pytest.fixture(scope="module")
def undisturbed(place: Path, job: Job, words: Any) -> Callable[[str], Path]:
    """The folder of a run by a method that nothing disturbed."""

    def folder(method: str) -> Path:
        out = place / f"undisturbed-{method}"
        if not out.exists():
            assert job(["sartor", *words(out, method)]) == 0
        return out

    return folder


def same_end(out: Path, whole: Path) -> None:
    """The same bits and losses; every step and every look told once, in order; nothing left over."""
    model = "bundle/model.safetensors"
    assert (out / model).read_bytes() == (whole / model).read_bytes()
    reports = [json.loads((f / "report.json").read_text("utf-8")) for f in (out, whole)]
    assert reports[0]["losses"] == reports[1]["losses"]
    assert reports[0]["start"] == reports[1]["start"]
    assert told(out, "step") == list(range(1, 13))
    assert told(out, "look") == [0, 4, 8, 12]
    assert {f.name for f in out.iterdir()} == {f.name for f in whole.iterdir()}


def events(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "events.jsonl").read_text("utf-8").splitlines()]


def told(out: Path, kind: str) -> list[int]:
    return [e["number" if kind == "step" else "step"] for e in events(out) if e["event"] == kind]


def last_words(place: Path) -> str:
    return (place / "log").read_text("utf-8").splitlines()[-1]


STOPS: dict[str, list[Any]] = {
    "first step": ["die_at_step", 1],
    "first gradient": ["die_in_gradient", 1],
    "mid-epoch": ["die_at_step", 3],
    "before a look": ["die_at_step", 4],
    "in a look": ["die_in_look", 2],
    "after a look": ["die_in_gradient", 5],
    "end of an epoch": ["die_at_step", 7],
    "half an update": ["die_in_update", 10],
    "last step": ["die_at_step", 12],
    "before the weights": ["die_in_save", 2, "save_file"],
    "after the weights": ["die_in_save", 2, "save_file", 2],
    "before the rename": ["die_in_save", 2, "Path.rename"],
    "after the rename": ["die_in_save", 2, "Path.unlink"],
    "half removed": ["die_in_save", 2, "shutil.rmtree", 2],
}
RESUMED_AT = {"first step": 0, "first gradient": 0, "mid-epoch": 2, "end of an epoch": 6, "half an update": 9}
"""With a save after every step: the step whose save had been finished."""


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("method", METHODS)
def test_a_killed_run_goes_on_and_ends_with_the_same_bits(
    job: Job, words: Any, undisturbed: Any, tmp_path: Path, method: str, stop: str
) -> None:
    out = tmp_path / "run"
    every = ["save_after_every_step"]
    assert job(every, STOPS[stop], ["sartor", *words(out, method)]) == -signal.SIGKILL
    assert not (out / "bundle").exists()
    assert job(every, ["sartor", *words(out, method, "--resume")]) == 0
    same_end(out, undisturbed(method))
    resumed = [e["step"] for e in events(out) if e["event"] == "resumed"]
    assert resumed == [RESUMED_AT.get(stop, resumed[0])]


@pytest.mark.parametrize("method", METHODS)
def test_a_run_killed_again_and_again(job: Job, words: Any, undisturbed: Any, tmp_path: Path, method: str) -> None:
    """Saved at its looks alone; the last of the kills is inside a save that began where another had been killed."""
    out = tmp_path / "run"
    stops = [
        ["die_at_step", 6],
        ["die_in_save", 1, "Path.rename"],
        ["die_in_save", 1, "save_file", 2],
        ["die_at_step", 11],
    ]
    for count, stop in enumerate(stops):
        more = ["--resume"] if count else []
        assert job(stop, ["sartor", *words(out, method, *more)]) == -signal.SIGKILL
    assert job(["sartor", *words(out, method, "--resume")]) == 0
    same_end(out, undisturbed(method))
    assert [e["step"] for e in events(out) if e["event"] == "resumed"] == [4, 4, 4, 8]


TERMS = {name: [*STOPS[name], 15] for name in ("mid-epoch", "in a look", "after a look", "half an update", "last step")}
TERMS["mid-save"] = ["die_in_save", 2, "save_file", 2, 15]


@pytest.mark.parametrize("stop", TERMS)
def test_sigterm_leaves_a_checkpoint_of_that_very_step(
    job: Job, words: Any, undisturbed: Any, place: Path, tmp_path: Path, stop: str
) -> None:
    """Also where it comes while an update is half applied: the update is finished first."""
    out = tmp_path / "run"
    assert job(TERMS[stop], ["sartor", *words(out)]) == 143
    assert last_words(place).startswith(
        "error[INTERRUPTED]: stopped by SIGTERM. Fix: run the same command again with --res"
    )
    at = {"mid-epoch": 3, "in a look": 4, "after a look": 4, "half an update": 10, "last step": 12, "mid-save": 8}[stop]
    [kept] = (out / "checkpoints").iterdir()
    assert kept.name.endswith(f"-step-{at}")
    assert told(out, "step") == list(range(1, at + 1))
    assert job(["sartor", *words(out, "full", "--resume")]) == 0
    same_end(out, undisturbed("full"))
    assert [(e["step"], e["dropped"]) for e in events(out) if e["event"] == "resumed"] == [(at, 0)]


def test_a_real_command_killed_from_outside(words: Any, job: Job, undisturbed: Any, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "sartor", *words(out)]
    with subprocess.Popen(command, env=ONE_THREAD, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not ((out / "events.jsonl").exists() and told_at_least(out, 2)):
            time.sleep(0.001)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert job(["sartor", *words(out, "full", "--resume")]) == 0
    same_end(out, undisturbed("full"))


def told_at_least(out: Path, count: int) -> bool:
    return (out / "events.jsonl").read_bytes().count(b'"step", "number"') >= count


def test_a_full_disk_ends_with_a_sentence_and_the_last_good_checkpoint_goes_on(
    job: Job, words: Any, undisturbed: Any, place: Path, tmp_path: Path
) -> None:
    small, out = tmp_path / "small", tmp_path / "small" / "run"
    small.mkdir()
    ended = job(
        ["disk", str(small), "700k"],
        ["expect", 3, *words(out)],
        ["copy", str(out), str(tmp_path / "full")],
        ["disk", str(small), "20m"],
        ["expect", 0, *words(out, "full", "--resume")],
        ["copy", str(out), str(tmp_path / "run")],
    )
    if ended == 77:
        pytest.skip("this machine lets nobody mount a small disk")
    assert ended == 0, (place / "log").read_text("utf-8")
    [kept] = (tmp_path / "full" / "checkpoints").iterdir()
    sentence = next(line for line in (place / "log").read_text("utf-8").splitlines() if "DISK_FULL" in line)
    assert sentence == (
        f"error[DISK_FULL]: {out}/checkpoints: the disk is full, no checkpoint was saved; "
        f"the last good one, {kept.name}, stays. Fix: free some space and run the same command again with --resume."
    )
    same_end(tmp_path / "run", undisturbed("full"))


def test_too_little_memory_gives_the_bits_of_a_run_of_half_batches(job: Job, words: Any, tmp_path: Path) -> None:
    """The effective batch stays; what was found to fit is remembered over a kill."""
    halves = ("gradient_accumulation_steps=2", "dropout=0.1")
    small, out = tmp_path / "small", tmp_path / "run"
    plan = ("per_device_train_batch_size=4", *halves)
    argv = [w for w in words(small, plan=plan) if w != "plan.per_device_train_batch_size=8"]
    argv.pop(argv.index("--set", argv.index("plan.eval_steps=4")))
    assert job(["sartor", *argv]) == 0
    dropout = ("dropout=0.1",)
    memory = ["memory_for", 4]
    assert job(memory, ["die_at_step", 6], ["sartor", *words(out, plan=dropout)]) == -signal.SIGKILL
    assert job(["sartor", *words(out, "full", "--resume", plan=dropout)]) == 0  # memory is back, and yet
    same_end(out, small)
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert report["warnings"] == ["memory sufficed for 4 rows at once; updates were gathered from so many"]


def test_memory_for_not_even_one_row_is_a_sentence_and_loses_nothing(
    job: Job, words: Any, undisturbed: Any, place: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert job(["die_at_step", 5], ["sartor", *words(out)]) == -signal.SIGKILL
    assert job(["memory_for", 0], ["sartor", *words(out, "full", "--resume")]) == 3
    said = last_words(place)
    assert said.startswith("error[MEMORY]: memory does not suffice to train on one row (row ")
    assert job(["sartor", *words(out, "full", "--resume")]) == 0
    same_end(out, undisturbed("full"))


@pytest.mark.parametrize("policy", ["skip", "halve"])
def test_updates_that_are_no_numbers_are_the_same_after_a_kill(
    job: Job, words: Any, tmp_path: Path, policy: str
) -> None:
    plan = (f"nonfinite={policy}",)
    whole, out = tmp_path / "whole", tmp_path / "run"
    bad = ["nan_at", 3, 6]
    assert job(bad, ["sartor", *words(whole, plan=plan)]) == 0
    assert (
        job(bad, ["save_after_every_step"], ["die_at_step", 7], ["sartor", *words(out, plan=plan)]) == -signal.SIGKILL
    )
    assert job(bad, ["sartor", *words(out, "full", "--resume", plan=plan)]) == 0
    same_end(out, whole)
    steps = [e for e in events(out) if e["event"] == "step"]
    assert [e["number"] for e in steps if "unapplied" in e] == [3, 6]
    assert all(e["loss"] == "nan" and len(e["unapplied"]) == e["rows"] for e in steps if "unapplied" in e)
    share = steps[7]["learning_rate"] / 1e-3
    assert share == pytest.approx(1.0 if policy == "skip" else 0.25)


def test_a_run_that_stops_at_no_number_stops_there_again(job: Job, words: Any, place: Path, tmp_path: Path) -> None:
    out, plan = tmp_path / "run", ("nonfinite=stop",)
    for more in ([], ["--resume"]):
        assert job(["nan_at", 6], ["sartor", *words(out, "full", *more, plan=plan)]) == 4
        assert last_words(place).startswith("error[DIVERGED]: the loss or its gradient was no number at step 6 (rows ")
    assert not (out / "bundle").exists()
