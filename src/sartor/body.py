"""Body: the network that a backbone builds. It states its own anatomy once, so no method keeps per-model tables."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sartor.batch import Batch

Features = Tensor  # (B, D) what the architecture's own classifier reads; (B, T, D) for a task over tokens


@dataclass(frozen=True)
class Counterpart:
    """The plain transformers model in which a body's tensors lie, opened from the backbone's own folder.

    kind    its class: AutoModelForSequenceClassification, or AutoModel where only that computes what the body does
    inside  what the body puts before that model's names: `model.`
    trunk   that model's own name for its encoder, such as `bert`; empty where the model is the encoder
    head    where the network's head stands in it, or None where it has no place for one that reads these features
    """

    kind: str
    inside: str
    trunk: str = ""
    head: str | None = None

    def name(self, ours: str) -> str:
        """The body's name of a tensor or layer, in that model."""
        return ours.removeprefix(self.inside)


@dataclass(frozen=True)
class Front:
    """What a method has put before every row's own tokens.

    tokens     virtual tokens: the words -1, -2, ... of the word table
    positions  that are taken without a token: the row's own come after them
    """

    tokens: int = 0
    positions: int = 0


class Body(nn.Module):
    """A network up to the features that a head reads. Legend: B batch, T tokens, D width."""

    reads: frozenset[str] = frozenset({"text"})
    """The kinds of column that `encode` takes: see `data.inputs`."""
    width: int
    heads: Mapping[str, nn.Module]
    readers: tuple[object, ...] = ()
    """What rows are encoded by, such as a tokenizer; it never changes, so that bodies may share it."""
    few: Batch | None = None
    """A few short rows, for trials of what the network does; None where it was built without knowing any."""
    gaps: frozenset[str] = frozenset()
    """Kinds of column whose cells may be empty."""
    words: str = ""
    """The name of its word table; empty where rows are no words, and nothing can stand before them."""
    room: int = 0
    """Tokens that it can read in a row, with what stands before them."""
    front: Front = Front()
    augment: Callable[[Batch, int], Batch] = staticmethod(lambda rows, seed: rows)
    """Training rows as one update sees them: a pure function of the seed and of each row's number."""

    @abstractmethod
    def encode(self, columns: Mapping[str, Sequence[Any]]) -> Batch:
        """Columns of raw values -> tensors, without targets; called once for many rows."""

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

    def finder(self, classes: int) -> nn.Module:
        """The head that says boxes of so many classes in what `forward` gives of an image, (U, D) -> (U, C + 7) or
        (U, C + 8) as engine/boxes.py reads them; a body of the layout "boxes" has one."""
        raise NotImplementedError(f"{type(self).__name__} finds no boxes")

    def vectors(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(B, T, D) what it has at each place of a row (its words, its patches), and (B, T) which places there are; by
        default its features, as one place."""
        found: Tensor = self(batch)
        return found[:, None], torch.ones(len(found), 1, dtype=torch.bool, device=found.device)

    def rates(self) -> Mapping[str, float]:
        """Name -> factor on the plan's rate, for weights that learn at another."""
        return {}

    def counterpart(self) -> Counterpart | None:
        """Where its tensors are in plain transformers; None where no such model computes what it does."""
        return None

    def facts(self) -> dict[str, Any]:
        """What besides its weights decides its features, as plain values: it is hashed with them."""
        return {}

    def twice(self) -> AbstractContextManager[None]:
        """Inside, every operation has a second derivative: fused ones that have none stand aside."""
        return nullcontext()

    @abstractmethod
    def save(self, folder: Path, head: nn.Module, config: dict[str, Any]) -> None:
        """Write the ordinary transformers layout: body and head in one model that loads unmodified."""
