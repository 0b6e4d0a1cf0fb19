"""BitFit: only the biases move (Ben Zaken, Goldberg and Ravfogel 2022, arXiv 2106.10199).

y = W x + b        W frozen, b moves; the shifts of norms are biases too
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sartor.errors import BadInput
from sartor.method import Method

if TYPE_CHECKING:
    from sartor.network import Network


@dataclass(frozen=True, kw_only=True)
class BitFit(Method):
    """Every bias of the body, and the head: under a thousandth of a base-sized network's weights.

    The authors' search ends at 1e-3 for small models; not yet swept here.
    """

    learning_rate: ClassVar[float] = 1e-3

    last: int | None = None
    """Only the biases of the last so many blocks; what is before them is then computed once a row."""

    def __post_init__(self) -> None:
        if self.last is not None and self.last < 1:
            raise BadInput("VALUE_RANGE", f"bitfit.last is {self.last}", fix="give at least 1")

    def apply(self, net: Network, steps: int) -> None:
        net.body.requires_grad_(False)
        blocks = net.body.blocks()
        if self.last is not None and self.last > len(blocks):
            fix = f"give at most {len(blocks)}"
            raise BadInput(
                "BITFIT_LAST", f"bitfit.last is {self.last} and the network has {len(blocks)} blocks", fix=fix
            )
        parts = [net.body] if self.last is None else blocks[-self.last :]
        biases = [w for part in parts for name, w in part.named_parameters() if name.rpartition(".")[2] == "bias"]
        if not biases:
            fix = "use a method that moves other weights: lora or full"
            raise BadInput("BITFIT_NONE", "this network has no biases", fix=fix)
        for bias in biases:
            bias.requires_grad_(True)
