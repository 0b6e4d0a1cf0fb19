"""Where processes die: `python crash_site.py LOG` imports the heavy packages once, and forks a process per job.

A job is a line of JSON on standard input, a list of acts: a function of this file and its words each. They are done in
turn in a process of the job's own, whose exit code (or the negative number of the signal that ended it) is the answer.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> None:
    import_all()
    gc.freeze()
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            perform(json.loads(line), sys.argv[1])
        _, status = os.waitpid(child, 0)
        print(json.dumps(os.waitstatus_to_exitcode(status)), flush=True)


def import_all() -> None:
    """Everything a run imports. Nothing is computed: a thread would be lost in a fork."""
    import peft  # noqa: F401
    import transformers.models.bert.modeling_bert  # noqa: F401
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer  # noqa: F401

    import sartor.command.calls
    import sartor.report.card
    import sartor.report.json_report
    import sartor.report.terminal
    import sartor.training
    import sartor.verbs.finetune  # noqa: F401


def perform(acts: list[list[Any]], log: str) -> None:
    """Every act, and the end of this process: with the code of the last run, or 99 where an act itself failed."""
    from sartor import training

    training.measure = functools.partial(_shortly, training.measure)
    code = 0
    with open(log, "a", encoding="utf-8") as file:
        sys.stdout = sys.stderr = file
        try:
            for name, *words in acts:
                code = globals()[name](*words) or 0
        except BaseException:
            code = 99
            traceback.print_exc()
    os._exit(code)


def _shortly(ruler: Any, subjects: Any, rows: Any, seconds: float) -> Any:
    return ruler(subjects, rows, seconds=0.05)


def sartor(*argv: str) -> int:
    from sartor import cli

    return cli.run(argv)


def save_after_every_step() -> None:
    from sartor import training
    from sartor.engine import checkpoint

    training.SAVE_EVERY, checkpoint.LARGEST_SHARE = 0.0, float("inf")


def die_at_step(number: int, signal: int = 9) -> None:
    """As soon as the step is recorded."""
    from sartor.run_folder import RunFolder

    record = RunFolder.record

    def dying(self: RunFolder, event: dict[str, Any]) -> None:
        record(self, event)
        if event.get("number") == number:
            os.kill(os.getpid(), signal)

    RunFolder.record = dying  # type: ignore[method-assign]


def die_in_update(count: int, signal: int = 9) -> None:
    """Inside the optimizer's step, when some weights have moved and others have not."""
    from sartor.engine.adamw import AdamW

    step = AdamW.step
    dying = _at(count, signal)

    def half(self: Any, *words: Any, **named: Any) -> Any:
        groups = self.param_groups
        self.param_groups = groups[:1]
        step(self, *words, **named)
        dying()
        self.param_groups = groups[1:]
        step(self, *words, **named)
        self.param_groups = groups

    AdamW.step = half  # type: ignore[method-assign]


def die_in_gradient(count: int, signal: int = 9) -> None:
    """When a gradient has been computed and not yet been used."""
    from accelerate import Accelerator

    backward, dying = Accelerator.backward, _at(count, signal)

    def then_die(self: Any, loss: Any) -> None:
        backward(self, loss)
        dying()

    Accelerator.backward = then_die


def die_in_look(count: int, signal: int = 9) -> None:
    from sartor.engine import train

    train.outputs = _before(train.outputs, _at(count, signal))


def die_in_save(save: int, operation: str, count: int = 1, signal: int = 9) -> None:
    """Before the `count`-th `operation` on the file system inside the `save`-th save."""
    from sartor.engine import checkpoint

    saves: list[int] = []
    whole, dying = checkpoint.save, _at(count, signal)

    def watched(*words: Any) -> Any:
        saves.append(1)
        try:
            return whole(*words)
        finally:
            saves.append(0)

    def inside() -> None:
        if saves and saves[-1] and sum(saves) == save:
            dying()

    checkpoint.save = watched
    home, _, name = operation.rpartition(".")
    owner = {"": checkpoint, "shutil": shutil, "Path": Path}[home]
    setattr(owner, name, _before(getattr(owner, name), inside))


def _at(count: int, signal: int) -> Callable[[], None]:
    """What kills this process when it is called for the `count`-th time."""
    calls: list[int] = []

    def call() -> None:
        calls.append(1)
        if len(calls) == count:
            os.kill(os.getpid(), signal)

    return call


def _before(function: Callable[..., Any], first: Callable[[], None]) -> Callable[..., Any]:
    def both(*words: Any, **named: Any) -> Any:
        first()
        return function(*words, **named)

    return both


def nan_at(*numbers: int) -> None:
    """A loss that is no number at these updates, whichever process takes them."""
    from sartor.engine import fit

    descend = fit._descend
    seeds = {fit.step_seed(0, number - 1) for number in numbers}
    fit._descend = lambda *words: float("nan") if seeds & {w for w in words if isinstance(w, int)} else descend(*words)


def memory_for(rows: int) -> None:
    """Memory that suffices for the gradients of `rows` rows at once, and for no more."""
    from sartor.network import Network

    forward = Network.forward

    def limited(self: Network, batch: Any) -> Any:
        said = forward(self, batch)
        if self.training and len(batch) > rows:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")
        return said

    Network.forward = limited  # type: ignore[method-assign]


def disk(folder: str, size: str) -> None:
    """A file system of `size` at `folder`, of this process alone; or that much for the one that is there.

    Ends the process with code 77 where that is not allowed."""
    import ctypes

    names, recursive_private, again = 0x00020000, 0x44000, 0x20
    libc = ctypes.CDLL(None, use_errno=True)
    there = os.path.ismount(folder)
    if not there and (libc.unshare(names) or libc.mount(b"none", b"/", None, recursive_private, None)):
        os._exit(77)
    if libc.mount(b"none", folder.encode(), b"tmpfs", again if there else 0, f"size={size}".encode()):
        os._exit(77)


def expect(code: int, *argv: str) -> None:
    assert sartor(*argv) == code


def copy(source: str, target: str) -> None:
    shutil.copytree(source, target)


if __name__ == "__main__":
    main()
