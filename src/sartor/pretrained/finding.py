"""Finding: what a convolutional trunk sees, as one vector for each place of a few grids, and the head that says a box
from each.

A top-down path joins coarse maps into fine ones (feature pyramid: Lin et al. 2016, arXiv 1612.03144); places say boxes
without anchors (Tian et al. 2019, arXiv 1904.01355).

Legend: B images, L levels, P places of all levels, D width, C classes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from sartor.pretrained.text import put

PRIOR = 0.01
"""How probable a class is said to be at a place before anything is learned."""
GROUPS = 8


class Neck(nn.Module):
    """Maps of growing stride, (B, channels, H, W) each -> (B, P, D), the finest level first; one level more is added
    behind the coarsest."""

    def __init__(self, channels: Sequence[int], width: int, convolutions: int = 2) -> None:
        super().__init__()
        self.width = width
        self.inward = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels)
        self.smooth = nn.ModuleList(_mixed(width) for _ in channels)
        self.coarser = _mixed(width, stride=2)
        self.tower = nn.Sequential(*(_mixed(width) for _ in range(convolutions)))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """(B, P, D)"""
        levels = [inward(found) for inward, found in zip(self.inward, maps, strict=True)]
        for i in range(len(levels) - 1, 0, -1):
            up = functional.interpolate(levels[i], size=levels[i - 1].shape[2:], mode="nearest")
            levels[i - 1] = levels[i - 1] + up
        levels = [smooth(level) for smooth, level in zip(self.smooth, levels, strict=True)]
        levels.append(self.coarser(levels[-1]))
        return torch.cat([self.tower(level).flatten(2).transpose(1, 2) for level in levels], 1)


def _mixed(width: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
    return nn.Sequential(convolution, Plainly(), nn.GroupNorm(GROUPS, width), nn.SiLU())


class Plainly(nn.Module):
    """Brings what needs no gradient into rows of pixels: torch's norm over groups, asked for the gradient of its scale
    alone, otherwise ends the process where channels lie last (torch 2.13)."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.requires_grad or not torch.is_grad_enabled() else x.contiguous()


def places(sizes: Sequence[tuple[int, int]]) -> Tensor:
    """(P, 4): x and y of the middle of each cell, and its width and height, in shares of the image; grids in order."""
    found = []
    for height, width in sizes:
        y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        cell = torch.tensor([1 / width, 1 / height]).expand(height * width, 2)
        found.append(torch.cat([torch.stack([x.flatten() / width, y.flatten() / height], 1), cell], 1))
    return torch.cat(found)


class PlaceHead(nn.Module):
    """(U, D) vectors of places -> (U, C + 7) classes, a box, and the place: see engine/boxes.py."""

    grid: Tensor

    def __init__(self, width: int, classes: int, grid: Tensor) -> None:
        super().__init__()
        self.classes = nn.Linear(width, classes)
        self.box = nn.Linear(width, 4)
        self.register_buffer("grid", grid, persistent=False)
        for layer in (self.classes, self.box):
            nn.init.normal_(layer.weight, std=0.01)
        nn.init.constant_(self.classes.bias, -math.log((1 - PRIOR) / PRIOR))
        nn.init.constant_(self.box.bias, math.log(2.0))  # two cells to each side

    def forward(self, features: Tensor) -> Tensor:
        grid = self.grid.repeat(len(features) // len(self.grid), 1)
        middle, cell = grid[:, :2], grid[:, 2:]
        sides = self.box(features).clamp(max=6.0).exp()
        low, high = middle - sides[:, :2] * cell, middle + sides[:, 2:] * cell
        return torch.cat([self.classes(features), low, high, middle, cell.amax(1, keepdim=True)], 1)


class QueryHead(nn.Module):
    """(U, D) vectors of queries -> (U, C + 1 + 7): a choice of a class or of nothing, a box, and no place."""

    def __init__(self, classes: nn.Module, box: nn.Module) -> None:
        super().__init__()
        self.classes = classes
        self.box = box

    def renamed(self, classes: int) -> QueryHead:
        """The same for other classes: their layer is drawn anew, what stands before it and the boxes stay."""
        name, last = [(n, m) for n, m in self.classes.named_modules() if isinstance(m, nn.Linear)][-1]
        drawn = nn.Linear(last.in_features, classes + 1)
        nn.init.normal_(drawn.weight, std=0.02)
        nn.init.zeros_(drawn.bias)
        made = QueryHead(copy.deepcopy(self.classes), copy.deepcopy(self.box))
        put(made, f"classes.{name}".rstrip("."), drawn)
        return made

    def forward(self, features: Tensor) -> Tensor:
        middle, size = self.box(features).sigmoid().chunk(2, -1)
        nowhere = features.new_zeros(len(features), 3)
        return torch.cat([self.classes(features), middle - size / 2, middle + size / 2, nowhere], 1)
