"""Compressor: what is cut away after training."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from sartor.part import Part

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.network import Network
    from sartor.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Compressor(Part):
    """What is cut away."""

    shelf: ClassVar[str] = "compressors"
    last: ClassVar[bool] = False
    """Whether nothing can be cut away after it, because no weight is left that could move."""

    @abstractmethod
    def compress(self, net: Network, recipe: Recipe, rows: Rows) -> Self:
        """Make `net` smaller in place, once, calibrated on the user's labelled rows; `recipe` is the one it was trained
        by, its method merged. Returns itself with what it has learned, which is stored. Raises `BadInput`."""

    @abstractmethod
    def reshape(self, net: Network) -> None:
        """The same modules and shapes again, before stored weights are loaded; what they hold is of no account."""

    def facts(self, net: Network) -> dict[str, Any]:
        """What a reader of the card should know of what was cut away, as JSON."""
        return {}
