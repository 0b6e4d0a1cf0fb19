"""LN-tuning: only the scales and shifts of norms move (Zhao et al. 2023, arXiv 2312.11420), through PEFT.

y = g (x - mean) / std + b        g and b move
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sartor import wrapping
from sartor.errors import BadInput
from sartor.method import Method, Native, injected

if TYPE_CHECKING:
    from sartor.body import Body
    from sartor.network import Network


@dataclass(frozen=True, kw_only=True)
class LNTuning(Method):
    """Every norm of the body, and the head.

    BitFit's rate, whose weights are of the same kind; the authors tried 3e-6 to 2e-3 on models of 7 billion. Not yet
    swept here.
    """

    learning_rate: ClassVar[float] = 1e-3

    target_modules: tuple[str, ...] = ()
    """Names, or ends of names, of the norms; none: all."""
    last: int | None = None
    """Only the norms of the last so many blocks; what is before them is then computed once a row."""

    def __post_init__(self) -> None:
        wrapping.at_least_one("ln_tuning", last=self.last)

    def apply(self, net: Network, steps: int) -> None:
        from peft import LNTuningConfig, inject_adapter_in_model

        names = wrapping.late(net.body, norms(net.body), "ln_tuning", self.last)
        config = LNTuningConfig(target_modules=wrapping.targets(names, "ln_tuning", self.target_modules, "norm"))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Unsupported layer type")  # PEFT asks every layer how wide it is
            inject_adapter_in_model(config, net.body)
        wrapping.only(net, "ln_tuning_layers")

    def merge(self, net: Network) -> None:
        from peft.tuners.ln_tuning.layer import LNTuningLayer

        wrapping.fold(net, LNTuningLayer)

    def native(self, net: Network) -> Native:
        return injected(net)


def norms(body: Body) -> list[str]:
    """Names of the norms over features; those over a batch count what they saw and stay as they are."""
    found = [
        name
        for name, m in body.named_modules()
        if "norm" in type(m).__name__.lower() and dict(m.named_parameters(recurse=False)) and not list(m.buffers())
    ]
    if not found:
        fix = "use a method that moves other weights: lora or bitfit"
        raise BadInput("NORMS_NONE", "this network has no norms with weights of their own", fix=fix)
    return found
