"""Operators: what linear layers, norms, dropout and word tables cost in the loop, made as small as the machine allows.

A mode that stands in for some of torch's functions while a pass runs, and changes nothing else:

    linear      products in bf16 on the processor's matrix units; the 32-bit weights are cast once per update, frozen
                ones once per run and laid out the way the units read them. In 32 bits, without a graph: by whichever
                library is fast on this processor
    conv1d, 2d  in bf16 like the products, the gradient of its weights too
    layer_norm  sums in 32 bits, its result in bf16, so that no layer casts again what it reads
    dropout     masks at the price of their random bits (pretrained/chance.py)
    embedding   the gradient of a large table only for the rows that were read

What `torch.autocast` does casts every input of every product anew and keeps the stream between layers in 32 bits: on
two cores that was 8 to 15 % of a step. Only weights of the body are touched; the head stays in 32 bits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode, handle_torch_function, has_torch_function

from sartor.engine.precision import CPUINFO, cpuinfo_value
from sartor.pretrained.chance import kept, scaled

Reader = Callable[[Tensor, Tensor], None]
"""Told of (table, rows) before the rows are read."""

HALF = torch.bfloat16
LARGE = 1 << 16
"""Numbers of a weight from which it is worth being updated by itself."""


def adapted(x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:
    """x W^T + bias + scale (x A^T) B^T: a layer with its low-rank update, a (r, K), b (N, r). A mode may fuse it."""
    if has_torch_function((x, weight, a, b)):
        fused: Tensor = handle_torch_function(adapted, (x, weight, a, b), x, weight, bias, a, b, scale)
        return fused
    return functional.linear(x, weight, bias) + functional.linear(functional.linear(x, a), b) * scale


class Operators(TorchFunctionMode):
    """While this mode is active, the weights of `body` work in `precision` ("bf16" or "fp32").

    `tables` are the embeddings whose gradient is wanted by rows; `read` hears which rows are about to be read.
    `lasting`: it serves many passes with the same weights, so that what each needs of them is made once.
    """

    def __init__(
        self,
        body: nn.Module,
        precision: str,
        tables: Iterable[Tensor] = (),
        read: Reader | None = None,
        lasting: bool = False,
    ):
        TorchFunctionMode.__init__(self)
        self.lasting = lasting
        self.whole: dict[int, tuple[Tensor, int, Tensor]] = {}
        self.mine = {id(p) for p in body.parameters()}
        self.half = precision == "bf16"
        self.tables = {id(p) for p in tables}
        self.read = read
        linears = [m.weight for m in body.modules() if type(m) is nn.Linear and m.weight.numel() >= LARGE]
        self.matrices = [w for w in linears if w.requires_grad and w.device.type == "cpu"]
        self.casts: dict[int, tuple[int, Tensor]] = {}
        self.layouts: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        stand_in = STAND_INS.get(func)
        if stand_in is not None:
            found = stand_in(self, *args, **kwargs)
            if found is not NotImplemented:
                return found
        return func(*args, **kwargs)

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
        if id(weight) not in self.mine or x.dtype not in (torch.float32, HALF):
            return NotImplemented
        if not self.half:
            return NotImplemented if torch.is_grad_enabled() else exact_product()(x, self._lasted(weight), bias)
        narrow = None if bias is None else self.cast(bias)
        if weight.requires_grad or not prepacks():
            return _Linear.apply(x.to(HALF), weight, bias, self.cast(weight), narrow)  # type: ignore[no-untyped-call]
        return _FrozenLinear.apply(x.to(HALF), *self.laid_out(weight), bias, narrow)  # type: ignore[no-untyped-call]

    def adapted(self, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Any:
        if not self.half or not prepacks() or weight.requires_grad or id(weight) not in self.mine:
            with self:  # a function that is passed on runs outside of every mode
                return functional.linear(x, weight, bias) + functional.linear(functional.linear(x, a), b) * scale
        narrow = None if bias is None else self.cast(bias)
        frozen = (*self.laid_out(weight), narrow)
        narrow_a, narrow_b = self.cast(a), self.cast(b)
        return _Adapted.apply(x.to(HALF), a, b, narrow_a, narrow_b, frozen, scale)  # type: ignore[no-untyped-call]

    def layer_norm(
        self,
        x: Tensor,
        shape: Any,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-5,
    ) -> Any:
        if not self.half or weight is None or id(weight) not in self.mine:
            return NotImplemented
        return torch.layer_norm(x, shape, weight, bias, eps).to(HALF)

    def conv2d(self, x: Tensor, weight: Tensor, bias: Tensor | None = None, *rest: Any, **more: Any) -> Any:
        if not self.half or id(weight) not in self.mine:
            return NotImplemented
        narrow = None if bias is None else bias.to(HALF)
        return functional.conv2d(x.to(HALF), weight.to(HALF), narrow, *rest, **more)

    def conv1d(self, x: Tensor, weight: Tensor, bias: Tensor | None = None, *rest: Any, **more: Any) -> Any:
        made = x.dtype == HALF and weight.dtype != HALF  # anew for every pass, as weight norm does
        if not self.half or not (made or id(weight) in self.mine):
            return NotImplemented
        narrow = None if bias is None else bias.to(HALF)
        return functional.conv1d(x.to(HALF), weight.to(HALF), narrow, *rest, **more)

    def dropout(self, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
        if not training or p == 0.0:
            return x
        return _Dropout.apply(x, p) if x.device.type == "cpu" and p < 1.0 else NotImplemented  # type: ignore[no-untyped-call]

    def embedding(self, ids: Tensor, weight: Tensor, padding_idx: int | None = None, *rest: Any, **more: Any) -> Any:
        if id(weight) not in self.tables:
            return NotImplemented
        rows, places = torch.unique(ids, return_inverse=True)
        if self.read is not None:
            self.read(weight, rows)
        return _Lookup.apply(weight, ids, rows, places, padding_idx)  # type: ignore[no-untyped-call]

    def cast(self, weight: Tensor) -> Tensor:
        """The weight in bf16; cast again only after it has changed. What was made on the way is not kept: its id
        is soon another's."""
        if id(weight) not in self.mine:
            return weight.detach().to(HALF)
        known = self.casts.get(id(weight))
        if known is None or known[0] != weight._version:
            narrow = weight.detach().to(HALF) if known is None else known[1].copy_(weight.detach())
            known = self.casts[id(weight)] = (weight._version, narrow)
        return known[1]

    def narrow_gradients(self, alone: bool) -> None:
        """Whether the gradients of large products stay in bf16, as they leave them: where an update is one pass, so
        that nothing is summed up in them. What they say is the same."""
        wanted = HALF if alone and self.half else torch.float32
        for weight in self.matrices:
            if weight.grad_dtype != wanted:
                weight.grad_dtype = wanted

    def _lasted(self, weight: Tensor) -> Tensor:
        """A 32-bit weight as the product takes it: laid out once where that lasts, again where it has changed."""
        if not self.lasting or exact_product() is functional.linear:
            return weight
        known = self.whole.get(id(weight))
        if known is None or known[1] != weight._version:
            packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), None)
            known = self.whole[id(weight)] = weight, weight._version, packed
        return known[2]

    def laid_out(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """A frozen weight and its transpose, prepacked for the matrix units."""
        if id(weight) not in self.layouts:
            narrow = weight.detach().to(HALF)
            pack = torch.ops.mkldnn._reorder_linear_weight
            self.layouts[id(weight)] = (pack(narrow, None), pack(narrow.t().contiguous(), None))
        return self.layouts[id(weight)]


STAND_INS: dict[Any, Callable[..., Any]] = {
    functional.linear: Operators.linear,
    adapted: Operators.adapted,
    functional.conv1d: Operators.conv1d,
    functional.conv2d: Operators.conv2d,
    functional.layer_norm: Operators.layer_norm,
    functional.dropout: Operators.dropout,
    functional.embedding: Operators.embedding,
}


@functools.cache
def prepacks() -> bool:
    """Whether oneDNN's prepacked products are there and work."""
    try:
        x, w = torch.ones(2, 4, dtype=HALF), torch.ones(3, 4, dtype=HALF)
        packed = torch.ops.mkldnn._reorder_linear_weight(w, None)
        return bool((torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "") == 4).all())
    except (AttributeError, RuntimeError, NotImplementedError):
        return False


def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x W^T + b in bf16; oneDNN called directly adds the bias in the product, torch writes it out first."""
    if not prepacks():
        return functional.linear(x, weight, bias)
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return y


@functools.cache
def exact_product() -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    """The fastest x W^T + b in 32 bits. MKL, torch's own choice, leaves half of a processor that is not Intel's unused:
    two Zen 5 cores gave 225 GFLOP/s by MKL and 490 by oneDNN. The choice rests on the maker's name, not on a timing, so
    that the same machine always gives the same bits."""
    vendor = cpuinfo_value(CPUINFO, "vendor_id")
    if not prepacks() or vendor in (None, "GenuineIntel"):
        return functional.linear
    return lambda x, weight, bias: torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class _Linear(torch.autograd.Function):
    """y = x W^T + b in bf16; the gradients of W and b leave in bf16 and are summed up in 32 bits."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, narrow: Tensor, narrow_bias: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(x, narrow)
        return product(x, narrow, narrow_bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, narrow = ctx.saved_tensors
        rows = grad.reshape(-1, grad.shape[-1])
        gx = grad @ narrow if ctx.needs_input_grad[0] else None
        gw = rows.t() @ x.reshape(-1, x.shape[-1]) if ctx.needs_input_grad[1] else None
        gb = rows.sum(0) if ctx.needs_input_grad[2] else None
        return gx, gw, gb, None, None


class _FrozenLinear(torch.autograd.Function):
    """The same with a weight that does not move, prepacked for both directions; its bias may move."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, packed: Tensor, turned: Tensor, bias: Tensor | None, narrow: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(turned)
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, narrow, "none", [], "")
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (turned,) = ctx.saved_tensors
        gx = None
        if ctx.needs_input_grad[0]:
            gx = torch.ops.mkldnn._linear_pointwise(grad.contiguous(), turned, None, "none", [], "")
        gb = grad.reshape(-1, grad.shape[-1]).sum(0) if ctx.needs_input_grad[3] else None
        return gx, None, None, gb, None


class _Adapted(torch.autograd.Function):
    """A frozen layer and its low-rank update: every sum is made inside a product. Its bias does not move."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, a: Tensor, b: Tensor, narrow_a: Tensor, narrow_b: Tensor, frozen: Any, scale: float
    ) -> Tensor:
        packed, turned, bias = frozen
        inner = functional.linear(x, narrow_a)  # (..., r)
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
        _rows(y).addmm_(_rows(inner), narrow_b.t(), alpha=scale)
        ctx.save_for_backward(x, inner, narrow_a, narrow_b, turned)
        ctx.scale = scale
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, inner, a, b, turned = ctx.saved_tensors
        grad = grad.contiguous()
        flat = _rows(grad)
        through = (flat @ b).mul_(ctx.scale)  # (S, r)
        gx = None
        if ctx.needs_input_grad[0]:
            gx = torch.ops.mkldnn._linear_pointwise(grad, turned, None, "none", [], "")
            _rows(gx).addmm_(through, a)
        ga = through.t() @ _rows(x)
        gb = (flat.t() @ _rows(inner)).mul_(ctx.scale)
        return gx, ga, gb, None, None, None, None


def _rows(x: Tensor) -> Tensor:
    return x.view(-1, x.shape[-1])


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> Tensor:
        keep = kept(x, p)
        ctx.save_for_backward(keep)
        ctx.p = p
        return scaled(x, keep, p)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (keep,) = ctx.saved_tensors
        return scaled(grad, keep, ctx.p), None


class _Lookup(torch.autograd.Function):
    """Rows of a table; its gradient is sparse: one row for each that was read."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, ids: Tensor, rows: Tensor, places: Tensor, padding_idx: int | None) -> Tensor:
        ctx.save_for_backward(rows, places)
        ctx.shape, ctx.padding = weight.shape, padding_idx
        return weight.index_select(0, ids.reshape(-1)).view(*ids.shape, weight.shape[-1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        rows, places = ctx.saved_tensors
        sums = torch.zeros(len(rows), ctx.shape[1], dtype=torch.float32)
        sums.index_add_(0, places.reshape(-1), grad.reshape(-1, ctx.shape[1]).float())
        if ctx.padding is not None and ctx.padding >= 0:
            sums[rows == ctx.padding] = 0.0
        sparse = torch.sparse_coo_tensor(rows[None], sums, ctx.shape, is_coalesced=True, check_invariants=False)
        return sparse, None, None, None, None
