"""Backbone: which network the features come from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from sartor.part import Part

if TYPE_CHECKING:
    from pathlib import Path

    from sartor.body import Body
    from sartor.data.rows import Rows
    from sartor.recipe import Plan


@dataclass(frozen=True, kw_only=True)
class Backbone(Part):
    """Which network."""

    shelf: ClassVar[str] = "backbones"
    reads: ClassVar[frozenset[str]] = frozenset()
    """The kinds of column it reads: "text", "image", "audio", "number", "category", "items"."""
    layouts: ClassVar[frozenset[str]] = frozenset({"row"})
    """What a head may read from it: see `Task.layout`."""
    library: ClassVar[str] = "transformers"
    """What opens its networks as they are saved."""

    def origin(self) -> str:
        """What everybody calls it: a name on the hub, or a folder; empty where its weights come from nowhere."""
        return ""

    def trained_on(self) -> Sequence[Mapping[str, Any]]:
        """The data that it was trained on before, as `Opening.facts` told them then; where nobody knows, none."""
        return ()

    def learn(self, rows: Rows) -> Self:
        """What only the training rows know (a vocabulary, the values of columns, their scales); returns a new value."""
        return self

    def fits(self, kinds: Collection[str]) -> bool:
        """Whether rows whose inputs are of these kinds have what it needs."""
        return bool(self.reads & set(kinds))

    def plan(self, plan: Plan) -> Plan:
        """The plan with what these weights ask for where it was left open: those drawn anew want another rate, more
        epochs and another start than pretrained ones."""
        return plan

    @abstractmethod
    def build(self, layout: str, fresh: bool = False) -> Body:
        """The network for heads of one of its layouts; `fresh` draws new weights."""

    @abstractmethod
    def reopen(self, folder: Path, layout: str) -> Body:
        """The network that `Body.save` wrote into `folder`, its head left out; the same anatomy as `build` gave."""


def anew(plan: Plan, learning_rate: float, epochs: float) -> Plan:
    """The plan of a network whose weights are drawn: its own rate and epochs where none are given, and a head that
    begins with the rest, since frozen features of such a network say little."""
    rate = learning_rate if plan.learning_rate is None else plan.learning_rate
    passes = epochs if plan.num_train_epochs is None else plan.num_train_epochs
    return replace(plan, learning_rate=rate, num_train_epochs=passes, head_start="random")
