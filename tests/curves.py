"""Small tasks without a file: sine waves as a group each, and a network of two layers that reads one number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sartor.batch import Batch
from sartor.body import Body
from sartor.network import Network


class Curve(Body):
    """One number -> `width` features, smooth so that finite differences are exact."""

    heads: Mapping[str, nn.Module] = {}

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.width = width
        self.layers = nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> Batch:
        raise NotImplementedError("its rows are made, not read")

    def forward(self, batch: Batch) -> Tensor:
        found: Tensor = self.layers(batch.dense["x"])
        return found

    def linears(self) -> list[str]:
        return ["layers.0", "layers.2"]

    def blocks(self) -> list[nn.Module]:
        return []

    def save(self, folder: Path, head: nn.Module, config: dict[str, Any]) -> None:
        raise NotImplementedError("it is never kept")


def network(outputs: int = 1, seed: int = 0) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = Curve()
        return Network(body, nn.Linear(body.width, outputs))


def waves(count: int, points: int, seed: int = 0) -> Batch:
    """`count` groups of `points` rows: y = a sin(x - p), a of 0.1 to 5, p of 0 to pi, x of -5 to 5."""
    draw = np.random.default_rng(seed)
    high, phase = draw.uniform(0.1, 5, (count, 1)), draw.uniform(0, np.pi, (count, 1))
    x = draw.uniform(-5, 5, (count, points))
    y = high * np.sin(x - phase)
    size = count * points
    return Batch(
        rows=torch.arange(size),
        offsets=torch.zeros(size + 1, dtype=torch.long),
        dense={
            "x": torch.from_numpy(x.reshape(-1, 1)).float(),
            "group": torch.arange(count).repeat_interleave(points),
        },
        targets=torch.from_numpy(y.reshape(-1)).float(),
    )


def arcs(classes: int, points: int, seed: int = 0) -> Batch:
    """Rows of one number each: class k lies around k."""
    draw = np.random.default_rng(seed)
    size = classes * points
    known = np.arange(classes).repeat(points)
    return Batch(
        rows=torch.arange(size),
        offsets=torch.zeros(size + 1, dtype=torch.long),
        dense={
            "x": torch.from_numpy((known + 0.1 * draw.normal(size=size))[:, None]).float(),
            "group": torch.zeros(size, dtype=torch.long),
        },
        targets=torch.from_numpy(known),
    )
