"""Several processes against one: equal global batches give equal losses and equal weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import two_processes
from sartor.engine import launch
from sartor.engine.devices import Crew, full, join, like
from sartor.errors import BadInput
from text_samples import labelled
from tiny_runs import begun, examples, recipe, same_bits, steps, weights

TESTS = Path(__file__).parent.parent
PLAN = {"max_steps": 7, "eval_steps": 3, "learning_rate": 1e-3, "early_stopping_patience": None}
"""Updates of 8 rows over 37 rows: the fifth has 5, so that one process has a row more than the other."""


def case(method: str = "full", size: int = 4, **given: Any) -> dict[str, Any]:
    plan = {**PLAN, "per_device_train_batch_size": size}
    own = {key: given.pop(key) for key in ("penalty", "resume") if key in given}
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
    "sharded": case(fsdp=True),
    "sharded lora": case("lora:r=4", fsdp=True, head_start="solved"),
    "sharded accumulation": case(fsdp=True, size=2, gradient_accumulation_steps=2),
    "sharded recomputed": case(fsdp=True, gradient_checkpointing=True),
    "sharded penalty": case(fsdp=True, penalty=True, size=2, gradient_accumulation_steps=2),
    "sharded, one row for two": case(size=1, max_steps=20, eval_steps=10, fsdp=True),
    "sharded resumed": case(fsdp=True, resume=True),
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
    assert torch.tensor(theirs[0]["steps"]).flatten().tolist() == pytest.approx(sum(taken, []), rel=2e-5)
    assert theirs[0]["losses"] == pytest.approx(losses, rel=1e-5)
    found = load_file(together / f"{name}.safetensors")
    assert found.keys() == weights(run).keys()
    for key, value in weights(run).items():
        torch.testing.assert_close(found[key], value, rtol=1e-3, atol=1e-4)
