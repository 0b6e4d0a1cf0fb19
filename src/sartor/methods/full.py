"""Full fine-tuning: every weight moves (Devlin et al. 2019, arXiv 1810.04805)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sartor.method import Method

if TYPE_CHECKING:
    from sartor.network import Network


@dataclass(frozen=True, kw_only=True)
class Full(Method):
    """Every weight moves. The upper end of BERT's rates (2e-5 to 5e-5): from a solved head, higher ones lost."""

    learning_rate: ClassVar[float] = 5e-5

    def apply(self, net: Network, steps: int) -> None:
        for weight in net.parameters():
            weight.requires_grad_(True)
