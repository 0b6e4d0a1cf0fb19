"""DecoderBody: any transformers decoder as a body: it reads a text and says how it goes on.

A row is its words in order; `heard` marks those that are to be said, each of which is asked of the word before it:

    input_ids   start  w1   w2   end        heard   0  1  1  1          a text
    input_ids   q1 q2 q3  a1 a2  end        heard   0 0 0  1 1  1       a conversation: the answers alone

A row longer than the network reads is read in stretches of that many words; in training one stretch of it is taken, at
a place that the seed and the row's number decide. Rows lie end to end without padding where attention allows it, and
no row sees another.

Legend: N rows, S words of all rows, U words that are to be said, D width, V words of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sartor.batch import Batch
from sartor.body import Counterpart
from sartor.pretrained import packing, speaking
from sartor.pretrained.chance import uniform
from sartor.pretrained.gate import admit
from sartor.pretrained.packing import Packing
from sartor.pretrained.route import packed_words
from sartor.pretrained.speaking import Ids, Search, SpeakingBody
from sartor.pretrained.talking import asked, heard
from sartor.pretrained.text import A_BIT_OF_EVERYTHING, _tokenizer, block_list, put, quiet, refused
from sartor.pretrained.words import longest

PLACE = 31
"""Tells the place of a stretch from what else is drawn for a row."""


class DecoderBody(SpeakingBody):
    """A transformers decoder with its own output layer as the head."""

    reads = frozenset({"text", "messages"})

    def __init__(self, model: Any, tokenizer: Any, max_length: int, folder: Path | None = None) -> None:
        super().__init__()
        self.model = model
        self.turned = _turn(model)
        self.tokenizer = tokenizer
        self.readers = (tokenizer,)
        self.unknown = speaking.unknown(tokenizer)
        self.folder = folder
        self.max_length = max_length
        self.few: Batch = _few()
        self.try_out()

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> Batch:
        """`text` or `messages`: every word of a text is to be said, of a conversation those of its answers."""
        rows = [heard(self.tokenizer, kind, value) for kind, values in columns.items() for value in values]
        lengths = torch.tensor([0, *(len(ids) for ids, _ in rows)], dtype=torch.long)
        ids = torch.tensor([t for ids, _ in rows for t in ids], dtype=torch.int32)
        marks = torch.tensor([m for _, marks in rows for m in marks], dtype=torch.uint8)
        return _aimed(Batch(torch.arange(len(rows)), lengths.cumsum(0), {"input_ids": ids, "heard": marks}))

    def augment(self, batch: Batch, seed: int) -> Batch:
        """One stretch of every row that is longer than the network reads, and the word behind it."""
        room, lengths = self.max_length + 1, batch.lengths
        if not len(batch) or int(lengths.max()) <= room:
            return batch
        kept = lengths.clamp(max=room)
        drawn = uniform(seed, batch.rows, PLACE)
        first = (drawn * (lengths - kept + 1)).long()
        offsets = torch.cat([torch.zeros(1, dtype=torch.long), kept.cumsum(0)])
        starts = batch.offsets[:-1] + first - offsets[:-1]
        places = torch.arange(int(offsets[-1])) + starts.repeat_interleave(kept)
        sequences = {name: values[places] for name, values in batch.sequences.items()}
        return _aimed(replace(batch, offsets=offsets, sequences=sequences))

    def blocks(self) -> list[nn.Module]:
        trunk = self.model.base_model
        return list(trunk.get_submodule(block_list(trunk)))

    def counterpart(self) -> Counterpart | None:
        return None if self.folder is None or self.turned else Counterpart("AutoModelForCausalLM", "model.")

    def facts(self) -> dict[str, Any]:
        return dict(speaking.facts_of(self.tokenizer, self.model.config, A_BIT_OF_EVERYTHING))

    def save(self, folder: Path, head: nn.Module, config: dict[str, Any]) -> None:
        with quiet(), _as_they_were(self.model, self.turned):
            self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)

    @torch.no_grad()
    def say(self, columns: Mapping[str, Sequence[Any]], search: Search, numbers: Sequence[int]) -> list[str]:
        """How each row goes on; `numbers` are what a row's random words depend on, with the seed."""
        rows = [asked(self.tokenizer, kind, value) for kind, values in columns.items() for value in values]
        said: list[Ids] = [Ids() for _ in rows]
        ended = [False] * len(rows)
        while not all(ended):  # what is longer than the network reads goes on from its second half
            going = [i for i, done in enumerate(ended) if not done]
            given = [self._fitting([*rows[i], *said[i]]) for i in going]
            left = [search.most - len(said[i]) for i in going]
            more = self._more(given, left, search, [(numbers[i], len(said[i])) for i in going])
            for i, (ids, done) in zip(going, more, strict=True):
                said[i] += ids
                ended[i] = done or len(said[i]) >= search.most
        return list(self.tokenizer.batch_decode(said, skip_special_tokens=True))

    def _fitting(self, ids: Ids) -> Ids:
        return ids if len(ids) < self.max_length else ids[-max(1, self.max_length // 2) :]

    def _more(
        self, given: list[Ids], left: list[int], search: Search, numbers: list[tuple[int, int]]
    ) -> list[tuple[Ids, bool]]:
        """Words behind each beginning, at most as many as are left or as there is room for, and whether it ended."""
        ends = speaking.ends(self.model, self.tokenizer)
        pad = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else min(ends, default=0)
        device = next(self.model.parameters()).device

        def together(places: list[int]) -> list[Ids]:
            ids, mask = (t.to(device) for t in speaking.padded([given[i] for i in places], pad, left=True))
            most = min(max(left[i] for i in places), max(1, self.max_length - ids.shape[1]))
            drawn = speaking.drawing(search, [numbers[i] for i in places], ids.shape[1])
            with quiet():
                found = self.model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    logits_processor=drawn,
                    do_sample=False,
                    num_beams=1,
                    max_length=None,
                    max_new_tokens=most,
                    pad_token_id=pad,
                    eos_token_id=sorted(ends) or None,
                )
            return [row[ids.shape[1] :] for row in found.tolist()]

        found = []
        for ids, most in zip(speaking.in_turns([len(g) for g in given], together), left, strict=True):
            end = next((k for k, word in enumerate(ids) if word in ends), None)
            found.append((ids[: min(most, len(ids) if end is None else end)], end is not None))
        return found

    def _packed(self, batch: Batch) -> Tensor:
        """(U, D) with no padding anywhere."""
        rows, picked = self._stretches(batch)
        packed = Packing.of(rows.lengths, len(self.blocks()))
        words = {"input_ids": rows.take(packed.order).sequences["input_ids"]}
        hidden = self.model.base_model(**packed_words(packed, words, 0), use_cache=False).last_hidden_state[0]
        return rows.arranged(hidden[: packed.tokens], packed.order)[picked]

    def _padded(self, batch: Batch) -> Tensor:
        """(U, D), or (U, V), of rows padded to the longest of a stretch."""
        rows, picked = self._stretches(batch)
        packed = Packing.of(rows.lengths)
        device = next(self.model.parameters()).device
        found = []
        for some in torch.split(packed.order, [s.rows for s in packed.stretches]):
            part = Batch(rows.rows, rows.offsets, {"input_ids": rows.sequences["input_ids"]}).take(some).padded({})
            words = {name: values.to(device) for name, values in part.items()}
            said = (
                self.model(**words, use_cache=False) if self.whole else self.model.base_model(**words, use_cache=False)
            )
            found.append((said.logits if self.whole else said.last_hidden_state)[words["attention_mask"].bool()])
        return rows.arranged(torch.cat(found), packed.order)[picked.to(device)]

    def _stretches(self, batch: Batch) -> tuple[Batch, Tensor]:
        """Rows of at most as many words as the network reads, without each row's last word, behind which nothing is
        asked; and which of the words that are left are asked what comes next."""
        ids, marks, lengths = batch.sequences["input_ids"], batch.sequences["heard"], batch.lengths
        last = torch.zeros(len(ids), dtype=torch.bool)
        last[batch.offsets[1:][lengths > 0] - 1] = True
        following = torch.cat([marks[1:], marks.new_zeros(1)]).bool()
        shorter = (lengths - 1).clamp(min=0)
        cuts = [min(self.max_length, n - at) for n in shorter.tolist() for at in range(0, n, self.max_length)]
        offsets = torch.tensor([0, *cuts], dtype=torch.long).cumsum(0)
        rows = Batch(torch.arange(len(cuts)), offsets, {"input_ids": ids[~last]})
        return rows, following[~last]

    def _logits(self) -> Tensor:
        """(U, V) what the model itself says of the few rows, each alone."""
        found = []
        for i in range(len(self.few)):
            one = self.few.take(torch.tensor([i])).sequences
            said = self.model(input_ids=one["input_ids"].long()[None], use_cache=False).logits[0]
            found.append(said[:-1][one["heard"][1:].bool()])
        return torch.cat(found)


def open_decoder(folder: Path, max_length: int, fresh: bool = False) -> DecoderBody:
    """The decoder in `folder`, or one of its shape with weights drawn anew."""
    from transformers import AutoConfig, AutoModelForCausalLM

    admit(folder)
    fix = "check that the folder holds a whole decoder; save it again with save_pretrained"
    packing.register()
    with refused("MODEL_OPEN", "the model cannot be opened", fix, folder), quiet():
        if fresh:
            model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32)
        else:
            model = AutoModelForCausalLM.from_pretrained(
                folder, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
            )
    return DecoderBody(_packable(model), _tokenizer(folder), longest(model, max_length), folder)


def drawn(tokenizer: Any, settings: Mapping[str, Any], seed: int | None) -> DecoderBody:
    """A GPT-2 over `tokenizer`'s words, its weights drawn from `seed` or from torch's generator as it stands."""
    from transformers import GPT2Config, GPT2LMHeadModel

    end = tokenizer.eos_token_id
    config = GPT2Config(vocab_size=len(tokenizer), bos_token_id=end, eos_token_id=end, **settings)
    packing.register()
    with torch.random.fork_rng(devices=[], enabled=seed is not None), quiet():
        if seed is not None:
            torch.manual_seed(seed)
        model = GPT2LMHeadModel(config)
    return DecoderBody(_packable(model), tokenizer, config.n_positions)


def _packable(model: Any) -> Any:
    """The model with the attention that takes packed rows, where its architecture lets one choose."""
    if model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(packing.NAME)
    return model


def _aimed(batch: Batch) -> Batch:
    """The batch with what is to be said: no row's first word, which nothing comes before."""
    marks = batch.sequences["heard"].clone()
    marks[batch.offsets[:-1][batch.lengths > 0]] = 0
    ends = torch.cat([marks.new_zeros(1, dtype=torch.long), marks.long().cumsum(0)])
    counts = ends[batch.offsets[1:]] - ends[batch.offsets[:-1]]
    targets = batch.sequences["input_ids"][marks.bool()].long()
    return replace(batch, sequences={**batch.sequences, "heard": marks}, counts=counts, targets=targets)


def _turn(model: Any) -> tuple[str, ...]:
    """Make linear layers of GPT-2's transposed ones, in place, so that every method finds them; their names."""
    from transformers.pytorch_utils import Conv1D

    names = tuple(name for name, m in model.named_modules() if isinstance(m, Conv1D))
    for name in names:
        put(model, name, _turned(model.get_submodule(name), nn.Linear))
    return names


@contextmanager
def _as_they_were(model: Any, names: Sequence[str]) -> Iterator[None]:
    """Inside, the layers of these names are transposed ones again, as the architecture saves them."""
    from transformers.pytorch_utils import Conv1D

    layers = {name: model.get_submodule(name) for name in names}
    for name, layer in layers.items():
        put(model, name, _turned(layer, Conv1D))
    try:
        yield
    finally:
        for name, layer in layers.items():
            put(model, name, layer)


def _turned(layer: Any, kind: Any) -> Any:
    """The same product as a layer of the other kind: Conv1D (in, out) or Linear (out, in)."""
    rows, columns = layer.weight.shape
    made = kind(rows, columns)
    made.weight = nn.Parameter(layer.weight.detach().t().contiguous(), requires_grad=layer.weight.requires_grad)
    made.bias = layer.bias
    return made


def _few() -> Batch:
    """Three rows of different lengths, of words that every vocabulary has."""
    rows = [[5, 6, 7, 8, 4], [9, 4], [5, 9, 6, 8, 7, 4, 3]]
    lengths = torch.tensor([0, *map(len, rows)])
    flat = torch.tensor([t for ids in rows for t in ids])
    return _aimed(Batch(torch.arange(3), lengths.cumsum(0), {"input_ids": flat, "heard": torch.ones_like(flat)}))
