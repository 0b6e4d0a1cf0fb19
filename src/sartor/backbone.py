"""Backbone: which network the features come from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sartor.part import Part

if TYPE_CHECKING:
    from pathlib import Path

    from sartor.body import Body


@dataclass(frozen=True, kw_only=True)
class Backbone(Part):
    """Which network."""

    shelf: ClassVar[str] = "backbones"
    reads: ClassVar[frozenset[str]] = frozenset()
    """The kinds of column it reads: "text", "image", "audio", "number", "category", "items"."""
    layouts: ClassVar[frozenset[str]] = frozenset({"row"})
    """What a head may read from it: see `Task.layout`."""

    def origin(self) -> str:
        """What everybody calls it: a name on the hub, or a folder; empty where its weights come from nowhere."""
        return ""

    def trained_on(self) -> Sequence[Mapping[str, Any]]:
        """The data that it was trained on before, as `Opening.facts` told them then; where nobody knows, none."""
        return ()

    @abstractmethod
    def build(self, layout: str, fresh: bool = False) -> Body:
        """The network for heads of one of its layouts; `fresh` draws new weights."""

    @abstractmethod
    def reopen(self, folder: Path, layout: str) -> Body:
        """The network that `Body.save` wrote into `folder`, its head left out; the same anatomy as `build` gave."""
