"""Bodies over what users did, made of transformers' own layers. Legend: B batch, S items of all rows, T the longest
row, U positions that are read, C items, D width.

One word for each item; behind them MASK, which stands for an item that is to be told, and NONE, which fills up rows and
stands where a user has no item that is known.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sartor.batch import Batch
from sartor.body import Body, Features
from sartor.drawing import mixed
from sartor.pretrained.text import quiet, refused

ITEMS, READ = "input_ids", "read"
"""Sequences of a batch: the items' numbers, and 1 where a head reads."""
STRETCH = 2048
"""Items of padded rows that go through the blocks at a time: rows of like length, few enough to stay in the caches."""
MASKING = 20_190_406
"""Tells the draws of masked items from all others."""


class ItemHead(nn.Module):
    """(U, D) -> (U, C): how well each item's own vector fits. It has no weights besides the body's table."""

    def __init__(self, table: nn.Embedding, bias: nn.Module | None, items: int) -> None:
        super().__init__()
        self._body = (table, bias)  # a plain tuple: the table is trained and saved as the body's
        self.items = items

    def forward(self, features: Tensor) -> Tensor:
        table, bias = self._body
        scores = features @ table.weight[: self.items].T
        return scores if bias is None else scores + bias.bias[: self.items]  # type: ignore[index]


class ItemBody(Body):
    """What both networks share: rows of items, a table of vectors, features where they are asked for."""

    reads = frozenset({"items"})
    model: Any

    def __init__(self, model: Any, items: Sequence[str], max_length: int) -> None:
        super().__init__()
        self.model = model
        self.items = tuple(items)
        self.place = {item: number for number, item in enumerate(self.items)}
        self.mask, self.none = len(self.items), len(self.items) + 1
        self.max_length = max_length
        self.width = int(model.config.hidden_size)
        self.drop = nn.Dropout(float(model.config.hidden_dropout_prob))

    @abstractmethod
    def table(self) -> nn.Embedding:
        """(C + 2, D)"""

    @abstractmethod
    def through(self, rows: Tensor, attended: Tensor) -> Tensor:
        """(B, T) items and whether they are there -> (B, T, D)"""

    def forward(self, batch: Batch) -> Features:
        """(U, D) what the head reads, row by row."""
        place = self.table().weight.device
        found = batch.sequences[ITEMS].new_zeros(0)
        order = torch.argsort(batch.lengths, stable=True)
        parts = []
        for rows in _stretches(batch, order):
            some = batch.take(rows)
            padded = some.padded({ITEMS: self.none, READ: 0})
            hidden = self.through(padded[ITEMS].to(place), padded["attention_mask"].to(place))
            parts.append(hidden[padded[READ].bool().to(place)])
        found = torch.cat(parts)
        return found[_back(batch, order).to(place)]

    def augment(self, batch: Batch, seed: int) -> Batch:
        return batch

    def facts(self) -> dict[str, Any]:
        return {"items": len(self.items), "max_length": self.max_length}

    def _numbers(self, histories: Sequence[Sequence[str]], most: int) -> list[list[int]]:
        """Each history's last known items; NONE alone where there is none."""
        return [[self.place[i] for i in line if i in self.place][-most:] or [self.none] for line in histories]


class CausalItems(ItemBody):
    """SASRec: every position sees what came before it; OPT's layers, which have its order of norms."""

    @property
    def heads(self) -> Mapping[str, nn.Module]:  # type: ignore[override]
        return {"classifier": ItemHead(self.table(), None, len(self.items))}

    def table(self) -> nn.Embedding:
        found: nn.Embedding = self.model.decoder.embed_tokens
        return found

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> Batch:
        """`items`: histories; `asked`: how many of the last positions are read, where it is not the last alone."""
        numbers = self._numbers(columns["items"], self.max_length)
        asked = columns.get("asked", [1] * len(numbers))
        counts = [min(len(line), max(1, count)) for line, count in zip(numbers, asked, strict=True)]
        read = [[0] * (len(line) - count) + [1] * count for line, count in zip(numbers, counts, strict=True)]
        return _batch(numbers, read, torch.tensor(counts, dtype=torch.long))

    def through(self, rows: Tensor, attended: Tensor) -> Tensor:
        for layer in self.model.decoder.layers:
            layer.dropout = layer.self_attn.dropout = self.drop.p  # plain numbers there: the plan's dropout is ours
        vectors = self.drop(self.table()(rows))
        places = torch.arange(rows.shape[1], device=rows.device).expand(len(rows), -1)
        hidden: Tensor = self.model.decoder(inputs_embeds=vectors, position_ids=places).last_hidden_state
        return hidden

    def linears(self) -> list[str]:
        return [n for n, m in self.named_modules() if isinstance(m, nn.Linear) and ".layers." in n]

    def blocks(self) -> list[nn.Module]:
        return list(self.model.decoder.layers)

    def save(self, folder: Path, head: nn.Module, config: dict[str, Any]) -> None:
        """As `AutoModelForCausalLM` loads it: a word for each item, MASK and NONE, its output tied to its table."""
        from transformers import OPTForCausalLM

        whole = OPTForCausalLM(_told(self.model.config, config))
        whole.model.load_state_dict(self.model.state_dict())
        whole.tie_weights()
        with quiet():
            whole.save_pretrained(folder)


class MaskedItems(ItemBody):
    """BERT4Rec: an item that is masked is told from both sides; to predict, MASK stands behind the history."""

    def __init__(self, model: Any, items: Sequence[str], max_length: int, share: float) -> None:
        super().__init__(model, items, max_length)
        self.share = share

    @property
    def heads(self) -> Mapping[str, nn.Module]:  # type: ignore[override]
        return {"classifier": ItemHead(self.table(), self.model.cls.predictions, len(self.items))}

    def table(self) -> nn.Embedding:
        found: nn.Embedding = self.model.bert.embeddings.word_embeddings
        return found

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> Batch:
        """`items`: histories, MASK behind each; what `augment` masks besides is drawn for every update."""
        numbers = [[*line, self.mask] for line in self._numbers(columns["items"], self.max_length - 1)]
        read = [[0] * (len(line) - 1) + [1] for line in numbers]
        return _batch(numbers, read, torch.ones(len(numbers), dtype=torch.long))

    def augment(self, batch: Batch, seed: int) -> Batch:
        """A share of each row's items masked, the last, which the target tells, always; all of them are targets."""
        if batch.targets is None or not self.share:
            return batch
        read, items = batch.sequences[READ].clone(), batch.sequences[ITEMS].clone()
        whole = items.clone()
        whole[read.bool()] = batch.targets
        drawn = [mixed(seed, MASKING, row, np.arange(n, dtype=np.uint64)) for row, n in _sizes(batch)]
        chosen = torch.from_numpy(np.concatenate(drawn) / 2.0**64 < self.share) & (whole < self.mask)
        read[chosen] = 1
        items[chosen] = self.mask
        counts = torch.stack([part.sum() for part in torch.split(read, batch.lengths.tolist())])
        told = {**batch.sequences, ITEMS: items, READ: read}
        return replace(batch, sequences=told, counts=counts, targets=whole[read.bool()])

    def through(self, rows: Tensor, attended: Tensor) -> Tensor:
        hidden = self.model.bert(input_ids=rows, attention_mask=attended).last_hidden_state
        told: Tensor = self.model.cls.predictions.transform(hidden)
        return told

    def linears(self) -> list[str]:
        return [n for n, m in self.named_modules() if isinstance(m, nn.Linear) and ".layer." in n]

    def blocks(self) -> list[nn.Module]:
        return list(self.model.bert.encoder.layer)

    def save(self, folder: Path, head: nn.Module, config: dict[str, Any]) -> None:
        """As `AutoModelForMaskedLM` loads it."""
        whole = copy.deepcopy(self.model)
        whole.config = _told(whole.config, config)
        with quiet():
            whole.save_pretrained(folder)


def causal(settings: Mapping[str, Any], items: Sequence[str], max_length: int, seed: int | None) -> CausalItems:
    """SASRec with weights drawn from `seed`, or from torch's generator as it stands."""
    from transformers import OPTConfig, OPTModel

    words, chance = len(items) + 2, settings["dropout"]
    config = OPTConfig(
        vocab_size=words,
        hidden_size=settings["width"],
        word_embed_proj_dim=settings["width"],
        num_hidden_layers=settings["layers"],
        num_attention_heads=settings["heads"],
        ffn_dim=4 * settings["width"],
        max_position_embeddings=max_length,
        dropout=chance,
        attention_dropout=chance,
        pad_token_id=words - 1,
        bos_token_id=None,
        eos_token_id=None,
    )
    config.hidden_dropout_prob = chance
    return CausalItems(_drawn(OPTModel, config, seed), items, max_length)


def masked(settings: Mapping[str, Any], items: Sequence[str], max_length: int, seed: int | None) -> MaskedItems:
    """BERT4Rec, drawn in the same way."""
    from transformers import BertConfig, BertForMaskedLM

    words, chance = len(items) + 2, settings["dropout"]
    config = BertConfig(
        vocab_size=words,
        hidden_size=settings["width"],
        num_hidden_layers=settings["layers"],
        num_attention_heads=settings["heads"],
        intermediate_size=4 * settings["width"],
        max_position_embeddings=max_length,
        hidden_dropout_prob=chance,
        attention_probs_dropout_prob=chance,
        pad_token_id=words - 1,
        type_vocab_size=1,
    )
    return MaskedItems(_drawn(BertForMaskedLM, config, seed), items, max_length, settings["mask_share"])


def reopened(folder: Path, items: Sequence[str], max_length: int, mask_share: float | None) -> ItemBody:
    """The body that `save` wrote; `mask_share` where it is BERT4Rec."""
    from transformers import BertForMaskedLM, OPTForCausalLM

    kind: Any = OPTForCausalLM if mask_share is None else BertForMaskedLM
    fix = "copy the bundle again from where it was made, or train again"
    with refused("MODEL_OPEN", "the model cannot be opened", fix, folder), quiet():
        model = kind.from_pretrained(folder, trust_remote_code=False, use_safetensors=True, dtype=torch.float32)
    if mask_share is None:
        return CausalItems(model.model, items, max_length)
    return MaskedItems(model, items, max_length, mask_share)


def _drawn(kind: Any, config: Any, seed: int | None) -> Any:
    with torch.random.fork_rng(devices=[], enabled=seed is not None), quiet():
        if seed is not None:
            torch.manual_seed(seed)
        return kind._from_config(config, dtype=torch.float32)


def _told(config: Any, told: Mapping[str, Any]) -> Any:
    found = copy.deepcopy(config)
    for name, value in told.items():
        setattr(found, name, value)
    return found


def _batch(numbers: Sequence[Sequence[int]], read: Sequence[Sequence[int]], counts: Tensor) -> Batch:
    lengths = torch.tensor([len(line) for line in numbers], dtype=torch.long)
    flat = {
        name: torch.tensor([value for line in lines for value in line], dtype=torch.long)
        for name, lines in ((ITEMS, numbers), (READ, read))
    }
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)])
    return Batch(rows=torch.arange(len(numbers)), offsets=offsets, sequences=flat, counts=counts)


def _stretches(batch: Batch, order: Tensor) -> Iterator[Tensor]:
    """Rows in order of length, cut so that a padded stretch has at most `STRETCH` items."""
    lengths, start = batch.lengths[order].tolist(), 0
    while start < len(order):
        end = start + 1
        while end < len(order) and (end + 1 - start) * lengths[end] <= STRETCH:
            end += 1
        yield order[start:end]
        start = end


def _back(batch: Batch, order: Tensor) -> Tensor:
    """(U,) where, among what was read in `order`, each position of the batch itself is."""
    places = batch.units(order)
    back = torch.empty_like(places)
    back[places] = torch.arange(len(places))
    return back


def _sizes(batch: Batch) -> list[tuple[int, int]]:
    return list(zip(batch.rows.tolist(), batch.lengths.tolist(), strict=True))
