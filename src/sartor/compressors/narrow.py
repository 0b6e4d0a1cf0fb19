"""Structured pruning: whole attention heads and whole neurons of the feed-forward layers, taken out of the matrices.

Which go: those whose output matters least to the loss, to first order, on the user's labelled rows,

    I = mean |Σ x · ∂L/∂x|        x what a head (Michel et al. 2019, arXiv 1905.10650) or a neuron (Molchanov et al.
                                  2019, arXiv 1906.10771) hands to the layer that reads it

Every block keeps as many, so that no block is the slowest. The matrices are smaller afterwards, and so are time and
size, without any kernel for sparse ones. What was lost is learned again by distillation for `epochs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from sartor.compressor import Compressor
from sartor.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor

    from sartor.batch import Batch
    from sartor.data.rows import Rows
    from sartor.network import Network
    from sartor.pretrained.passage import Passage
    from sartor.recipe import Recipe

AT_ONCE = 32
"""Rows in one backward pass."""


@dataclass(frozen=True, kw_only=True)
class Narrow(Compressor):
    """Fewer heads, and a narrower feed-forward layer, in every block."""

    heads: float = 0.5
    """Share of the attention heads that stay."""
    width: float = 0.5
    """Share of the feed-forward neurons that stay."""
    epochs: float = 3.0
    learning_rate: float = 1e-4

    def __post_init__(self) -> None:
        for name in ("heads", "width"):
            if not 0 < getattr(self, name) <= 1:
                said = f"narrow.{name} is {getattr(self, name):g}, and nothing would be left or more than there is"
                raise BadInput("VALUE_RANGE", said, fix="give a share above 0 and at most 1, such as 0.5")
        if self.heads == self.width == 1:
            raise BadInput("NARROW_NONE", "narrow takes nothing away", fix="give heads or width below 1")
        if self.epochs < 0 or not 0 < self.learning_rate < 1:
            fix = "give epochs of at least 0 and a learning_rate between 0 and 1"
            raise BadInput("VALUE_RANGE", "narrow.epochs or narrow.learning_rate is out of range", fix=fix)

    def compress(self, net: Network, recipe: Recipe, rows: Rows) -> Self:
        from sartor.engine.calibrate import drawn
        from sartor.engine.features import outputs
        from sartor.engine.recover import recover

        found = _passages(net)
        examples = recipe.task.encode(rows, net.body) if self.epochs else None
        said = outputs(net, examples) if examples is not None else None
        felt = importance(net, recipe, drawn(net, recipe.task, rows), found)
        for passage in found:
            _cut(net, passage, felt[passage.reader], self._left(passage))
        _refuse_counting(net)
        if examples is not None and said is not None:
            recover(net, recipe, examples, said, self.epochs, self.learning_rate)
        return self

    def reshape(self, net: Network) -> None:
        import torch

        for passage in _passages(net):
            _cut(net, passage, torch.zeros(passage.units), self._left(passage))

    def facts(self, net: Network) -> dict[str, Any]:
        weights = [net.body.get_parameter(f"{name}.weight") for name in net.body.linears()]
        return {"heads": self.heads, "width": self.width, "multiply_adds": sum(w.numel() for w in weights)}

    def _left(self, passage: Passage) -> int:
        """Units of a passage that stay: of its heads, or of its neurons."""
        return max(1, round(passage.units * (self.heads if passage.size > 1 else self.width)))


def _passages(net: Network) -> list[Passage]:
    from sartor.pretrained.passage import passages

    found = passages(net.body)
    if not found:
        fix = "use prune or quantize for this network"
        raise BadInput("NARROW_NONE", "no attention and no feed-forward layer was seen in the network", fix=fix)
    return found


def _refuse_counting(net: Network) -> None:
    """Raise `BadInput` where the network does not run with fewer heads, since it counts them itself."""
    import torch

    assert net.body.few is not None
    try:
        with torch.no_grad():
            net.body(net.body.few)
    except RuntimeError:
        said = "the network counts its attention heads itself and does not run with fewer"
        raise BadInput("NARROW_HEADS", said, fix="keep them all: narrow:heads=1; or use prune or quantize") from None


def importance(net: Network, recipe: Recipe, examples: Batch, found: list[Passage]) -> dict[str, Tensor]:
    """Reader -> (units,) |Σ x · ∂L/∂x|, the sum over a unit's numbers and the vectors of `AT_ONCE` rows, added up over
    all of them."""
    import torch

    if not examples.answered:
        said = f"narrow weighs units by labels that stand beside what is read, and of {recipe.task.name} none do"
        raise BadInput("NARROW_LABELS", said, fix="give labelled rows, or use quantize, prune or drop_layers")
    felt = {p.reader: torch.zeros(p.units) for p in found}
    seen: dict[str, Tensor] = {}

    def hook(name: str) -> Any:
        def keep(_: Any, given: Any) -> Any:
            seen[name] = given[0].detach().requires_grad_(True)
            return (seen[name] + (given[0] - given[0].detach()),)

        return keep

    placed = [net.body.get_submodule(name).register_forward_pre_hook(hook(name)) for name in felt]
    try:
        with torch.enable_grad():
            for some in torch.split(torch.arange(len(examples)), AT_ONCE):
                batch = examples.take(some)
                seen.clear()
                recipe.task.loss(net(batch), batch).sum().backward()  # type: ignore[no-untyped-call]
                for p in found:
                    x = seen[p.reader]
                    assert x.grad is not None
                    effect = (x * x.grad).detach().reshape(-1, p.units, p.size)
                    felt[p.reader] += effect.sum((0, 2)).abs()
    finally:
        for handle in placed:
            handle.remove()
        net.zero_grad(set_to_none=True)
    return felt


def _cut(net: Network, passage: Passage, felt: Tensor, left: int) -> None:
    """Keep the `left` units that are felt most, in their order, in the layers that make them and the one that reads."""
    import torch

    kept = felt.argsort(descending=True, stable=True)[:left].sort().values
    places = (kept[:, None] * passage.size + torch.arange(passage.size)).flatten()
    for name in passage.makers:
        layer: Any = net.body.get_submodule(name)
        layer.weight, layer.out_features = _parameter(layer.weight[places]), len(places)
        if layer.bias is not None:
            layer.bias = _parameter(layer.bias[places])
    reader: Any = net.body.get_submodule(passage.reader)
    reader.weight, reader.in_features = _parameter(reader.weight[:, places]), len(places)


def _parameter(values: Tensor) -> Any:
    from torch import nn

    return nn.Parameter(values.detach().clone(), requires_grad=False)
