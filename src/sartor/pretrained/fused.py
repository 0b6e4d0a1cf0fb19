"""FusedBody: several bodies as one, each reading its own kind of column of the same row.

    late    what each body gives, normed, side by side
    cross   on top of that, a query for each body looks at all places of all bodies (words, patches) through blocks of
            attention (Vaswani et al. 2017, arXiv 1706.03762; between modalities: Tsai et al. 2019, arXiv 1906.00295)
    sides   for pairs: what each body gives, in one common space, one vector for each

What a row has nothing of is replaced by a vector that is learned for it, and in training bodies are left out at random,
never all of a row's (Neverova et al. 2016, ModDrop, arXiv 1501.00102): so a row with a gap is answered by what it has.

Legend: N rows, B batch, K bodies, T places of all bodies, D width, W common width.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from sartor.batch import Batch
from sartor.body import Body, Features
from sartor.data.pairs import SIDES
from sartor.pretrained.chance import uniform
from sartor.pretrained.text import refused

FILE, FACTS = "fusion.safetensors", "fusion.json"
HEADS = 4
DRAW = 1000
"""Numbers of the draws that leave bodies out: those of the bodies' own augmentation are smaller."""


@dataclass(frozen=True)
class Joint:
    """How bodies are joined: see the top of this file. `drop`: the share of rows that each is left out of in training;
    `width` and `depth` of what looks at all their places; `slower`: name in the body -> factor on the rate."""

    how: Literal["late", "cross", "sides"]
    width: int
    depth: int
    drop: float


class FusedBody(Body):
    """Bodies of one vector a row each, as one body."""

    def __init__(self, bodies: Sequence[Body], joint: Joint, slower: Sequence[float]) -> None:
        super().__init__()
        self.bodies = nn.ModuleList(bodies)
        self.joint, self.slower = joint, tuple(slower)
        self.reads = frozenset().union(*(body.reads for body in bodies))
        self.gaps = frozenset(kind for kind in SIDES if kind in self.reads)
        self.readers = tuple(reader for body in bodies for reader in body.readers)
        self.norms = nn.ModuleList(nn.LayerNorm(body.width) for body in bodies)
        self.absent = nn.ParameterList(nn.Parameter(torch.zeros(body.width)) for body in bodies)
        widths = [body.width for body in bodies]
        common = joint.how != "late"
        self.inward = nn.ModuleList(nn.Linear(width, joint.width) for width in widths if common)
        looks = joint.depth if joint.how == "cross" else 0
        self.looks = nn.ModuleList(Look(joint.width) for _ in range(looks))
        if joint.how == "sides":
            self.width = joint.width
        else:
            self.width = sum(widths) + (len(widths) * joint.width if looks else 0)
        self._heads = {"classifier": nn.Linear(self.width, 2)}  # a plain dict: the head is the network's
        self.few = self._few()

    @property
    def heads(self) -> Mapping[str, nn.Module]:  # type: ignore[override]
        return self._heads

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> Batch:
        """Every column goes to the body that reads it; of a text or a file that is not there nothing is encoded."""
        count = len(next(iter(columns.values())))
        parts = []
        for body in self._bodies():
            own = {name: list(values) for name, values in columns.items() if _kind(name) in body.reads}
            there = torch.tensor([_present(own, i) for i in range(count)], dtype=torch.bool)
            kept = {name: [values[i] for i in there.nonzero()[:, 0].tolist()] for name, values in own.items()}
            part = body.encode(kept) if bool(there.any()) else _nothing()
            parts.append((_spread(part, there), there))
        return self._joined(parts)

    def forward(self, batch: Batch) -> Features:
        """(B, D), or (2 B, W) for sides."""
        found = [self._given(batch, k) for k in range(len(self.bodies))]
        if self.joint.how == "sides":
            each = [self.inward[k](found[k]) for k in self._order()]
            return torch.stack(each, 1).flatten(0, 1)
        if not self.looks:
            return torch.cat(found, 1)
        places, there = self._places(batch, found)
        asking = torch.stack([into(x) for into, x in zip(self.inward, found, strict=True)], 1)  # (B, K, W)
        first = asking
        for look in self.looks:
            asking = look(asking, places, there)
        return torch.cat([*found, (asking - first).flatten(1)], 1)

    def augment(self, batch: Batch, seed: int) -> Batch:
        dense = dict(batch.dense)
        for k, body in enumerate(self._bodies()):
            if bool(batch.dense[f"{k} absent"].all()):
                continue
            changed = body.augment(self._view(batch, k), seed)
            dense |= {f"{k}.{name}": values for name, values in changed.dense.items()}
        if self.joint.how != "sides" and self.joint.drop:
            dense |= self._left_out(batch, seed)
        return replace(batch, dense=dense)

    def linears(self) -> list[str]:
        inside = [f"bodies.{k}.{name}" for k, body in enumerate(self._bodies()) for name in body.linears()]
        return inside + [n for n, m in self.named_modules() if n.startswith("looks.") and isinstance(m, nn.Linear)]

    def blocks(self) -> list[nn.Module]:
        """Storeys: the last blocks of all bodies, those before them, and so on; the looks stand behind all."""
        each = [body.blocks() for body in self._bodies()]
        height = max((len(blocks) for blocks in each), default=0)
        levels = [[blocks[i - height] for blocks in each if height - i <= len(blocks)] for i in range(height)]
        return [nn.ModuleList(level) for level in levels]

    def rates(self) -> dict[str, float]:
        """Pretrained bodies move more slowly than what is drawn anew beside them."""
        names = [f"bodies.{k}." for k in range(len(self.bodies))]
        return {
            n: f
            for n, _ in self.named_parameters()
            for at, f in zip(names, self.slower, strict=True)
            if n.startswith(at)
        }

    def facts(self) -> dict[str, Any]:
        return {"fusion": self.joint.how, "bodies": [body.facts() for body in self._bodies()]}

    def save(self, folder: Path, head: nn.Module, config: dict[str, Any]) -> None:
        """Each body in a folder of its own, in the transformers layout, which opens there unmodified; beside them what
        joins them, and the head. No class of transformers computes the whole."""
        for k, body in enumerate(self._bodies()):
            own = body.heads["classifier"]
            into = folder / f"body-{k}"
            into.mkdir()
            body.save(into, own, {"num_labels": own.out_features})
        assert isinstance(head, nn.Linear)
        state = {n: t.detach().cpu().contiguous().clone() for n, t in self._own().items()}
        state |= {f"head.{n}": t.detach().cpu().contiguous().clone() for n, t in head.state_dict().items()}
        save_file(state, folder / FILE)
        told = {"how": self.joint.how, "bodies": len(self.bodies), **config}
        (folder / FACTS).write_text(json.dumps(told, indent=1) + "\n", "utf-8")

    def restore(self, folder: Path) -> FusedBody:
        """Become what was saved in `folder`, whose bodies these are."""
        fix = "copy the bundle again from where it was made"
        with refused("FUSION_FILE", "what joins the bodies cannot be read", fix, folder):
            state = load_file(folder / FILE)
            head = {n.removeprefix("head."): t for n, t in state.items() if n.startswith("head.")}
            self._heads["classifier"] = nn.Linear(self.width, len(head["weight"]))
            self._heads["classifier"].load_state_dict(head)
            own = {n: t for n, t in state.items() if not n.startswith("head.")}
            for name, tensor in self._own().items():
                tensor.data.copy_(own[name])
        return self

    def _own(self) -> dict[str, Tensor]:
        """What belongs to none of the bodies."""
        return {n: t for n, t in self.state_dict(keep_vars=True).items() if not n.startswith("bodies.")}

    def _bodies(self) -> list[Body]:
        return [body for body in self.bodies if isinstance(body, Body)]

    def _order(self) -> list[int]:
        """The bodies in the order of the sides of a pair."""
        places = [
            min((SIDES.index(k) for k in body.reads if k in SIDES), default=len(SIDES)) for body in self._bodies()
        ]
        return sorted(range(len(places)), key=lambda k: places[k])

    def _given(self, batch: Batch, k: int) -> Tensor:
        """(B, D of this body) what it gives, normed; the learned vector where a row has nothing for it."""
        where = (~batch.dense[f"{k} absent"]).nonzero()[:, 0]
        rest: Tensor = self.absent[k].float().expand(len(batch), -1)
        if not len(where):
            return rest
        found: Tensor = self.norms[k](self.bodies[k](self._view(batch, k).take(where)).float()).float()
        return found if len(where) == len(batch) else rest.index_put((where.to(found.device),), found)

    def _places(self, batch: Batch, found: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """(B, T, W) all places of all bodies, and (B, 1, 1, T) which there are; what each body gives is one of them."""
        vectors, masks = [], []
        for k, body in enumerate(self._bodies()):
            where = (~batch.dense[f"{k} absent"]).nonzero()[:, 0]
            vectors.append(self.inward[k](found[k])[:, None])
            masks.append(torch.ones(len(batch), 1, dtype=torch.bool, device=found[k].device))
            if len(where):
                each, there = body.vectors(self._view(batch, k).take(where))
                inward = self.inward[k](self.norms[k](each.float())).float()
                at = where.to(inward.device)
                vectors.append(inward.new_zeros(len(batch), *inward.shape[1:]).index_put((at,), inward))
                masks.append(torch.zeros(len(batch), there.shape[1], dtype=torch.bool, device=at.device))
                masks[-1][at] = there.to(at.device)
        return torch.cat(vectors, 1), torch.cat(masks, 1)[:, None, None]

    def _left_out(self, batch: Batch, seed: int) -> dict[str, Tensor]:
        """Which bodies an update leaves out of which rows: a function of the seed and of each row's number."""
        names = [f"{k} absent" for k in range(len(self.bodies))]
        gone = torch.stack([batch.dense[name] for name in names], 1)  # (B, K)
        drawn = torch.stack([uniform(seed, batch.rows, DRAW + k) < self.joint.drop for k in range(len(names))], 1)
        gone = torch.where((gone | drawn).all(1, keepdim=True), gone, gone | drawn)
        return {name: gone[:, k] for k, name in enumerate(names)}

    def _joined(self, parts: Sequence[tuple[Batch, Tensor]]) -> Batch:
        """The rows of all bodies as one batch. The first that reads sequences keeps them as they are; those of others
        are padded, since a batch has one set of row ends."""
        dense: dict[str, Tensor] = {}
        flat = next((k for k, (part, _) in enumerate(parts) if part.sequences), None)
        for k, (part, there) in enumerate(parts):
            dense |= {f"{k}.{name}": values for name, values in part.dense.items()} | {f"{k} absent": ~there}
            if k != flat and part.sequences:
                dense |= _padded(part, k)
        first = parts[0][0]
        lengths = torch.stack([part.lengths for part, _ in parts]).sum(0)
        offsets = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)])
        sequences = {} if flat is None else parts[flat][0].sequences
        counts = torch.full((len(first),), len(parts)) if self.joint.how == "sides" else None
        ends = offsets if flat is None else parts[flat][0].offsets
        return Batch(torch.arange(len(first)), ends, sequences, dense, counts=counts)

    def _view(self, batch: Batch, k: int) -> Batch:
        """The batch as one body alone reads it."""
        dense = {n.removeprefix(f"{k}."): v for n, v in batch.dense.items() if n.startswith(f"{k}.")}
        if f"{k} lengths" not in batch.dense:
            return Batch(batch.rows, batch.offsets, batch.sequences, dense)
        lengths = batch.dense[f"{k} lengths"]
        longest = max((v.shape[1] for n, v in batch.dense.items() if n.startswith(f"{k}:")), default=0)
        inside = torch.arange(longest)[None] < lengths[:, None]
        flat = {n.removeprefix(f"{k}:"): v[inside] for n, v in batch.dense.items() if n.startswith(f"{k}:")}
        offsets = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)])
        return Batch(batch.rows, offsets, flat, dense)

    def _few(self) -> Batch | None:
        """A few rows of every body, none with a gap."""
        each = [body.few for body in self._bodies()]
        known = [few for few in each if few is not None]
        if len(known) < len(each):
            return None
        count = min(map(len, known))
        return self._joined([(few.take(torch.arange(count)), torch.ones(count, dtype=torch.bool)) for few in known])


class Look(nn.Module):
    """A block in which the queries of a row look at each other and at all its places. It begins by changing nothing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.before, self.beside, self.between = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        for last in (self.out, self.down):
            nn.init.zeros_(last.bias)
            nn.init.normal_(last.weight, std=0.02 / math.sqrt(2))

    def forward(self, asking: Tensor, places: Tensor, there: Tensor) -> Tensor:
        """asking (B, K, W), places (B, T, W), there (B, 1, 1, T) -> (B, K, W)"""
        memory = torch.cat([asking, places], 1)
        all_there = torch.cat([there.new_ones(len(asking), 1, 1, asking.shape[1]), there], -1)
        query, memory = self.before(asking), self.beside(memory)
        q, k, v = (self._apart(x) for x in (self.query(query), self.key(memory), self.value(memory)))
        seen = scaled_dot_product_attention(q, k, v, attn_mask=all_there).transpose(1, 2).flatten(2)
        asking = asking + self.out(seen)
        changed: Tensor = asking + self.down(nn.functional.gelu(self.up(self.between(asking))))
        return changed

    def _apart(self, x: Tensor) -> Tensor:
        """(B, L, W) -> (B, heads, L, W / heads)"""
        return x.view(*x.shape[:2], HEADS, -1).transpose(1, 2)


def _nothing() -> Batch:
    """No rows."""
    return Batch(torch.arange(0), torch.zeros(1, dtype=torch.long))


def _kind(column: str) -> str:
    """The kind of column that an input's name stands for: all cells of a table come as one."""
    return {"text_pair": "text", "cells": "number"}.get(column, column)


def _present(columns: Mapping[str, Sequence[Any]], i: int) -> bool:
    """Whether a row has anything for the body that reads these columns."""
    cells = [values[i] for values in columns.values()]
    return any(bool(c.strip()) if isinstance(c, str) else c is not None for c in cells)


def _spread(part: Batch, there: Tensor) -> Batch:
    """Rows that are there at their places among (N,) rows; the others are empty."""
    lengths = torch.zeros(len(there), dtype=torch.long)
    lengths[there] = part.lengths
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)])
    dense = {}
    for name, values in part.dense.items():
        dense[name] = values if bool(there.all()) else values.new_zeros(len(there), *values.shape[1:])
        if not bool(there.all()):
            dense[name][there] = values
    return Batch(torch.arange(len(there)), offsets, part.sequences, dense)


def _padded(part: Batch, k: int) -> dict[str, Tensor]:
    """The sequences of a body as arrays of one length."""
    inside = torch.arange(max(1, int(part.lengths.max()))) < part.lengths[:, None]
    found = {f"{k} lengths": part.lengths}
    for name, values in part.sequences.items():
        found[f"{k}:{name}"] = values.new_zeros(*inside.shape, *values.shape[1:])
        found[f"{k}:{name}"][inside] = values
    return found
