"""OFT: what a layer reads is turned by a block-diagonal rotation (Qiu et al. 2023, arXiv 2306.07280), through PEFT.

y = W R^T x      R = diag(R_1, ..., R_n)      R_i = (1 - Q_i)(1 + Q_i)^-1, Q_i skew-symmetric, 0 at the start

Angles between neurons stay what they were. With `use_cayley_neumann` the inverse is a sum of Q's first powers (Qiu et
al. 2025, arXiv 2506.19847), faster for large blocks and orthogonal only nearly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sartor import wrapping
from sartor.errors import BadInput
from sartor.method import Method, Native, injected

if TYPE_CHECKING:
    from sartor.body import Body
    from sartor.network import Network


@dataclass(frozen=True, kw_only=True)
class OFT(Method):
    """Rotations in front of every linear layer in the blocks, and the head.

    PEFT's examples have 1e-4 to 1e-3; not yet swept here.
    """

    learning_rate: ClassVar[float] = 1e-3

    oft_block_size: int = 32
    """Inputs that are turned together; must divide what each layer reads."""
    block_share: bool = False
    """One rotation for all blocks of a layer."""
    use_cayley_neumann: bool = False
    num_cayley_neumann_terms: int = 5
    target_modules: tuple[str, ...] = ()
    """Names, or ends of names, of the layers to wrap; none: every linear layer in the blocks."""
    last: int | None = None
    """Only the last so many blocks; what is before them is then computed once a row."""

    def __post_init__(self) -> None:
        terms = self.num_cayley_neumann_terms
        wrapping.at_least_one("oft", oft_block_size=self.oft_block_size, num_cayley_neumann_terms=terms, last=self.last)

    def apply(self, net: Network, steps: int) -> None:
        from peft import OFTConfig, inject_adapter_in_model

        targets = wrapping.linears(net.body, "oft", self.target_modules, self.last)
        self.require_divisor(net.body, targets)
        config = OFTConfig(
            oft_block_size=self.oft_block_size,
            block_share=self.block_share,
            use_cayley_neumann=self.use_cayley_neumann,
            num_cayley_neumann_terms=self.num_cayley_neumann_terms,
            target_modules=targets,
        )
        inject_adapter_in_model(config, net.body)
        wrapping.only(net, "oft_R")

    def require_divisor(self, body: Body, names: list[str]) -> None:
        """Raises `BadInput` where the blocks do not fill what a layer reads."""
        for name in names:
            layer: Any = body.get_submodule(name)
            width, size = layer.in_features, self.oft_block_size
            if width % size:
                known = [d for d in range(2, min(width, 65)) if width % d == 0]
                said = f"oft.oft_block_size is {size} and the layer '{name}' reads {width} numbers"
                fix = f"give a divisor of {width}: {', '.join(map(str, known)) or width}"
                raise BadInput("OFT_BLOCK", said, fix=fix)

    def merge(self, net: Network) -> None:
        from peft.tuners.oft import OFTLayer

        wrapping.fold(net, OFTLayer)

    def native(self, net: Network) -> Native:
        return injected(net)
