"""Feature reuse: a head on frozen features, fitted to its optimum (Alain and Bengio 2016, arXiv 1610.01644).

last     what the backbone gives
concat   what it would give behind each of its blocks, side by side: the blocks before the last know things that it has
         given up for what it was trained for (Tenney et al. 2019, arXiv 1905.05950)
mean     the blocks' outputs, averaged token by token
mix      the same with learned weights, softmax(w) (the scalar mix of ELMo, Peters et al. 2018, arXiv 1802.05365)

On 800 rows of TREC-6, SST-2 and SUBJ with MiniLM, concat was 1.5 to 5.5 points better than last, mean 0.8 to 3.

Nearest neighbours are no head: what they know are the training rows, which no layer of a saved model can hold. The
baseline `embedding_knn` answers with them, from the same backbones.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from sartor.errors import BadInput
from sartor.method import Method

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sartor.batch import Batch
    from sartor.body import Body
    from sartor.network import Network
    from sartor.recipe import Plan
    from sartor.task import Task

WEIGHTS = "levels"
"""The name in the body under which the weights of its levels are kept."""
FASTER = 30.0
"""The rate of the mix's weights by that of the head: they are few, and have further to go."""


@dataclass(frozen=True, kw_only=True)
class Probe(Method):
    """Only the head, in closed form or by L-BFGS on cached features: the plan's head start and no step after it.

    `mix` alone takes steps: its weights descend the loss, and the head is solved again at every look and at the end.
    """

    learning_rate: ClassVar[float] = 1e-3

    layer: Literal["last", "concat", "mean", "mix"] = "last"
    """Which blocks' features the head reads."""
    solver: str = "auto"
    """How the head is fitted: `logistic`, `ridge` (least squares, their probabilities scaled by what each row gets when
    it is left out), or `auto`, the task's own way."""

    def __post_init__(self) -> None:
        if self.solver == "knn":
            fix = "use the baseline embedding_knn, as in sartor position DATA --candidates embedding_knn"
            raise BadInput("PROBE_KNN", "neighbours are rows of the data, which no head can hold", fix=fix)

    def read(self, body: Body) -> None:
        import torch
        from torch import nn

        if self.layer == "last":
            return
        blocks = len(body.blocks())
        if not blocks:
            fix = "use probe, which reads the last layer"
            raise BadInput("PROBE_BLOCKS", f"probe:layer={self.layer} reads blocks, and this network has none", fix=fix)
        body.register_parameter(WEIGHTS, nn.Parameter(torch.zeros(blocks), requires_grad=False))
        vars(body)["forward"] = functools.partial(_read, body, self.layer)
        if self.layer == "concat":
            body.width *= blocks

    def view(self) -> str:
        return self.spelled() if self != Probe() else ""

    def apply(self, net: Network, steps: int) -> None:
        if not list(net.head.parameters()):
            said = "probe fits only the head, and this one has no weights besides the body's"
            raise BadInput("PROBE_HEAD", said, fix="use --method full, or lora")
        net.body.requires_grad_(False)
        if self.layer == "mix":
            net.body.get_parameter(WEIGHTS).requires_grad_(True)

    def plan(self, plan: Plan) -> Plan:
        plan = replace(plan, head_start="solved", learning_rate=plan.learning_rate or self.learning_rate)
        if self.layer == "mix":
            return replace(plan, head_end="solved", prefix_cache="off")  # it needs every block's output
        return replace(plan, max_steps=0)

    def rates(self, net: Network) -> Mapping[str, float]:
        return {f"body.{WEIGHTS}": FASTER} if self.layer == "mix" else {}

    def solve(self, task: Task, features: Tensor, batch: Batch, head: nn.Module, seed: int) -> dict[str, Any]:
        if self.solver == "auto":
            return task.solve(features, batch, head, seed)
        return task.solve_by(self.solver, features, batch, head, seed)


def _read(body: Body, layer: str, batch: Batch) -> Tensor:
    """The body's pass with all its blocks read."""
    from sartor.pretrained.levels import concatenated, mixed

    weights = body.get_parameter(WEIGHTS).softmax(0)
    if layer == "concat":
        return concatenated(body, batch, weights * len(weights))
    return mixed(body, batch, weights)
