"""Several processes against one: equal global batches give equal losses and equal weights."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import two_processes
from safetensors.torch import load_file

from sartor.engine import launch
from sartor.errors import BadEnvironment, BadInput
from sartor.verbs.position import position
from text_samples import labelled
from tiny_runs import weights

TESTS = Path(__file__).parent.parent
PLAN = {"max_steps": 7, "eval_steps": 3, "learning_rate": 1e-3, "early_stopping_patience": None}
"""Updates of 8 rows over 37 rows: the fifth has 5, so that one process has a row more than the other."""


def case(method: str = "full", size: int = 4, **given: Any) -> dict[str, Any]:
    plan = {**PLAN, "per_device_train_batch_size": size}
    own = {key: given.pop(key) for key in ("penalty", "resume", "objective") if key in given}
    return {"method": method, "plan": plan | given, **own}


CASES = {
    "ddp": case(),
    "lora": case("lora:r=4", head_start="solved"),
    "accumulation": case(size=2, gradient_accumulation_steps=2),
    "recomputed": case(gradient_checkpointing=True),
    "penalty": case(penalty=True, size=2, gradient_accumulation_steps=2),
    "one row for two": case(size=1, max_steps=20, eval_steps=10, head_start="solved"),
    "clipped": case(max_grad_norm=0.1),
    "resumed": case(resume=True),
    "adalora": case("adalora:init_r=4,target_r=2,tfinal=2", resume=True),
    "prompts": case("prompt_tuning:num_virtual_tokens=4"),
    "several tasks": case(objective="pcgrad:of=uncertainty", resume=True),
    "sharded several tasks": case(objective="pcgrad:of=uncertainty", fsdp=True, size=2, gradient_accumulation_steps=2),
    "rates by depth, thawing": case("full:layer_decay=0.5,unfreeze_ratio=0.8"),
    "sharded": case(fsdp=True),
    "sharded, rates by depth, thawing": case("full:layer_decay=0.5,unfreeze_ratio=0.8", fsdp=True),
    "sharded, thawing, recomputed": case("full:unfreeze_ratio=0.8", fsdp=True, gradient_checkpointing=True),
    "head solved": case("full", head_end="solved", head_start="solved"),
    "sharded, head solved": case("full", fsdp=True, head_end="solved", head_start="solved"),
    "sharded lora": case("lora:r=4", fsdp=True, head_start="solved"),
    "sharded accumulation": case(fsdp=True, size=2, gradient_accumulation_steps=2),
    "sharded recomputed": case(fsdp=True, gradient_checkpointing=True),
    "sharded penalty": case(fsdp=True, penalty=True, size=2, gradient_accumulation_steps=2),
    "sharded, one row for two": case(size=1, max_steps=20, eval_steps=10, fsdp=True),
    "sharded resumed": case(fsdp=True, resume=True),
    "sharded adalora": case("adalora:init_r=4,target_r=2,tfinal=2", fsdp=True, resume=True),
    "sharded prefixes": case("prefix_tuning:num_virtual_tokens=4", fsdp=True),
    "sharded clipped": case(fsdp=True, max_grad_norm=0.1),
}


def launched(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Two processes on this machine that see each other."""
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    command = [sys.executable, *torchrun, *map(str, words)]
    path = os.pathsep.join([str(TESTS), *sys.path])
    own = {"OMP_NUM_THREADS": "1", "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": "", **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env={**os.environ, **own}, check=False)


@pytest.fixture(scope="module")
def together(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes left what came out of every case."""
    out = tmp_path_factory.mktemp("two")
    (out / "cases.json").write_text(json.dumps({"encoder": str(tiny_encoder), "cases": CASES}), "utf-8")
    done = launched(TESTS / "engine" / "two_processes.py", out / "cases.json", out)
    assert done.returncode == 0, done.stderr[-4000:]
    return out


@pytest.mark.parametrize("name", CASES)
def test_two_processes_take_the_steps_of_one(together: Path, tiny_encoder: Path, tmp_path: Path, name: str) -> None:
    plan, rows = CASES[name]["plan"], 2 * CASES[name]["plan"]["per_device_train_batch_size"]
    rows *= plan.get("gradient_accumulation_steps", 1)
    alone = {"per_device_train_batch_size": rows, "gradient_accumulation_steps": 1, "gradient_checkpointing": False}
    asked = {**CASES[name], "plan": plan | alone, "resume": False}
    taken, run, losses = two_processes.trained(tiny_encoder, asked, tmp_path / "last")
    theirs = [json.loads((together / f"{name}-{rank}.json").read_text("utf-8")) for rank in (0, 1)]
    assert theirs[0] == theirs[1]
    assert len(taken) == plan["max_steps"]
    for mine, other in zip(itertools.chain(*taken), itertools.chain(*theirs[0]["steps"]), strict=True):
        assert other == pytest.approx(mine, rel=2e-5)
    assert theirs[0]["kind"] == ("FSDPNetwork" if plan.get("fsdp") else "DistributedDataParallel")
    known = 1e-3 if plan.get("head_end") == "solved" else 1e-5  # L-BFGS finds its optimum to a tolerance
    assert theirs[0]["losses"] == pytest.approx(losses, rel=known)
    found = load_file(together / f"{name}.safetensors")
    assert found.keys() == weights(run).keys()
    for key, value in weights(run).items():
        torch.testing.assert_close(found[key], value, rtol=1e-3, atol=max(1e-4, known))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = labelled(90)
    made = pd.DataFrame({name: list(values) for name, values in rows.columns.items()})
    made["text"] = [f"{text} {i}" for i, text in enumerate(made["text"])]
    made.to_csv(file := tmp_path_factory.mktemp("data") / "rows.csv", index=False)
    return file


def words(data: Path, encoder: Path, out: Path, *more: str) -> list[str]:
    plan = [f"--set=plan.{p}" for p in ("max_steps=6", "eval_steps=3", "fsdp=true", "per_device_train_batch_size=4")]
    backbone = f"--backbone=encoder:path={encoder},pooling=mean"
    return ["finetune", str(data), "--target=label", backbone, f"--out={out}", "--quiet", *plan, *more]


def test_the_command_line_leaves_one_bundle_and_one_answer(data: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = launched("-m", "sartor", *words(data, tiny_encoder, out))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{out / 'bundle'}\n", "")
    assert [f.name for f in tmp_path.iterdir()] == ["run"]
    kept = {"config.json", "environment.json", "data.json", "events.jsonl", "report.json", "bundle"}
    assert {f.name for f in out.iterdir()} == kept
    events = [json.loads(line) for line in (out / "events.jsonl").read_text("utf-8").splitlines()]
    taken = [e for e in events if e["event"] in ("step", "look")]
    assert [e.get("number", e.get("step")) for e in taken] == [0, 1, 2, 3, 3, 4, 5, 6, 6]
    again = launched("-m", "sartor", *words(data, tiny_encoder, out))
    assert again.returncode == 1
    assert [line for line in again.stderr.splitlines() if line.startswith("error[")] == [
        f"error[OUT_EXISTS]: {out}: the output folder exists and is not empty. "
        "Fix: choose another --out, or add --overwrite or --resume."
    ]


FAILS = """
import sys
from sartor.cli import main
from sartor.engine import launch
if launch.rank() == 1:
    import sartor.engine.fit as fit
    def without_memory(seed, step):
        raise MemoryError
    fit.step_seed = without_memory
main()
"""


def test_where_one_fails_all_end_with_its_sentence(data: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    (tmp_path / "fails.py").write_text(FAILS, "utf-8")
    done = launched(tmp_path / "fails.py", *words(data, tiny_encoder, tmp_path / "run"))
    assert done.returncode == 1
    assert done.stdout == ""
    assert [line for line in done.stderr.splitlines() if line.startswith("error[")] == [
        "error[MEMORY]: the memory of this machine does not suffice. "
        "Fix: close other programs, or give fewer rows or a smaller batch."
    ]
    assert not (tmp_path / "run" / "bundle").exists()


def test_one_process_is_no_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*launch._RANK, *launch._SIZE):
        monkeypatch.delenv(name, raising=False)
    assert (launch.rank(), launch.world(), launch.first(), launch.speaks()) == (0, 1, True, True)


@pytest.mark.parametrize(("rank", "size"), list(zip(launch._RANK, launch._SIZE, strict=True)))
def test_each_launcher_is_understood(monkeypatch: pytest.MonkeyPatch, rank: str, size: str) -> None:
    for name in (*launch._RANK, *launch._SIZE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(rank, "3")
    monkeypatch.setenv(size, "4")
    assert (launch.rank(), launch.world(), launch.first()) == (3, 4, False)


def test_position_runs_in_one_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(BadInput) as raised:
        position("rows.csv", out=tmp_path)
    assert str(raised.value) == (
        "error[ONE_PROCESS]: position runs in one process and 2 were started. "
        "Fix: start it without torchrun or accelerate; only `sartor finetune` trains on several devices."
    )


def test_a_launcher_that_starts_one_process_for_several_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in launch._SIZE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    launch.as_asked()
    monkeypatch.setenv("MASTER_PORT", "29500")
    with pytest.raises(BadEnvironment) as raised:
        launch.as_asked()
    assert str(raised.value) == (
        "error[LAUNCHER]: accelerate launch --cpu starts one process, however many are asked for. "
        "Fix: use torchrun --nproc_per_node N, or accelerate launch --multi_gpu, which works without GPUs too."
    )
