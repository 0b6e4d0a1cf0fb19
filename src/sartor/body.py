"""Body: the network that a backbone builds. It states its own anatomy once, so no method keeps per-model tables."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from sartor.batch import Batch

Features = Tensor  # (B, D) what the architecture's own classifier reads; (B, T, D) for a task over tokens


class Body(nn.Module):
    """A network up to the features that a head reads. Legend: B batch, T tokens, D width."""

    reads: ClassVar[frozenset[str]] = frozenset({"text"})
    """The kinds of column that `encode` takes: see `data.inputs`."""
    width: int
    heads: Mapping[str, nn.Module]

    @abstractmethod
    def encode(self, columns: Mapping[str, Sequence[Any]]) -> Batch:
        """Columns of raw values -> tensors, without targets; called once for many rows."""

    def augment(self, batch: Batch, seed: int) -> Batch:
        """Training rows as this update sees them: a pure function of the seed and each row's number."""
        return batch

    @abstractmethod
    def forward(self, batch: Batch) -> Features:
        """The features of every row of the batch."""

    @abstractmethod
    def linears(self) -> list[str]:
        """Names (from this body) of the linear layers a method may wrap."""

    @abstractmethod
    def blocks(self) -> list[nn.Module]:
        """The repeated units, in order from the input."""

    def layout(self) -> Literal["packed", "padded"]:
        """How rows lie in its blocks: end to end without padding, or padded to the longest of their stretch."""
        return "padded"

    def depth(self) -> int:
        """Blocks from the input on whose outputs stay what they are in training; 0 where none, or not to be had."""
        return 0

    def prefix(self, batch: Batch, depth: int) -> Tensor:
        """(S, D) what block `depth` reads, without what comes after; `batch.behind(depth, it)` goes on from there."""
        raise NotImplementedError(f"{type(self).__name__} cannot be left between its blocks")

    def twice(self) -> AbstractContextManager[None]:
        """Inside, every operation has a second derivative: fused ones that have none stand aside."""
        return nullcontext()

    @abstractmethod
    def save(self, folder: Path, head: nn.Module, config: dict[str, Any]) -> None:
        """Write the ordinary transformers layout: body and head in one model that loads unmodified."""
