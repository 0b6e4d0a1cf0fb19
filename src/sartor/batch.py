"""Encoded rows: ragged sequences end to end, so that real tokens are all there is until a body decides otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """N encoded rows. Legend: N rows, S the sum of their lengths, T the longest.

    offsets    (N + 1,) where each row's tokens begin in the flat sequences
    sequences  name -> (S,) flat tensors that share the offsets (`input_ids`, `token_type_ids`)
    dense      name -> (N, ...) one array per row (images, numbers)
    counts     (N,) how many vectors a head reads of each row, U together; None: one of each row, U = N
    targets    (U,) or (U, C), one for each vector that a head reads, or None where there are none
    rows       (N,) the rows' numbers in the data; (N, R) where each of the N is an episode of R rows
    depth      blocks of the body whose work is done: `sequences["hidden"]` (S, D) is what the next one reads
    """

    rows: Tensor
    offsets: Tensor
    sequences: dict[str, Tensor] = field(default_factory=dict)
    dense: dict[str, Tensor] = field(default_factory=dict)
    targets: Tensor | None = None
    counts: Tensor | None = None
    depth: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def answered(self) -> bool:
        """Whether it says what is to be learned: by targets, or by boxes, of which a row has as many as it has."""
        return self.targets is not None or "boxes" in self.dense

    @property
    def lengths(self) -> Tensor:
        """(N,) real tokens in each row."""
        return self.offsets[1:] - self.offsets[:-1]

    def take(self, where: Tensor) -> Batch:
        """The rows at the positions `where` (B,), in that order."""
        picked, offsets = self.tokens(where)
        return Batch(
            rows=self.rows[where],
            offsets=offsets,
            sequences={name: values[picked] for name, values in self.sequences.items()},
            dense={name: values[where] for name, values in self.dense.items()},
            targets=None if self.targets is None else self.targets[self.units(where)],
            counts=None if self.counts is None else self.counts[where],
            depth=self.depth,
        )

    def behind(self, depth: int, hidden: Tensor) -> Batch:
        """The same rows with the work of the first `depth` blocks done: `hidden` (S, D)."""
        return replace(self, sequences={**self.sequences, "hidden": hidden}, depth=depth)

    def arranged(self, values: Tensor, order: Tensor) -> Tensor:
        """(S, ...) values of the tokens of `take(order)` -> in this batch's order of tokens."""
        out = torch.empty_like(values)
        out[self.tokens(order)[0]] = values
        return out

    def tokens(self, where: Tensor) -> tuple[Tensor, Tensor]:
        """Places of the tokens of the rows at `where`, in that order, and where each of these rows then begins."""
        return _ragged(self.offsets, where)

    def units(self, where: Tensor) -> Tensor:
        """Places, among the U vectors that a head reads, of those of the rows at `where`, in that order."""
        return where if self.counts is None else _ragged(_ends(self.counts), where)[0]

    def restored(self, values: Tensor, order: Tensor) -> Tensor:
        """(U, ...) what a head reads, or says, of the rows of `take(order)` -> in this batch's order."""
        out = torch.empty_like(values)
        out[self.units(order)] = values
        return out

    def summed(self, values: Tensor) -> Tensor:
        """(U,) values -> (N,) their sums over each row."""
        if self.counts is None:
            return values
        rows = torch.arange(len(self)).repeat_interleave(self.counts).to(values.device)
        return values.new_zeros(len(self)).index_add(0, rows, values)

    def padded(self, pad: dict[str, int], to: int | None = None) -> dict[str, Tensor]:
        """name -> (N, T) with `attention_mask`; positions past a row's end hold `pad[name]` (0 where not named)."""
        lengths = self.lengths
        longest = max(int(lengths.max()) if len(self) else 0, 1) if to is None else to
        inside = torch.arange(longest)[None, :] < lengths[:, None]
        out: dict[str, Tensor] = {"attention_mask": inside.long()}
        for name, values in self.sequences.items():
            if name == "hidden":
                continue
            full = torch.full((len(self), longest), pad.get(name, 0), dtype=torch.long)
            full[inside] = values.long()
            out[name] = full
        return out


def joined(batches: Sequence[Batch]) -> Batch:
    """The rows of all, one batch after the other, without targets; what one of them has no values of is zero there."""
    lengths = torch.cat([batch.lengths for batch in batches])
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)])
    sequences = _filled([(batch.sequences, int(batch.offsets[-1])) for batch in batches])
    dense = _filled([(batch.dense, len(batch)) for batch in batches])
    return Batch(torch.cat([batch.rows for batch in batches]), offsets, sequences, dense)


def _filled(parts: Sequence[tuple[dict[str, Tensor], int]]) -> dict[str, Tensor]:
    like = {name: values for arrays, _ in parts for name, values in arrays.items()}
    return {
        name: torch.cat([arrays.get(name, some.new_zeros(count, *some.shape[1:])) for arrays, count in parts])
        for name, some in like.items()
    }


def _ragged(offsets: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
    """Of rows that begin at `offsets` (N + 1,): places of what those at `where` hold, and where each then begins."""
    lengths = (offsets[1:] - offsets[:-1])[where]
    begins = _ends(lengths)
    starts = offsets[:-1][where] - begins[:-1]
    return torch.arange(int(begins[-1])) + starts.repeat_interleave(lengths), begins


def _ends(lengths: Tensor) -> Tensor:
    """(N,) -> (N + 1,) where rows of these lengths begin and end, one after the other."""
    return torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)])
