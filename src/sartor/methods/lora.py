"""LoRA: low-rank updates beside frozen linear layers (Hu et al. 2021, arXiv 2106.09685), through PEFT.

x ──► W x ──────────────►(+)──►        W frozen, A drawn, B = 0 at the start
  └─► A x ──► B · ──► α/r ─┘

rsLoRA scales by α/√r (Kalajdzievski 2023, arXiv 2312.03732). DoRA gives each output a magnitude m of its own, with
the norms of the rows held constant in the gradient (Liu et al. 2024, arXiv 2402.09353):

    W' = m (W + s B A) / ‖W + s B A‖        m = ‖W‖ at the start, s the scale
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sartor import wrapping
from sartor.method import Method, Native, injected

if TYPE_CHECKING:
    from torch import Tensor

    from sartor.network import Network


@dataclass(frozen=True, kw_only=True)
class LoRA(Method):
    """Rank-r updates of every linear layer in the blocks, and the head.

    About ten times full fine-tuning's rate, all layers (Thinking Machines 2025, LoRA Without Regret).
    """

    learning_rate: ClassVar[float] = 5e-4

    r: int = 16
    lora_alpha: float = 32.0
    lora_dropout: float = 0.0
    target_modules: tuple[str, ...] = ()
    """Names, or ends of names, of the layers to wrap; none: every linear layer in the blocks."""
    last: int | None = None
    """Only the last so many blocks (PEFT's `layers_to_transform`); what is before them is then computed once a row."""
    use_rslora: bool = False
    """Scale by the root of the rank, so that a high rank learns as fast as a low one."""
    use_dora: bool = False
    """Magnitude and direction apart: closer to full fine-tuning at low ranks, at a slower step."""

    def __post_init__(self) -> None:
        wrapping.at_least_one("lora", r=self.r, last=self.last)
        wrapping.between("lora", 0, 1, lora_dropout=self.lora_dropout)

    def apply(self, net: Network, steps: int) -> None:
        from peft import LoraConfig, inject_adapter_in_model

        targets = wrapping.linears(net.body, "lora", self.target_modules, self.last)
        wrapping.require_width(net.body, targets, "lora.r", self.r)
        config = LoraConfig(
            r=self.r,
            lora_alpha=self.lora_alpha,
            lora_dropout=self.lora_dropout,
            target_modules=targets,
            use_rslora=self.use_rslora,
            use_dora=self.use_dora,
            bias="none",
        )
        inject_adapter_in_model(config, net.body)
        if not self.use_dora:
            for layer in wrapped(net).values():  # PEFT's own casts every input to 32 bits and writes each sum out
                layer.forward = functools.partial(_forward, layer)
        wrapping.only(net, "lora_")

    def merge(self, net: Network) -> None:
        from peft.tuners.lora import LoraLayer

        wrapping.fold(net, LoraLayer)

    def native(self, net: Network) -> Native:
        return injected(net)


def wrapped(net: Network) -> dict[str, Any]:
    """Name -> PEFT's layer, for every layer of the body that is wrapped."""
    from peft.tuners.lora import LoraLayer

    return wrapping.wrapped(net, LoraLayer)


def _forward(layer: Any, x: Tensor) -> Tensor:
    """PEFT's forward pass of a plain LoRA layer, as one operation that the engine may fuse."""
    from torch import nn
    from torch.nn import functional

    from sartor.engine.operators import adapted

    base, ((name, scale),) = layer.get_base_layer(), layer.scaling.items()
    a, b, dropout = layer.lora_A[name].weight, layer.lora_B[name].weight, layer.lora_dropout[name]
    if isinstance(dropout, nn.Identity):
        return adapted(x, base.weight, base.bias, a, b, scale)
    y: Tensor = base(x) + functional.linear(functional.linear(dropout(x), a), b) * scale
    return y
