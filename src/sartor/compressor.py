"""Compressor: what is cut away after training."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sartor.part import Part

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.network import Network
    from sartor.task import Task


@dataclass(frozen=True, kw_only=True)
class Compressor(Part):
    """What is cut away."""

    shelf: ClassVar[str] = "compressors"

    @abstractmethod
    def compress(self, net: Network, task: Task, rows: Rows) -> None:
        """Once, calibrated on the user's rows."""

    @abstractmethod
    def reshape(self, net: Network) -> None:
        """The same shapes again, before weights are loaded."""
