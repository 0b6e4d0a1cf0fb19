"""A character model trained the plain way, as nanoGPT describes its own for a processor (Karpathy 2022): GPT-2's blocks
without biases, windows drawn at random, AdamW with two groups, cosine decay, the loss read at every step.

Written from that description, not from its code. Legend: B windows, T characters, D width, V characters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH, BLOCKS, HEADS, T, B = 128, 4, 4, 64, 12
PEAK, LAST, WARMUP, DECAY, CLIP = 1e-3, 1e-4, 100, 0.1, 1.0


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(WIDTH, bias=False), nn.LayerNorm(WIDTH, bias=False)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.wide = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.back = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        b, t, d = x.shape
        q, k, v = (p.view(b, t, HEADS, d // HEADS).transpose(1, 2) for p in self.qkv(self.first(x)).split(d, 2))
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).contiguous().view(b, t, d))
        return x + self.back(functional.gelu(self.wide(self.second(x))))


class PlainGPT(nn.Module):
    """(B, T) characters -> (B, T, V) scores; the table of characters is the output layer too."""

    def __init__(self, characters: int) -> None:
        super().__init__()
        self.table, self.places = nn.Embedding(characters, WIDTH), nn.Embedding(T, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.norm = nn.LayerNorm(WIDTH, bias=False)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                last = name.endswith(("out.weight", "back.weight"))
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * BLOCKS) if last else 0.02)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.table(ids) + self.places(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return functional.linear(self.norm(x), self.table.weight)


def loop(model: PlainGPT, data: np.ndarray, steps: int, seed: int) -> Iterator[float]:
    """Updates, one at a time; the loss of each."""
    drawn = torch.Generator().manual_seed(seed)
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.99))
    model.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, steps)
        x, y = _windows(data, drawn)
        loss = functional.cross_entropy(model(x).view(-1, model.table.num_embeddings), y.view(-1), ignore_index=-1)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield loss.item()


def rate(step: int, steps: int) -> float:
    if step < WARMUP:
        return PEAK * (step + 1) / (WARMUP + 1)
    share = (step - WARMUP) / (steps - WARMUP)
    return LAST + 0.5 * (1 + math.cos(math.pi * share)) * (PEAK - LAST)


def _windows(data: np.ndarray, drawn: torch.Generator) -> tuple[Tensor, Tensor]:
    starts = torch.randint(len(data) - T, (B,), generator=drawn)
    x = torch.stack([torch.from_numpy(data[i : i + T].astype(np.int64)) for i in starts])
    y = torch.stack([torch.from_numpy(data[i + 1 : i + 1 + T].astype(np.int64)) for i in starts])
    return x, y
