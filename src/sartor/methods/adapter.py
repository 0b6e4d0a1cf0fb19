"""Adapters: a small bottleneck in every block, beside frozen layers (Houlsby et al. 2019, arXiv 1902.00751).

A(h) = s U f(D h + d) + u        D (m, width) drawn, U (width, m) = 0 at the start, m = width / reduction_factor

houlsby   h + A(h) for the output h of the attention and again for that of the feed-forward, before each is added to the
          residual; the norms of the blocks move too
pfeiffer  one, after the feed-forward: norm(x + A(norm(x))) for the residual's sum x; where no norm follows, x + A(x)
          (Pfeiffer et al. 2021, AdapterFusion, arXiv 2005.00247, as MAD-X, arXiv 2005.00052, writes it)
parallel  h + A(x) for the feed-forward's input x and output h, s = 4 (He et al. 2022, arXiv 2110.04366)

Houlsby et al. draw D and U from N(0, 0.01), so that the first pass is nearly the frozen network's; with U = 0, as He et
al. have it, it is exactly that. Where the layers are is not looked up in a table of architectures: see `places`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from sartor.errors import BadInput
from sartor.method import Method

if TYPE_CHECKING:
    from torch import nn

    from sartor.body import Body
    from sartor.network import Network

SCALES = {"houlsby": 1.0, "pfeiffer": 1.0, "parallel": 4.0}


@dataclass(frozen=True)
class Places:
    """Where the linear layers of a block return to its width, and what the feed-forward begins with."""

    width: int
    attention: nn.Module
    begin: nn.Module
    end: nn.Module


@dataclass(frozen=True, kw_only=True)
class Adapter(Method):
    """A bottleneck in every block, and the head; about a hundredth of the weights.

    Its rate lies between the two upper ones of the authors' search (3e-4 and 3e-3); not yet swept here.
    """

    learning_rate: ClassVar[float] = 1e-3

    placement: Literal["houlsby", "pfeiffer", "parallel"] = "houlsby"
    reduction_factor: float = 16.0
    """The width over the bottleneck's."""
    non_linearity: Literal["relu", "gelu", "silu", "tanh"] = "relu"
    scaling: float | None = None
    """s; none: 4 in parallel, else 1."""
    last: int | None = None
    """Only in the last so many blocks; what is before them is then computed once a row."""

    def __post_init__(self) -> None:
        if self.last is not None and self.last < 1:
            raise BadInput("VALUE_RANGE", f"adapter.last is {self.last}", fix="give at least 1")
        if self.reduction_factor <= 0:
            said = f"adapter.reduction_factor is {self.reduction_factor:g}"
            raise BadInput("VALUE_RANGE", said, fix="give a number above 0")

    def apply(self, net: Network, steps: int) -> None:
        net.body.requires_grad_(False)
        blocks = self._late(net.body)
        found = [places(block) for block in blocks]
        if self.placement == "houlsby":
            for block, there in zip(blocks, found, strict=True):
                for layer in (there.attention, there.end):
                    self._insert(layer, there.width, _after)
                for each in norms(block):
                    each.requires_grad_(True)
        elif self.placement == "pfeiffer":
            for block, there, norm in zip(blocks, found, final_norms(net.body, blocks, found), strict=True):
                if norm is None:
                    self._insert(block, there.width, _after)
                else:
                    self._insert(norm, there.width, _around)
        else:
            for there in found:
                self._insert(there.end, there.width, _beside)
                there.begin.register_forward_pre_hook(partial(_read, there.end))

    def _insert(self, layer: nn.Module, width: int, hook: Callable[..., Any]) -> None:
        """A bottleneck as `layer.adapter`, at work whenever the layer is called."""
        layer.adapter = bottleneck(width, self._inner(width), self.non_linearity)
        layer.register_forward_hook(partial(hook, SCALES[self.placement] if self.scaling is None else self.scaling))

    def _inner(self, width: int) -> int:
        inner = int(width / self.reduction_factor)
        if inner < 1:
            said = f"adapter.reduction_factor is {self.reduction_factor:g} and the network's width {width}"
            raise BadInput("ADAPTER_WIDTH", said, fix=f"give at most {width}")
        return inner

    def _late(self, body: Body) -> list[nn.Module]:
        blocks = body.blocks()
        if self.last is not None and self.last > len(blocks):
            fix = f"give at most {len(blocks)}"
            raise BadInput(
                "ADAPTER_LAST", f"adapter.last is {self.last} and the network has {len(blocks)} blocks", fix=fix
            )
        if not blocks:
            said, fix = "the network has no blocks to put adapters in", "use a method that moves what is there: full"
            raise BadInput("ADAPTER_PLACE", said, fix=fix)
        return blocks if self.last is None else blocks[-self.last :]


def bottleneck(width: int, inner: int, non_linearity: str) -> nn.Module:
    """U f(D h + d) + u for tokens (..., width); U and u are 0."""
    from collections import OrderedDict

    from torch import nn

    between = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}[non_linearity]()
    down, up = nn.Linear(width, inner), nn.Linear(inner, width)
    nn.init.zeros_(up.weight)
    nn.init.zeros_(up.bias)
    return nn.Sequential(OrderedDict(down=down, between=between, up=up))


def places(block: nn.Module) -> Places:
    """Found by the block's shape, part by part in the order in which they were made.

    The attention is the first part of several layers that returns to the width, its output the last of them that does.
    The feed-forward ends with the last layer behind it that returns, and begins with the nearest one before that which
    reads the width. Raises `BadInput` for a block without both."""
    parts = _parts(block)
    width = next((layers[0].in_features for layers in parts), 0)
    returning = [[layer for layer in layers if layer.out_features == width] for layers in parts]
    where = next((i for i, layers in enumerate(returning) if layers and len(parts[i]) > 1), len(parts))
    behind = [layer for layers in parts[where + 1 :] for layer in layers]
    end = next((layer for layer in reversed(behind) if layer.out_features == width), None)
    before = behind[: behind.index(end)] if end is not None else []
    begin = next((layer for layer in reversed(before) if layer.in_features == width), None)
    if begin is None or end is None:
        said = f"a {type(block).__name__} has no attention and feed-forward of linear layers that return to its width"
        raise BadInput("ADAPTER_PLACE", said, fix="use a method that moves what is there: bitfit or full")
    return Places(width, returning[where][-1], begin, end)


def norms(block: nn.Module) -> list[nn.Module]:
    """Its norms: layers of a scale for each channel."""
    leaves = [m for m in block.modules() if not list(m.children())]
    return [m for m in leaves if getattr(getattr(m, "weight", None), "ndim", 0) == 1]


def final_norms(body: Body, blocks: Sequence[nn.Module], found: Sequence[Places]) -> list[nn.Module | None]:
    """The norm by which each block's sum leaves it, or None where it leaves as it is: seen in one pass."""
    import torch

    if body.few is None:
        fix = "use adapter:placement=houlsby or adapter:placement=parallel"
        raise BadInput("ADAPTER_TRIAL", "this network cannot be tried to see where its norms are", fix=fix)
    watched = [_Watch(there.end, norms(block)) for block, there in zip(blocks, found, strict=True)]
    training = body.training
    body.eval()
    try:
        with torch.no_grad():
            body(body.few)
    finally:
        body.train(training)
        for watch in watched:
            watch.stop()
    return [watch.first for watch in watched]


class _Watch:
    """Sees which of some norms is called first after a layer."""

    def __init__(self, layer: nn.Module, among: Sequence[nn.Module]) -> None:
        self.waits = False
        self.first: nn.Module | None = None
        self.handles = [layer.register_forward_hook(self._begin)]
        self.handles += [norm.register_forward_pre_hook(self._see) for norm in among]

    def _begin(self, *_: Any) -> None:
        self.waits = True

    def _see(self, norm: nn.Module, _: Any) -> None:
        if self.waits and self.first is None:
            self.first = norm

    def stop(self) -> None:
        for handle in self.handles:
            handle.remove()


def _parts(block: nn.Module) -> list[list[Any]]:
    """The linear layers of the block by the child that holds them, in the order in which it was made."""
    from torch import nn

    children = list(block.children())
    held = [[m for m in child.modules() if isinstance(m, nn.Linear)] for child in children]
    filled = [i for i, layers in enumerate(held) if layers]
    if len(filled) == 1 and not isinstance(children[filled[0]], nn.Linear):
        return _parts(children[filled[0]])  # a list of sub-layers, as T5 has it
    return [held[i] for i in filled]


def _after(scale: float, layer: Any, args: Any, output: Any) -> Any:
    """h + s A(h) in place of what the layer (or block) gave."""
    hidden = output[0] if isinstance(output, tuple) else output
    more = hidden + _scaled(layer.adapter(hidden), scale)
    return (more, *output[1:]) if isinstance(output, tuple) else more


def _around(scale: float, norm: Any, args: Any, output: Any) -> Any:
    """norm(x + s A(norm(x)))."""
    return norm.forward(args[0] + _scaled(norm.adapter(output), scale))


def _read(end: Any, layer: Any, args: Any) -> None:
    end.adapter.reads = args[0]


def _beside(scale: float, end: Any, args: Any, output: Any) -> Any:
    """h + s A(x) for the x that the feed-forward has just read."""
    x, end.adapter.reads = end.adapter.reads, None
    return output + _scaled(end.adapter(x), scale)


def _scaled(found: Any, scale: float) -> Any:
    return found if scale == 1.0 else found * scale
