"""What each of two processes does in test_devices.py: every case trained in turn, what came out written by the first.

torchrun ... tests/engine/two_processes.py CASES.json OUT
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from sartor.data.rows import Rows
from sartor.engine import checkpoint, launch
from sartor.engine.fit import Step
from sartor.engine.train import Look, Run, gathered, prepare, train
from sartor.method import Method
from sartor.methods.full import Full
from sartor.network import Network
from sartor.part import part
from text_samples import labelled, several
from tiny_runs import examples, recipe

ROWS, HELD = labelled(37), labelled(21, 1)
SEVERAL = several(37), several(21, 1)


@dataclass(frozen=True, kw_only=True)
class Penalised(Method):
    """Full fine-tuning with a penalty on every weight."""

    learning_rate = 1e-3

    def apply(self, net: Network, steps: int) -> None:
        Full().apply(net, steps)

    def penalty(self, net: Network) -> Tensor:
        return 1e-3 * sum((w**2).sum() for w in net.parameters())  # type: ignore[no-any-return]


def rows(case: dict[str, Any]) -> tuple[Rows, Rows]:
    """To train on, and held out; of several tasks where the case names an objective for them."""
    return SEVERAL if "objective" in case else (ROWS, HELD)


def made(encoder: Path, case: dict[str, Any]) -> Any:
    found = recipe(encoder, rows(case)[0], case["method"], **case["plan"])
    found = replace(found, objective=part("objectives", case.get("objective", "supervised")))
    return replace(found, method=Penalised()).settled() if case.get("penalty") else found


def trained(encoder: Path, case: dict[str, Any], folder: Path) -> tuple[list[list[float]], Run, Any]:
    """[loss, norm] of every step, the looks' losses at the end; `resume`: saved on the way and gone on from there."""
    said, (train_rows, held_rows) = made(encoder, case), rows(case)
    encoded, held = examples(said, train_rows), examples(said, held_rows)
    run = prepare(said, encoded)
    steps: list[list[float]] = []
    for event in train(run, encoded, held, held_rows):
        if isinstance(event, Step):
            steps.append([event.loss, event.grad_norm])
        if case.get("resume") and isinstance(event, Look) and event.step == 3:
            checkpoint.save(run, folder)
            if launch.world() > 1:
                torch.distributed.barrier()
            run = prepare(said, encoded)
            checkpoint.load(run, folder)
            steps += [[e.loss, e.grad_norm] for e in train(run, encoded, held, held_rows) if isinstance(e, Step)]
            break
    return steps, run, [loss for _, loss in run.losses]


def wrapped(run: Run) -> str:
    """The class that brings the gradients together."""
    assert run.state is not None
    return type(run.net if type(run.net) is not Network else run.state.descent).__name__


def main(cases: Path, out: Path) -> None:
    asked = json.loads(cases.read_text("utf-8"))
    for name, case in asked["cases"].items():
        steps, run, losses = trained(Path(asked["encoder"]), case, out / f"{name}-last")
        net, kind = gathered(run), wrapped(run)
        said = {"steps": steps, "losses": losses, "kind": kind}
        (out / f"{name}-{launch.rank()}.json").write_text(json.dumps(said), "utf-8")
        if launch.first():
            kept = {n: w.detach().clone().contiguous() for n, w in net.state_dict().items()}
            save_file(kept, out / f"{name}.safetensors")
        del run, net
    launch.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
