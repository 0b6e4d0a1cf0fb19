"""launch: which of several processes this one is, as torchrun, `accelerate launch` or mpirun say it. Loads no torch.

The first process alone writes and prints results. Of several that fail, the one that fails first says why.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

from sartor.errors import BadEnvironment, BadInput

_RANK = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
_SIZE = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
PATIENCE = 5.0
"""Seconds to look for the launcher's store; without it every process that fails says why."""


def rank() -> int:
    """The number of this process, from 0."""
    return _number(_RANK, 0)


def world() -> int:
    """How many processes were started together."""
    return _number(_SIZE, 1)


def first() -> bool:
    """Whether this process writes and prints for all."""
    return rank() == 0


def alone(what: str) -> None:
    """Raises `BadInput` where several processes were started for what only one can do."""
    if world() > 1:
        fix = "start it without torchrun or accelerate; only `sartor finetune` trains on several devices"
        raise BadInput("ONE_PROCESS", f"{what} runs in one process and {world()} were started", fix=fix)


def as_asked() -> None:
    """Raises `BadEnvironment` where accelerate was asked for several processes and started one.

    With `--cpu` it starts more only through mpirun, and says nothing; what gives it away is the address to meet at.
    """
    alone_on_cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true" and world() == 1
    if alone_on_cpu and "MASTER_PORT" in os.environ and not any(name in os.environ for name in _SIZE):
        message = "accelerate launch --cpu starts one process, however many are asked for"
        fix = "use torchrun --nproc_per_node N, or accelerate launch --multi_gpu, which works without GPUs too"
        raise BadEnvironment("LAUNCHER", message, fix=fix)


def speaks() -> bool:
    """Whether this process, which fails, shall say why: the first to ask in the launcher's store."""
    if world() == 1:
        return True
    from datetime import timedelta

    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    key = f"sartor/said/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
    try:
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = TCPStore(address, port, is_master=False, timeout=timedelta(seconds=PATIENCE))
        return bool(store.compare_set(key, "", str(rank())) == str(rank()).encode())
    except (KeyError, ValueError, RuntimeError):
        return True


def leave() -> None:
    """End what the processes share, once all have done their work."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return
    gc.collect()  # what still holds the group when it ends would end the process by a signal
    distributed.barrier()
    distributed.destroy_process_group()


def _number(names: Sequence[str], otherwise: int) -> int:
    found = (os.environ[name] for name in names if os.environ.get(name, "").isdigit())
    return int(next(found, str(otherwise)))
