"""ColumnsBody: a network for the columns of a table, drawn anew: many networks in one (TabM, Gorishniy et al. 2024,
arXiv 2410.24210) over piecewise-linear encodings of the numbers (Gorishniy et al. 2022, arXiv 2203.05556).

A row written out is what a linear model would read: each number on its scale and its place between the training rows'
quantiles, 1 for each missing number, 1 for each value of a category. The features are that row itself, so that the head
alone is a generalised additive model; products of its pairs, in low rank (Rendle 2010, factorization machines; He and
Chua 2017, arXiv 1708.05027); and what the blocks of a residual network make of it.

The K members share every weight but how much they read each value and what they give. In training each row is one
member's, in answering the features are the members' mean.

Legend: B batch, F numbers, G categories, V values of a row written out, K members, D width of the blocks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sartor.batch import Batch
from sartor.body import Body, Features
from sartor.classical.columns import Columns
from sartor.data.inputs import CELLS
from sartor.drawing import mixed
from sartor.errors import BadInput

TOKENS = 8
"""What a row costs, in tokens: a pass then holds few enough rows for the caches."""
WEIGHTS, CONFIG = "model.safetensors", "config.json"
MEMBER = "member"


class Written(nn.Module):
    """Numbers (B, F) and codes (B, G) -> a row written out (B, V); nothing in it is trained."""

    def __init__(self, columns: Columns) -> None:
        super().__init__()
        numbers = columns.numbers
        knots = [torch.tensor(n.knots, dtype=torch.float64) for n in numbers]
        most = max([len(k) for k in knots], default=2)
        begins, steps = torch.zeros(len(numbers), max(most - 1, 1)), torch.zeros(len(numbers), max(most - 1, 1))
        for f, k in enumerate(knots):
            begins[f, : len(k) - 1], steps[f, : len(k) - 1] = k[:-1].float(), k.diff().float()
        inside = torch.tensor([i < len(k) - 1 for k in knots for i in range(begins.shape[1])], dtype=torch.bool)
        sizes = [len(c.values) for c in columns.categories]
        kept = {
            "begins": begins,
            "steps": steps.clamp_min(1e-30),
            "places": inside.nonzero()[:, 0],
            "low": torch.tensor([n.knots[0] for n in numbers]),
            "high": torch.tensor([n.knots[-1] for n in numbers]),
            "mean": torch.tensor([n.mean for n in numbers]),
            "spread": torch.tensor([n.spread for n in numbers]),
            "median": torch.tensor([n.median for n in numbers]),
            "gone": torch.tensor([f for f, n in enumerate(numbers) if n.gone], dtype=torch.long),
            "firsts": torch.tensor([1 + sum(sizes[:g]) for g in range(len(sizes))], dtype=torch.long),
        }
        for name, value in kept.items():
            self.register_buffer(name, value.float() if value.is_floating_point() else value, persistent=False)
        self.values = sum(sizes)
        self.width = len(numbers) + len(kept["places"]) + len(kept["gone"]) + self.values

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        at = vars(self)["_buffers"]
        gone = numbers.isnan()
        x = torch.where(gone, at["median"], numbers).clamp(at["low"], at["high"])
        pieces = ((x[:, :, None] - at["begins"]) / at["steps"]).clamp(0, 1).flatten(1)
        known = torch.where(codes < 0, 0, codes + at["firsts"])  # place 0 is nobody's
        each = x.new_zeros(len(x), 1 + self.values).scatter_(1, known, 1.0)[:, 1:]
        parts = [(x - at["mean"]) / at["spread"], pieces[:, at["places"]], gone[:, at["gone"]].to(x.dtype), each]
        return torch.cat(parts, 1)


class Block(nn.Module):
    """x + what gated layers make of its norm: a residual network for tables (Gorishniy et al. 2021, arXiv 2106.11959)
    whose products let two columns matter together (gated linear units: Shazeer 2020, arXiv 2002.05202)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gate = nn.Linear(width, 2 * width)
        self.up = nn.Linear(width, 2 * width)
        self.dropout = nn.Dropout(dropout)
        self.down = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        seen = self.norm(x)
        found: Tensor = x + self.down(self.dropout(torch.relu(self.gate(seen)) * self.up(seen)))
        return found


class ColumnsBody(Body):
    """The row written out, and beside it what the blocks make of it."""

    reads = frozenset(CELLS)

    def __init__(self, columns: Columns, width: int, blocks: int, members: int, dropout: float) -> None:
        super().__init__()
        self.columns = columns
        self.settings = {"width": width, "blocks": blocks, "members": members, "dropout": dropout}
        self.written = Written(columns)
        self.own = nn.Parameter(0.5 * torch.randn(members, self.written.width))
        self.enter = nn.Linear(self.written.width, width)
        self.pairs = nn.Parameter(0.05 * torch.randn(self.written.width, width))
        self.entered = nn.Dropout(dropout)
        self.list = nn.ModuleList(Block(width, dropout) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.gains = nn.Parameter(0.3 * torch.randn(members, width))
        self.width = self.written.width + 2 * width
        self._heads: dict[str, nn.Module] = {"classifier": nn.Linear(self.width, 1)}
        self.few = self.encode({"cells": [{}, {}, {}]})

    @property
    def heads(self) -> Mapping[str, nn.Module]:  # type: ignore[override]
        return self._heads

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> Batch:
        """`cells`: one dict a row -> numbers (N, F), NaN where missing, and codes (N, G)."""
        read = self.columns.read(columns["cells"])
        count = len(columns["cells"])
        dense = {"numbers": torch.from_numpy(read.numbers.astype(np.float32)), "codes": torch.from_numpy(read.codes)}
        return Batch(torch.arange(count), torch.arange(count + 1) * TOKENS, dense=dense)

    def forward(self, batch: Batch) -> Features:
        """(B, V + 2 D)"""
        place = self.own.device
        row = self.written(*(batch.dense[name].to(place) for name in ("numbers", "codes")))
        member = batch.dense.get(MEMBER)
        if member is not None:
            which = member.to(place)
            return torch.cat(
                [row, self._paired(row), self._made(row * (1 + self.own[which])) * (1 + self.gains[which])], 1
            )
        made = self._made(row[:, None] * (1 + self.own)) * (1 + self.gains)  # (B, K, D)
        return torch.cat([row, self._paired(row), made.mean(1)], 1)

    def augment(self, batch: Batch, seed: int) -> Batch:
        """Each row is for one member."""
        count = np.uint64(len(self.own))
        which = (mixed(seed, 7, batch.rows.numpy().astype(np.uint64)) % count).astype(np.int64)
        return replace(batch, dense={**batch.dense, MEMBER: torch.from_numpy(which)})

    def linears(self) -> list[str]:
        return [f"list.{i}.{name}" for i in range(len(self.list)) for name in ("gate", "up", "down")]

    def blocks(self) -> list[nn.Module]:
        return list(self.list)

    def facts(self) -> dict[str, Any]:
        return {"columns": self.columns.to_json()}

    def save(self, folder: Path, head: nn.Module, config: dict[str, Any]) -> None:
        """A configuration and the weights, as transformers lays them; no class of its reads them, Sartor does."""
        told = {"model_type": "sartor_columns", **self.settings, "columns": self.columns.to_json(), **config}
        (folder / CONFIG).write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", "utf-8")
        state = {f"body.{n}": t for n, t in self.state_dict().items()}
        state |= {f"classifier.{n}": t for n, t in head.state_dict().items()}
        save_file({n: t.detach().cpu().clone().contiguous() for n, t in state.items()}, folder / WEIGHTS)

    def _paired(self, row: Tensor) -> Tensor:
        """(B, V) -> (B, D): sum over pairs i < j of row_i row_j pairs_i pairs_j, in time linear in V."""
        return 0.5 * ((row @ self.pairs) ** 2 - row**2 @ self.pairs**2)

    def _made(self, x: Tensor) -> Tensor:
        """(..., V) -> (..., D)"""
        x = self.entered(self.enter(x))
        for block in self.list:
            x = block(x)
        made: Tensor = self.norm(x)
        return made


def opened(folder: Path) -> ColumnsBody:
    """What `ColumnsBody.save` wrote. Raises `BadInput` for files that do not fit each other."""
    fix = "copy the bundle again from where it was made"
    try:
        told = json.loads((folder / CONFIG).read_text("utf-8"))
        sizes = {name: told[name] for name in ("width", "blocks", "members", "dropout")}
        body = ColumnsBody(Columns.from_json(told["columns"]), **sizes)
        state = load_file(folder / WEIGHTS)
        body.load_state_dict({n.removeprefix("body."): t for n, t in state.items() if n.startswith("body.")})
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        said = "the network for columns cannot be opened"
        raise BadInput("MODEL_OPEN", said, fix=fix, where=str(folder)) from None
    weight = state["classifier.weight"]
    head = nn.Linear(weight.shape[1], weight.shape[0])
    head.load_state_dict({n.removeprefix("classifier."): t for n, t in state.items() if n.startswith("classifier.")})
    body._heads = {"classifier": head}
    return body
