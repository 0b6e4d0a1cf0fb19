"""devices: the processes that train one network together, each on a device of its own, as one of them sees them.

Every process knows the whole update, a pure function of (seed, epoch, row), and takes its share of each micro-batch.
Gradients are averaged over the processes, so each loss is `world` times its share of the mean over the update:

    (1 / world) sum_r  world / B sum_{i in share r} loss_i  =  1 / B sum_i loss_i

Replicated: every process has all weights (DistributedDataParallel; Li et al. 2020, arXiv 2006.15704).
Sharded: every process has a part of each weight (FSDP2, torch's `fully_shard`; Zhao et al. 2023, arXiv 2304.11277).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from sartor.batch import Batch
from sartor.engine import launch
from sartor.engine.descent import Descent
from sartor.errors import BadEnvironment
from sartor.network import Network
from sartor.recipe import Plan

WAIT = timedelta(hours=2)
"""The others wait while the first measures and saves; one that dies ends them sooner."""


@dataclass(frozen=True)
class Share:
    """One process's rows of a micro-batch.

    batch    its rows; where there is none for it one of another's, because every process takes part in every pass
    counted  how many of them count
    whole    rows of the micro-batch in all processes together
    """

    batch: Batch
    counted: int
    whole: int


@dataclass(frozen=True)
class Crew:
    """`world` processes; this one is number `rank`."""

    accelerator: Accelerator
    rank: int
    world: int

    @property
    def device(self) -> str:
        kind: str = self.accelerator.device.type
        return kind

    def place(self, net: Network, plan: Plan) -> None:
        """The network on this process's device, the same in all, sharded where the plan or the launcher says so."""
        net.to(self.device)
        if self.world == 1:
            return
        for tensor in (*net.parameters(), *net.buffers()):
            torch.distributed.broadcast(tensor.data, 0)
        if plan.fsdp or os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true":
            mesh = torch.distributed.device_mesh.init_device_mesh(self.device, (self.world,))
            beside = [] if net.beside is None else [net.beside]
            for module in (*net.body.blocks(), net.body, *beside, net):  # from the inside: each takes what is left
                fully_shard(module, mesh=mesh, reshard_after_forward=True)

    def descent(self, net: Network, plan: Plan) -> nn.Module:
        """What a step calls: the objective over the network, its gradients the same in all processes afterwards."""
        made = Descent(net, plan.gradient_checkpointing)
        if self.world == 1 or sharded(net):
            return made
        wrapped: nn.Module = self.accelerator.prepare_model(made)
        return wrapped

    def shares(self, update: Batch, size: int) -> list[Share]:
        """This process's part of each micro-batch of an update, at most `size` rows, the lengths dealt evenly."""
        each = size * self.world
        cuts = [torch.arange(at, min(at + each, len(update))) for at in range(0, len(update), each)]
        return [self._share(update, cut) for cut in cuts]

    @contextmanager
    def reducing(self, descent: nn.Module, last: bool) -> Iterator[None]:
        """Gradients meet in the last micro-batch of an update; until then each process gathers its own."""
        inside = descent.net if isinstance(descent, Descent) else None
        if isinstance(inside, FSDPModule):
            inside.set_requires_gradient_sync(last)
            yield
        elif last or self.world == 1:
            yield
        else:
            with self.accelerator.no_sync(descent):
                yield

    def mean(self, *numbers: float) -> tuple[float, ...]:
        """The mean over the processes of each number; no number in one is no number in all."""
        if self.world == 1:
            return numbers
        found = torch.tensor(numbers, dtype=torch.float64, device=self.accelerator.device)
        torch.distributed.all_reduce(found)
        return tuple((found / self.world).tolist())

    def answers(self, examples: Batch, cuts: Sequence[Tensor], call: Callable[[Batch], Tensor]) -> Tensor:
        """(U, ...) what `call` says of the examples, in row order: one call for each of `cuts`, dealt to the processes.

        The same cuts as in one process give the same bits. All make equally many calls: those of a sharded network
        need every process in step.
        """
        if self.world == 1:
            return call(examples)
        dealt = [list(cuts[rank :: self.world]) for rank in range(self.world)]
        mine = dealt[self.rank] + [cuts[0]] * (len(dealt[0]) - len(dealt[self.rank]))
        places = [torch.cat([*part, cuts[0][:0]]) for part in dealt]
        sizes = [len(examples.units(rows)) for rows in places]
        said = torch.cat([call(examples.take(cut)) for cut in mine])[: sizes[self.rank]]
        even = torch.zeros(max(sizes), *said.shape[1:], dtype=said.dtype)
        even[: len(said)] = said
        found = self.accelerator.gather(even.to(self.accelerator.device)).cpu().split(len(even))
        whole = torch.cat([part[:size] for part, size in zip(found, sizes, strict=True)])
        return examples.restored(whole, torch.cat(places))

    def by_first(self, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What the first process's work gave, in every process, as JSON; the others wait for it."""
        if self.world == 1:
            return work()
        made = work() if self.rank == 0 else {}
        said = torch.frombuffer(bytearray(json.dumps(made, default=str), "utf-8"), dtype=torch.uint8)
        length = int(self._sent(torch.tensor([len(said)])))
        text = self._sent(said if self.rank == 0 else torch.empty(length, dtype=torch.uint8))
        told: dict[str, Any] = json.loads(bytes(text.tolist()).decode("utf-8"))
        return made if self.rank == 0 else told

    def wait(self) -> None:
        """Go on when all have come here."""
        self.accelerator.wait_for_everyone()

    def _share(self, update: Batch, cut: Tensor) -> Share:
        if self.world == 1:
            return Share(update.take(cut), len(cut), len(cut))
        dealt = cut[torch.argsort(update.lengths[cut], stable=True)]
        mine = dealt[self.rank :: self.world]
        return Share(update.take(mine if len(mine) else dealt[:1]), len(mine), len(cut))

    def _sent(self, value: Tensor) -> Tensor:
        """The first process's value, in every process."""
        sent = value.to(self.accelerator.device)
        torch.distributed.broadcast(sent, 0)
        return sent.cpu()


def join() -> Crew:
    """Meet the other processes, if the launcher started any. Raises `BadEnvironment` where devices are missing."""
    launch.as_asked()
    here, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if launch.world() > 1 and 0 < gpus < here:
        fix = "start one process per GPU, or none on them with CUDA_VISIBLE_DEVICES="
        raise BadEnvironment("DEVICES", f"{here} processes were started and there are {gpus} GPUs", fix=fix)
    handlers = [
        # a weight that a batch does not touch is no error, and has no gradient as in one process
        DistributedDataParallelKwargs(find_unused_parameters=True, gradient_as_bucket_view=True),
        InitProcessGroupKwargs(backend=None, timeout=WAIT),
    ]
    # the precision is the plan's, whatever the launcher was told
    accelerator = Accelerator(cpu=not gpus, mixed_precision="no", kwargs_handlers=handlers)
    return Crew(accelerator, accelerator.process_index, accelerator.num_processes)


def sharded(net: nn.Module) -> bool:
    """Whether no process has all of the network's weights."""
    return any(isinstance(weight, DTensor) for weight in net.parameters())


def full(value: Any) -> Any:
    """A sharded tensor put together from its parts, by all processes at once; anything else as it is."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def local(value: Any) -> Any:
    """This process's part of a sharded tensor; anything else as it is."""
    return value.to_local() if isinstance(value, DTensor) else value


def like(value: Tensor, weight: Tensor) -> Tensor:
    """This process's part of a tensor that belongs to a sharded weight of the same shape; else the tensor as it is."""
    if not isinstance(weight, DTensor) or value.shape != weight.shape:
        return value
    return distribute_tensor(value.to(weight.device), weight.device_mesh, weight.placements)


def whole_state(net: Network) -> dict[str, Tensor]:
    """Every tensor of a sharded network, put together by all processes; on the CPU of the first, none in the others."""
    kept: dict[str, Tensor] = {}
    for name, value in net.state_dict().items():
        put_together = full(value)
        if launch.first():
            kept[name] = put_together.cpu()
    return kept
