"""AdaLoRA: low-rank updates whose ranks go where they matter (Zhang et al. 2023, arXiv 2303.10512), on PEFT's layers.

x ──► W x ───────────────────────►(+)──►      W frozen; P, Q drawn and kept orthogonal by a penalty, Λ = 0 at the start
  └─► Q x ──► Λ · ──► P · ──► α/r ─┘

Importance of a weight w with gradient g: its sensitivity |w g|, smoothed, times how uncertain that is,

    I ← β1 I + (1 - β1) |w g|      U ← β2 U + (1 - β2) | |w g| - I |      s(w) = I U

of a triplet (P_i, λ_i, Q_i): s(λ_i) + mean s(P_i) + mean s(Q_i). The budget of triplets falls from `init_r` a layer to
`target_r` as (1 - t)^3, from `tinit` updates on until `tfinal` before the end; λ_i of those outside of it is 0.

PEFT's allocator drops all that is as unimportant as its threshold, too much where scores are equal; forgets what it
knows when a run is resumed; and never ends where the update that should end it was not applied. So here the allocation
is a function of buffers beside the layers: one sort, exactly the budget, saved with the run.

Legend: r rank, K inputs, N outputs of a layer.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sartor import wrapping
from sartor.errors import BadInput
from sartor.method import Method, Native, injected

if TYPE_CHECKING:
    from torch import Tensor

    from sartor.network import Network

WARM_UP, AT_REST = 0.1, 0.4
"""Shares of a run before the budget falls, and after it has fallen; the paper's runs: 10 to 17 %, and about half."""
ALLOCATIONS = 500
"""Updates for each one between allocations; the paper has 1 for runs of 3,000 and 100 for those of 50,000."""
FACTORS = ("A", "B", "E")
"""PEFT's names: A is Q (r, K), B is P (N, r), E is Λ (r, 1)."""


@dataclass(frozen=True, kw_only=True)
class AdaLoRA(Method):
    """SVD-shaped updates of every linear layer in the blocks, their ranks chosen on the way, and the head.

    The authors' rates for GLUE are 5e-4 to 2.2e-3, for thousands of updates (table 8). Short runs need more, because
    the update begins at the product of three small factors: of 1e-3, 5e-3 and 1e-2, 5e-3 was the best in 150 updates on
    500 questions of TREC, one seed. Not yet swept.
    """

    learning_rate: ClassVar[float] = 5e-3

    init_r: int = 12
    target_r: int = 8
    """The mean rank at the end: the budget is this many triplets for each layer."""
    lora_alpha: float = 32.0
    lora_dropout: float = 0.0
    target_modules: tuple[str, ...] = ()
    """Names, or ends of names, of the layers to wrap; none: every linear layer in the blocks."""
    last: int | None = None
    """Only the last so many blocks; what is before them is then computed once a row."""
    tinit: int | None = None
    """Updates before the budget falls; none: a tenth of the run."""
    tfinal: int | None = None
    """Updates after it has fallen; none: four tenths of the run."""
    deltaT: int | None = None
    """Updates between allocations; none: one for each 500 of the run."""
    beta1: float = 0.85
    beta2: float = 0.85
    orth_reg_weight: float = 0.5
    """Of the orthogonality penalty, PEFT's default (the authors: 0.1 to 0.5); it is in no held-out loss."""

    def __post_init__(self) -> None:
        wrapping.at_least_one("adalora", target_r=self.target_r, last=self.last, deltaT=self.deltaT)
        wrapping.between("adalora", 0, 1, lora_dropout=self.lora_dropout, beta1=self.beta1, beta2=self.beta2)
        wrapping.between("adalora", 0, math.inf, tinit=self.tinit or 0, tfinal=self.tfinal or 0)
        wrapping.between("adalora", 0, math.inf, orth_reg_weight=self.orth_reg_weight)
        if self.init_r <= self.target_r:
            said = f"adalora.init_r is {self.init_r} and its target_r {self.target_r}: no rank is left to take away"
            raise BadInput("ADALORA_RANKS", said, fix=f"give init_r of at least {self.target_r + 1}, or use lora")

    def apply(self, net: Network, steps: int) -> None:
        from peft import AdaLoraConfig, inject_adapter_in_model

        targets = wrapping.linears(net.body, "adalora", self.target_modules, self.last)
        wrapping.require_width(net.body, targets, "adalora.init_r", self.init_r)
        config = AdaLoraConfig(
            init_r=self.init_r,
            target_r=self.target_r,
            lora_alpha=self.lora_alpha,
            lora_dropout=self.lora_dropout,
            target_modules=targets,
            total_step=1,  # PEFT's schedule is not used
            bias="none",
        )
        inject_adapter_in_model(config, net.body)
        for layer in wrapped(net).values():
            layer.forward = functools.partial(_forward, layer)
            _remember(layer)
        wrapping.only(net, "lora_")

    def final_from(self, steps: int) -> int:
        tinit, tfinal, _ = schedule(self, steps)
        return steps - tfinal if tinit < steps - tfinal or not steps else tinit + tfinal + 1

    def penalty(self, net: Network) -> Tensor | float:
        """The mean over all P and Q of ||P^T P - 1|| and ||Q Q^T - 1||."""
        import torch

        from sartor.engine.devices import full

        factors: dict[int, list[Tensor]] = {}
        for layer in wrapped(net).values():
            for factor in (full(layer.lora_A["default"]), full(layer.lora_B["default"]).t()):
                factors.setdefault(factor.shape[1], []).append(factor)
        stacked = [torch.stack(same) for same in factors.values()]  # one product for all layers of a width
        norms = [torch.linalg.matrix_norm(f @ f.mT - torch.eye(self.init_r, device=f.device)) for f in stacked]
        return self.orth_reg_weight * torch.cat(norms).mean()

    def after_step(self, net: Network, step: int, steps: int) -> None:
        layers = list(wrapped(net).values())
        if step < self.final_from(steps) and not layers[0].allocated:
            _weigh(layers, self.beta1, self.beta2)
            tinit, _, every = schedule(self, steps)
            if tinit < step and step % every == 0:
                _allocate(layers, budget(self, len(layers), step, steps))
        self.conform(net, step, steps)

    def conform(self, net: Network, step: int, steps: int) -> None:
        layers = list(wrapped(net).values())
        if layers and step >= min(steps, self.final_from(steps)):
            if not layers[0].allocated:
                _allocate(layers, self.target_r * len(layers))
                for layer in layers:
                    layer.allocated.fill_(True)
            _mask(layers)

    def remembered(self, net: Network) -> dict[str, Tensor]:
        known = {n for layer in wrapped(net).values() for n, _ in layer.named_buffers(recurse=False)}
        return {f"{name}.{n}": getattr(layer, n) for name, layer in wrapped(net).items() for n in sorted(known)}

    def merge(self, net: Network) -> None:
        from peft.tuners.adalora import AdaLoraLayer

        wrapping.fold(net, AdaLoraLayer)

    def native(self, net: Network) -> Native:
        found = injected(net)  # the number that PEFT divides by is always `init_r`, and never in its file
        return Native(found.config, {ours: theirs for ours, theirs in found.names.items() if ".ranknum." not in ours})

    def facts(self, net: Network) -> dict[str, Any]:
        """The rank of each layer, counted in what is there; a budget that was met is their sum."""
        found = {name: int((layer.lora_E["default"] != 0).sum()) for name, layer in wrapped(net).items()}
        return {"ranks": found, "rank_budget": self.target_r * len(found), "rank_sum": sum(found.values())}


def schedule(method: AdaLoRA, steps: int) -> tuple[int, int, int]:
    """tinit, tfinal and deltaT of a run of `steps` updates."""
    tinit = round(WARM_UP * steps) if method.tinit is None else method.tinit
    tfinal = round(AT_REST * steps) if method.tfinal is None else method.tfinal
    return tinit, tfinal, max(1, steps // ALLOCATIONS) if method.deltaT is None else method.deltaT


def budget(method: AdaLoRA, layers: int, step: int, steps: int) -> int:
    """Triplets of all `layers` together after update number `step`."""
    tinit, _, _ = schedule(method, steps)
    final = min(steps, method.final_from(steps))
    first, last = method.init_r * layers, method.target_r * layers
    if step <= tinit:
        return first
    left = max(0.0, 1 - (step - tinit) / max(1, final - tinit))
    return int((first - last) * left**3 + last)


def wrapped(net: Network) -> dict[str, Any]:
    """Name -> PEFT's layer, for every layer of the body that is wrapped."""
    from peft.tuners.adalora import AdaLoraLayer

    return wrapping.wrapped(net, AdaLoraLayer)


def _forward(layer: Any, x: Tensor) -> Tensor:
    """PEFT's forward pass, as the one operation that the engine may fuse."""
    from torch import nn
    from torch.nn import functional

    from sartor.engine.operators import adapted

    base, scale = layer.get_base_layer(), layer.scaling["default"] / (layer.r["default"] + 1e-5)  # PEFT's own slack
    a, b, dropout = layer.lora_A["default"] * layer.lora_E["default"], layer.lora_B["default"], layer.lora_dropout
    if isinstance(dropout["default"], nn.Identity):
        return adapted(x, base.weight, base.bias, a, b, scale)
    y: Tensor = base(x) + functional.linear(functional.linear(dropout["default"](x), a), b) * scale
    return y


def _remember(layer: Any) -> None:
    """Buffers beside the layer: every weight's sensitivity and uncertainty, which triplets are in, whether for good."""
    import torch

    for factor in FACTORS:
        weight = getattr(layer, f"lora_{factor}")["default"]
        for kind in ("sensitivity", "uncertainty"):
            layer.register_buffer(f"{kind}_{factor}", torch.zeros_like(weight), persistent=False)
    layer.register_buffer("inside", torch.ones(layer.r["default"], 1, dtype=torch.bool), persistent=False)
    layer.register_buffer("allocated", torch.tensor(False), persistent=False)


def _weigh(layers: list[Any], beta1: float, beta2: float) -> None:
    """Take one update's gradients into every weight's sensitivity and uncertainty."""
    import torch

    from sartor.engine.devices import full

    named = [(layer, f, getattr(layer, f"lora_{f}")["default"]) for layer in layers for f in FACTORS]
    named = [(layer, f, w) for layer, f, w in named if w.grad is not None]
    now = torch._foreach_mul([full(w.detach()) for *_, w in named], [full(w.grad) for *_, w in named])
    torch._foreach_abs_(now)
    sensitivity = [getattr(layer, f"sensitivity_{f}") for layer, f, _ in named]
    uncertainty = [getattr(layer, f"uncertainty_{f}") for layer, f, _ in named]
    torch._foreach_mul_(sensitivity, beta1)
    torch._foreach_add_(sensitivity, now, alpha=1 - beta1)
    apart = torch._foreach_sub(now, sensitivity)
    torch._foreach_abs_(apart)
    torch._foreach_mul_(uncertainty, beta2)
    torch._foreach_add_(uncertainty, apart, alpha=1 - beta2)


def _allocate(layers: list[Any], budget: int) -> None:
    """The `budget` most important triplets of all layers are inside; λ of the others is 0. Equals: the earlier ones."""
    import torch

    scores = torch.cat([_importance(layer) for layer in layers])
    order = torch.argsort(scores, descending=True, stable=True)
    inside = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
    inside[order[:budget]] = True
    for layer, part in zip(layers, torch.split(inside, [layer.r["default"] for layer in layers]), strict=True):
        layer.inside.copy_(part[:, None])
    _mask(layers)


def _importance(layer: Any) -> Tensor:
    """(r,) of each triplet."""
    a, b, e = (getattr(layer, f"sensitivity_{f}") * getattr(layer, f"uncertainty_{f}") for f in FACTORS)
    found: Tensor = e[:, 0] + a.mean(1) + b.mean(0)
    return found


def _mask(layers: list[Any]) -> None:
    import torch

    from sartor.engine.devices import like

    with torch.no_grad():
        for layer in layers:
            weight = layer.lora_E["default"]
            weight.mul_(like(layer.inside.to(weight.dtype), weight))
