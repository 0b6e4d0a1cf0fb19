"""Whole blocks left out; what stays learns again what the whole network said.

Which blocks go: those that change their input least, 1 - cos(x_in, x_out) over the user's rows (block influence: Men et
al. 2024, ShortGPT, arXiv 2403.03853); or every other one (DistilBERT: Sanh et al. 2019, arXiv 1910.01108). Without the
training that follows a small encoder loses most of what it knows: `epochs` of distillation at the whole network's own
answers and the labels bring it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from sartor.compressor import Compressor
from sartor.errors import BadInput
from sartor.part import learned

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sartor.batch import Batch
    from sartor.data.rows import Rows
    from sartor.network import Network
    from sartor.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class DropLayers(Compressor):
    """Keep only some of the blocks."""

    keep: int | None = None
    """How many blocks stay; none: half of them."""
    choose: Literal["influence", "spread"] = "influence"
    epochs: float = 3.0
    learning_rate: float = 1e-4
    kept: tuple[int, ...] = learned(())
    """Which blocks stay, from 0 at the input."""

    def __post_init__(self) -> None:
        if self.keep is not None and self.keep < 1:
            raise BadInput("VALUE_RANGE", f"drop_layers.keep is {self.keep}", fix="give at least 1")
        if self.epochs < 0 or not 0 < self.learning_rate < 1:
            fix = "give epochs of at least 0 and a learning_rate between 0 and 1"
            raise BadInput("VALUE_RANGE", "drop_layers.epochs or drop_layers.learning_rate is out of range", fix=fix)

    def compress(self, net: Network, recipe: Recipe, rows: Rows) -> Self:
        from sartor.engine.features import outputs
        from sartor.engine.recover import recover

        kept = self._chosen(net, recipe, rows)
        examples = recipe.task.encode(rows, net.body) if self.epochs else None
        said = outputs(net, examples) if examples is not None else None
        _leave(net, kept)
        if examples is not None and said is not None:
            recover(net, recipe, examples, said, self.epochs, self.learning_rate)
        return self.with_settings(kept=kept)

    def reshape(self, net: Network) -> None:
        _leave(net, self.kept)

    def facts(self, net: Network) -> dict[str, Any]:
        return {"kept": list(self.kept), "epochs": self.epochs}

    def _chosen(self, net: Network, recipe: Recipe, rows: Rows) -> tuple[int, ...]:
        from sartor.engine.calibrate import drawn

        count = len(net.body.blocks())
        keep = self.keep or max(1, count // 2)
        if keep >= count:
            fix = f"give keep below {count}" if count > 1 else "use quantize or prune"
            raise BadInput("DROP_LAYERS", f"drop_layers.keep is {keep}, and the network has {count} blocks", fix=fix)
        _alike(net)
        if self.choose == "spread":
            return tuple(sorted({round(i * (count - 1) / max(1, keep - 1)) for i in range(keep)}))
        found = influence(net, drawn(net, recipe.task, rows))
        return tuple(sorted(sorted(range(count), key=lambda i: -found[i])[:keep]))


def influence(net: Network, examples: Batch) -> list[float]:
    """Of each block: 1 - cos(what it reads, what it gives), the mean over all vectors."""
    from torch.nn import functional

    from sartor.engine.features import outputs

    blocks = net.body.blocks()
    sums, counts = [0.0] * len(blocks), [0] * len(blocks)

    def hook(i: int) -> Any:
        def see(_: nn.Module, given: Any, answered: Any) -> None:
            x, y = given[0], answered[0] if isinstance(answered, tuple) else answered
            each: Tensor = 1 - functional.cosine_similarity(x.float().flatten(0, -2), y.float().flatten(0, -2))
            sums[i] += float(each.sum())
            counts[i] += len(each)

        return see

    placed = [block.register_forward_hook(hook(i)) for i, block in enumerate(blocks)]
    try:
        outputs(net, examples)
    finally:
        for handle in placed:
            handle.remove()
    return [total / max(1, count) for total, count in zip(sums, counts, strict=True)]


def _alike(net: Network) -> None:
    """Raises `BadInput` unless every block gives what it reads in shape, so that any may be left out."""
    import torch

    if net.body.few is None:
        return
    shapes: list[tuple[Any, Any]] = []

    def see(_: nn.Module, given: Any, answered: Any) -> None:
        shapes.append((given[0].shape, (answered[0] if isinstance(answered, tuple) else answered).shape))

    placed = [block.register_forward_hook(see) for block in net.body.blocks()]
    try:
        with torch.no_grad():
            net.body(net.body.few)
    finally:
        for handle in placed:
            handle.remove()
    if any(x != y for x, y in shapes):
        fix = "use narrow, prune or quantize for this network"
        raise BadInput("DROP_LAYERS", "its blocks change the shape of what they read, so none can be left out", fix=fix)


def _leave(net: Network, kept: tuple[int, ...]) -> None:
    """Take every other block out of the list that holds them."""
    from torch import nn

    blocks = net.body.blocks()
    for module in net.body.modules():
        if isinstance(module, nn.ModuleList) and len(module) == len(blocks) and module[0] is blocks[0]:
            for i in reversed(range(len(blocks))):
                if i not in kept:
                    del module[i]
            return
    raise BadInput("DROP_LAYERS", "its blocks lie in no list from which some can be taken", fix="use prune or quantize")
