"""VeRA: one random low-rank pair for all layers, two vectors for each (Kopiczko et al. 2023, arXiv 2310.11454).

x ──► W x ─────────────────────────────────►(+)──►      W, A, B frozen; A and B shared; d = 0.1, b = 0 at the start
  └─► A x ──► d ∘ · ──► B · ──► b ∘ · ───────┘

Through PEFT: a layer takes the first rows of B and columns of A that fit it.
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sartor import wrapping
from sartor.method import Method, Native, injected

if TYPE_CHECKING:
    from torch import Tensor

    from sartor.network import Network


@dataclass(frozen=True, kw_only=True)
class VeRA(Method):
    """Two vectors for every linear layer in the blocks, and the head: a tenth of LoRA's weights and fewer.

    The authors' rate for GLUE is about 4e-3 (table 8, 4e-3 for SST-2); not yet swept here.
    """

    learning_rate: ClassVar[float] = 4e-3

    r: int = 256
    """Of the random pair; it costs time and no weights, and may be above a layer's width."""
    projection_prng_key: int = 0
    """The seed of the random pair, which is never stored: saved as what changed (not merged), it is drawn again."""
    vera_dropout: float = 0.0
    d_initial: float = 0.1
    target_modules: tuple[str, ...] = ()
    """Names, or ends of names, of the layers to wrap; none: every linear layer in the blocks."""
    last: int | None = None
    """Only the last so many blocks; what is before them is then computed once a row."""

    def __post_init__(self) -> None:
        wrapping.at_least_one("vera", r=self.r, last=self.last)
        wrapping.between("vera", 0, 1, vera_dropout=self.vera_dropout)

    def apply(self, net: Network, steps: int) -> None:
        from peft import VeraConfig
        from peft.tuners.vera import VeraLayer, VeraModel

        targets = wrapping.linears(net.body, "vera", self.target_modules, self.last)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Specified to not save vera_A")
            config = VeraConfig(
                r=self.r,
                projection_prng_key=self.projection_prng_key,
                save_projection=False,
                vera_dropout=self.vera_dropout,
                d_initial=self.d_initial,
                target_modules=targets,
            )
        VeraModel(net.body, config, "default")  # puts its layers into the body; the model around it is not needed
        if not self.vera_dropout:
            for layer in wrapping.wrapped(net, VeraLayer).values():  # PEFT's own multiplies in 32 bits
                layer.forward = functools.partial(_forward, layer)
        wrapping.only(net, "vera_lambda")

    def merge(self, net: Network) -> None:
        from peft.tuners.vera import VeraLayer

        wrapping.fold(net, VeraLayer)

    def native(self, net: Network) -> Native:
        return injected(net)


def _forward(layer: Any, x: Tensor) -> Tensor:
    """PEFT's forward pass, as the one operation that the engine may fuse."""
    from sartor.engine.operators import adapted

    base = layer.get_base_layer()
    a = layer.vera_A["default"][:, : layer.in_features] * layer.vera_lambda_d["default"][:, None]
    b = layer.vera_B["default"][: layer.out_features] * layer.vera_lambda_b["default"][:, None]
    return adapted(x, base.weight, base.bias, a, b, 1.0)
