"""Method: which weights move."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from sartor.part import Part

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sartor.batch import Batch
    from sartor.body import Body
    from sartor.network import Network
    from sartor.recipe import Plan
    from sartor.task import Task


@dataclass(frozen=True)
class Native:
    """What was inserted, as PEFT stores it.

    config  its `adapter_config.json`: every name of a layer as the body has it; the rest is filled in when it is saved
    names   name in the body's state -> the same name as PEFT's file has it, without the adapter's own name
    within  what PEFT's file puts before names: of layers that it wraps, or of a model that it leaves as it is
    apart   name in the body's state -> a key of PEFT's file that is no name in the model
    """

    config: dict[str, Any]
    names: dict[str, str]
    within: str = "base_model.model."
    apart: dict[str, str] = field(default_factory=dict)


def injected(net: Network) -> Native:
    """What PEFT's `inject_adapter_in_model` put into the body, under its usual name for an adapter: `default`."""
    body: Any = net.body
    ((called, config),) = body.peft_config.items()
    wrapped = sorted(name for name, layer in body.named_modules() if hasattr(layer, "base_layer"))
    names = {n: f"{n}.".replace(f".{called}.", ".")[:-1] for n in body.state_dict() if f".{called}." in f"{n}."}
    return Native({**config.to_dict(), "target_modules": wrapped}, names)


@dataclass(frozen=True, kw_only=True)
class Method(Part):
    """Which weights move."""

    shelf: ClassVar[str] = "methods"
    learning_rate: ClassVar[float]
    """Its own good default, with a source."""
    objective: ClassVar[str] = "supervised"
    """What it descends unless another is asked for."""

    def read(self, body: Body) -> None:
        """Change what a head reads of the body, and so its width, before there is a head."""

    def view(self) -> str:
        """How it reads a backbone and solves a head on that, in words: who says the same may share this work."""
        return ""

    def solve(self, task: Task, features: Tensor, batch: Batch, head: nn.Module, seed: int) -> dict[str, Any]:
        """Fit `head` on frozen features (N, D) to its optimum; what was chosen."""
        return task.solve(features, batch, head, seed)

    @abstractmethod
    def apply(self, net: Network, steps: int) -> None:
        """Freeze and insert; the same call before training and when a bundle's weights are about to be loaded."""

    def plan(self, plan: Plan) -> Plan:
        """The plan with what this method leaves no choice about; fills in its own learning rate where none is given."""
        return plan if plan.learning_rate is not None else replace(plan, learning_rate=self.learning_rate)

    def rates(self, net: Network) -> Mapping[str, float]:
        """Name -> factor on the plan's rate, for weights that learn at another; asked once, before training."""
        return {}

    def resting(self, net: Network, step: int, steps: int) -> Collection[str]:
        """Names of moving weights that get no gradient in the update after `step` of `steps`, and so stay as they are;
        a pure function of these, for a run that goes on must not have to remember it."""
        return ()

    def penalty(self, net: Network) -> Tensor | float:
        """Added to the loss of every step."""
        return 0.0

    def after_step(self, net: Network, step: int, steps: int) -> None:
        """Called after update number `step` of `steps`, gradients still there; a race may see its end moved."""

    def final_from(self, steps: int) -> int:
        """The first update after which weights have the form that is promised: earlier ones are never kept, and no run
        ends before it. More than `steps` where so few updates are too short for the method."""
        return 0

    def conform(self, net: Network, step: int, steps: int) -> None:
        """Bring the weights, whatever they are, into the form they have after `step` of `steps`; before every look."""

    def remembered(self, net: Network) -> dict[str, Tensor]:
        """Name -> tensor, for what a run must find again besides weights and saved buffers when it is resumed."""
        return {}

    def merge(self, net: Network) -> None:
        """Fold what was inserted into the body, all of it or nothing; outputs unchanged."""

    def native(self, net: Network) -> Native | None:
        """How PEFT stores what was inserted into `net` (not merged); None where PEFT has no such method."""
        return None

    def facts(self, net: Network) -> dict[str, Any]:
        """What a reader of the card should know of the trained network, as JSON; asked before `merge`."""
        return {}
