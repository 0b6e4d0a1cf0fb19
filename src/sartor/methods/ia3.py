"""(IA)^3: keys, values and what the feed-forward layer holds, each element scaled (Liu et al. 2022, arXiv 2205.05638).

softmax(q (l_k ∘ k)^T) (l_v ∘ v)        W_2 (l_ff ∘ act(W_1 x))        every l is 1 at the start

Through PEFT, which scales what makes keys and values behind the layer and what the feed-forward layer reads in front.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sartor import wrapping
from sartor.errors import BadInput
from sartor.method import Method, Native, injected

if TYPE_CHECKING:
    from sartor.body import Body
    from sartor.network import Network


@dataclass(frozen=True, kw_only=True)
class IA3(Method):
    """Three vectors for each block, and the head: about a ten-thousandth of a base-sized network's weights.

    The authors' rate, 3e-3 (section 3.3); not yet swept here.
    """

    learning_rate: ClassVar[float] = 3e-3

    target_modules: tuple[str, ...] = ()
    """Names, or ends of names, of the layers to scale; none: those of keys and values and the feed-forward ones."""
    feedforward_modules: tuple[str, ...] = ()
    """Those of them that are scaled in front; none: those that read more than they give."""
    last: int | None = None
    """Only the last so many blocks; what is before them is then computed once a row."""

    def __post_init__(self) -> None:
        wrapping.at_least_one("ia3", last=self.last)

    def apply(self, net: Network, steps: int) -> None:
        from peft import IA3Config, inject_adapter_in_model

        if self.target_modules:
            names = wrapping.linears(net.body, "ia3", self.target_modules, self.last)
        else:
            names = wrapping.late(net.body, _usual(net.body), "ia3", self.last)
        inner = _narrowing(net.body, names)
        if self.feedforward_modules:
            inner = wrapping.targets(names, "ia3", self.feedforward_modules)
        config = IA3Config(target_modules=names, feedforward_modules=inner)
        inject_adapter_in_model(config, net.body)
        wrapping.only(net, "ia3_l")

    def merge(self, net: Network) -> None:
        from peft.tuners.ia3 import IA3Layer

        wrapping.fold(net, IA3Layer)

    def native(self, net: Network) -> Native:
        return injected(net)


def _usual(body: Body) -> list[str]:
    """The layers that make keys and values, and the second of every feed-forward pair."""
    from sartor.pretrained.anatomy import keys_and_values

    attended = keys_and_values(body)
    if not attended:
        fix = "name the layers, such as ia3:target_modules=key+value+dense, or use lora"
        raise BadInput("IA3_ATTENTION", "ia3 scales keys and values, and this network's cannot be seen", fix=fix)
    return [*attended, *_narrowing(body, body.linears())]


def _narrowing(body: Body, names: list[str]) -> list[str]:
    """Those of the layers that read more than they give: feed-forward layers widen, then narrow."""
    shapes = {name: body.get_submodule(name).weight.shape for name in names}
    return [name for name, (n, k) in shapes.items() if k > n]  # type: ignore[misc]
