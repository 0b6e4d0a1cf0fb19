"""What stands before every row's own tokens: virtual tokens of the word table, or keys and values of every attention.

A virtual token is a negative word, -1, -2, ...: the table that `Prompted` stands for has rows for them, and everything
else (packing, positions, padding) takes them for tokens like any other. A row that is too long for the network with
what stands before it loses the words before its last.

Legend: B batch, S tokens of all rows, n in front, h heads, d width of a head, T tokens of a row, D width.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sartor.batch import Batch
from sartor.body import Front

PLACE = "in_front"
"""Where an attention finds its `Ahead`."""


class Prompted(nn.Module):
    """A word table with rows (n, D) for the words -1 to -n."""

    def __init__(self, table: nn.Module, rows: Tensor) -> None:
        super().__init__()
        self.base_layer = table
        self.prompts = nn.Parameter(rows)

    def forward(self, ids: Tensor) -> Tensor:
        words: Tensor = self.base_layer(ids.clamp(min=0))
        virtual = ids < 0
        return words.index_put((virtual,), self.prompts[-1 - ids[virtual]].to(words.dtype))


class States(nn.Module):
    """Keys and values of every attention, as PEFT stores them: (n, attentions 2 h d)."""

    def __init__(self, states: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(states)


@dataclass(frozen=True)
class Ahead:
    """The part of one attention, the `place`-th, in all `states`."""

    states: States
    place: int
    heads: int
    width: int

    def __call__(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values, (h, n, d) each, of the type of `like`."""
        whole = self.states.weight.to(like.dtype)
        parts = whole.view(len(whole), -1, self.heads, self.width).permute(1, 2, 0, 3)  # (attentions 2, h, n, d)
        return parts[2 * self.place], parts[2 * self.place + 1]


def before(batch: Batch, front: Front, room: int) -> Batch:
    """The rows with their virtual tokens, cut where they would be longer than `room`."""
    if front == Front():
        return batch
    lengths = batch.lengths.clamp(max=room - front.tokens - front.positions) + front.tokens
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)])
    place = torch.arange(int(offsets[-1])) - offsets[:-1].repeat_interleave(lengths)
    ends = (place == lengths.repeat_interleave(lengths) - 1) & (place >= front.tokens)
    inside = torch.where(ends, (batch.lengths - 1).repeat_interleave(lengths), (place - front.tokens).clamp(min=0))
    source, virtual = batch.offsets[:-1].repeat_interleave(lengths) + inside, place < front.tokens
    sequences = {name: values[source].masked_fill(virtual, 0) for name, values in batch.sequences.items()}
    ids = sequences["input_ids"]
    sequences["input_ids"] = torch.where(virtual, (-1 - place).to(ids.dtype), ids)
    return dataclasses.replace(batch, offsets=offsets, sequences=sequences)


def own(hidden: Tensor, packed: Any, front: Front) -> tuple[Tensor, Tensor]:
    """Of the packed (S, D), what belongs to the rows' own tokens, and how many each row has."""
    if not front.tokens:
        return hidden, packed.lengths
    return hidden[packed.positions() >= front.tokens], packed.lengths - front.tokens


def shortened(lengths: Tensor, front: Front, room: int) -> int:
    """How many rows of these lengths lose words."""
    return int((lengths > room - front.tokens - front.positions).sum())


def joined(key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, ahead: Ahead) -> tuple[Tensor, ...]:
    """Padded keys and values (B, h, n + T, d) with what is ahead of them, and the mask that sees it."""
    rows, _, length, _ = key.shape
    keys, values = (t.expand(rows, *t.shape) for t in ahead(key))
    count = keys.shape[2]
    if mask is None:
        whole = torch.ones(length, length, dtype=torch.bool, device=key.device)
        mask = (whole.tril() if causal else whole)[None, None]
    seen = True if mask.dtype == torch.bool else 0.0
    wide = functional.pad(mask, (count, 0), value=seen)
    return torch.cat([keys, key], 2), torch.cat([values, value], 2), wide
