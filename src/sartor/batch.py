"""Encoded rows: ragged sequences end to end, so that real tokens are all there is until a body decides otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """N encoded rows. Legend: N rows, S the sum of their lengths, T the longest.

    offsets    (N + 1,) where each row's tokens begin in the flat sequences
    sequences  name -> (S,) flat tensors that share the offsets (`input_ids`, `token_type_ids`)
    dense      name -> (N, ...) one array per row (images, numbers)
    targets    (N,) or (N, C), or None where there are none
    rows       (N,) the rows' numbers in the data
    """

    rows: Tensor
    offsets: Tensor
    sequences: dict[str, Tensor] = field(default_factory=dict)
    dense: dict[str, Tensor] = field(default_factory=dict)
    targets: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> Tensor:
        """(N,) real tokens in each row."""
        return self.offsets[1:] - self.offsets[:-1]

    def take(self, where: Tensor) -> Batch:
        """The rows at the positions `where` (B,), in that order."""
        lengths = self.lengths[where]
        offsets = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)])
        starts = self.offsets[:-1][where] - offsets[:-1]
        picked = torch.arange(int(offsets[-1])) + starts.repeat_interleave(lengths)
        return Batch(
            rows=self.rows[where],
            offsets=offsets,
            sequences={name: values[picked] for name, values in self.sequences.items()},
            dense={name: values[where] for name, values in self.dense.items()},
            targets=None if self.targets is None else self.targets[where],
        )

    def padded(self, pad: dict[str, int], to: int | None = None) -> dict[str, Tensor]:
        """name -> (N, T) with `attention_mask`; positions past a row's end hold `pad[name]` (0 where not named)."""
        lengths = self.lengths
        longest = max(int(lengths.max()) if len(self) else 0, 1) if to is None else to
        inside = torch.arange(longest)[None, :] < lengths[:, None]
        out: dict[str, Tensor] = {"attention_mask": inside.long()}
        for name, values in self.sequences.items():
            full = torch.full((len(self), longest), pad.get(name, 0), dtype=torch.long)
            full[inside] = values.long()
            out[name] = full
        return out
