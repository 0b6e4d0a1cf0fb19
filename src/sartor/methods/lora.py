"""LoRA: low-rank updates beside frozen linear layers (Hu et al. 2021, arXiv 2106.09685), through PEFT.

x ──► W x ──────────────►(+)──►        W frozen, A drawn, B = 0 at the start
  └─► A x ──► B · ──► α/r ─┘
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sartor.errors import BadInput, did_you_mean
from sartor.method import Method, Native, injected

if TYPE_CHECKING:
    from torch import Tensor

    from sartor.body import Body
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

    def __post_init__(self) -> None:
        for name, value in (("r", self.r), ("last", self.last)):
            if value is not None and value < 1:
                raise BadInput("VALUE_RANGE", f"lora.{name} is {value}", fix="give at least 1")

    def apply(self, net: Network, steps: int) -> None:
        from peft import LoraConfig, inject_adapter_in_model

        targets = self.targets(self.late(net.body))
        config = LoraConfig(
            r=self.r, lora_alpha=self.lora_alpha, lora_dropout=self.lora_dropout, target_modules=targets, bias="none"
        )
        inject_adapter_in_model(config, net.body)
        for layer in wrapped(net).values():  # PEFT's own casts every input to 32 bits and writes each sum out
            layer.forward = functools.partial(_forward, layer)
        for name, weight in net.body.named_parameters():
            weight.requires_grad_("lora_" in name)

    def merge(self, net: Network) -> None:
        for name, layer in wrapped(net).items():
            layer.merge(safe_merge=True)
            parent, _, leaf = name.rpartition(".")
            setattr(net.body.get_submodule(parent), leaf, layer.get_base_layer())

    def native(self, net: Network) -> Native:
        return injected(net)

    def late(self, body: Body) -> list[str]:
        """The linear layers of the last blocks. Raises `BadInput` where the body has fewer."""
        blocks = body.blocks()
        if self.last is None:
            return body.linears()
        if self.last > len(blocks):
            fix = f"give at most {len(blocks)}"
            raise BadInput("LORA_LAST", f"lora.last is {self.last} and the network has {len(blocks)} blocks", fix=fix)
        inside = {m for block in blocks[-self.last :] for m in block.modules()}
        return [name for name in body.linears() if body.get_submodule(name) in inside]

    def targets(self, linears: list[str]) -> list[str]:
        """The full names of the layers to wrap. Raises `BadInput` for a name that matches none."""
        if not self.target_modules:
            return linears
        for wanted in self.target_modules:
            if not any(_ends(name, wanted) for name in linears):
                known = {name.rsplit(".", 1)[-1] for name in linears}
                raise BadInput("LORA_TARGET", f"no linear layer is called '{wanted}'", fix=did_you_mean(wanted, known))
        return [name for name in linears if any(_ends(name, wanted) for wanted in self.target_modules)]


def wrapped(net: Network) -> dict[str, Any]:
    """Name -> PEFT's layer, for every layer of the body that is wrapped."""
    from peft.tuners.lora import LoraLayer

    return {name: m for name, m in net.body.named_modules() if isinstance(m, LoraLayer)}


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


def _ends(name: str, wanted: str) -> bool:
    return name == wanted or name.endswith(f".{wanted}")
