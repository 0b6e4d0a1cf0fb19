"""Seq2SeqBody: any transformers encoder-decoder as a body: it reads one text and says another.

A row's source and, where it is known, what the decoder reads of the target lie end to end in one sequence:

    input_ids   s1 s2 ... sn | start t1 ... tm        dense["source"] (N,) says n
    targets                    t1    t2 ... end       one for each of the m + 1

Legend: B batch, S tokens of the sources, U tokens of the targets, D width, V words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sartor.batch import Batch
from sartor.body import Counterpart
from sartor.errors import BadInput
from sartor.pretrained import packing, speaking
from sartor.pretrained.gate import admit
from sartor.pretrained.packing import Packing
from sartor.pretrained.speaking import Ids, Search, SpeakingBody
from sartor.pretrained.text import A_BIT_OF_EVERYTHING, _tokenizer, block_list, quiet, refused

SAID = "said"
"""The name under which `encode` finds the texts that are to be said."""


@dataclass(frozen=True)
class Sides:
    """A batch in two: what is read, (S,) tokens, and what the decoder reads of what is said, (U,)."""

    source: Batch
    said: Batch

    @classmethod
    def of(cls, batch: Batch) -> Sides:
        first, whole = batch.dense["source"], batch.lengths
        place = torch.arange(int(batch.offsets[-1])) - batch.offsets[:-1].repeat_interleave(whole)
        later = place >= first.repeat_interleave(whole)
        ids = batch.sequences["input_ids"]
        return cls(_flat(ids[~later], first), _flat(ids[later], whole - first))


class Seq2SeqBody(SpeakingBody):
    """A transformers encoder-decoder with its own output layer as the head; the tokens of a batch lie end to end in
    both its stacks where their attention allows it."""

    reads = frozenset({"text"})

    def __init__(self, model: Any, tokenizer: Any, max_length: int, prefix: str = "", folder: Path | None = None):
        super().__init__()
        self.model = _fixed(model)
        self.tokenizer = tokenizer
        self.readers = (tokenizer,)
        self.unknown = speaking.unknown(tokenizer)
        self.folder = folder
        self.before = prefix
        self.max_length = max_length
        self.start = _start(model)
        self.few: Batch = _few(self.start)
        self.try_out()

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> Batch:
        """`text`, and `said` where it is known; each cut at `max_length` tokens."""
        read = self._ids([self.before + text for text in columns["text"]])
        said = self._ids(columns[SAID], target=True) if SAID in columns else [Ids() for _ in read]
        given = [[self.start, *ids[:-1]] if ids else Ids() for ids in said]
        flat = torch.tensor([t for pair in zip(read, given, strict=True) for ids in pair for t in ids])
        lengths = torch.tensor([0, *(len(a) + len(b) for a, b in zip(read, given, strict=True))])
        return Batch(
            rows=torch.arange(len(read)),
            offsets=lengths.cumsum(0),
            sequences={"input_ids": flat.to(torch.int32)},
            dense={"source": torch.tensor([len(ids) for ids in read], dtype=torch.long)},
            counts=torch.tensor([len(ids) for ids in said], dtype=torch.long),
            targets=torch.tensor([t for ids in said for t in ids], dtype=torch.long) if SAID in columns else None,
        )

    def blocks(self) -> list[nn.Module]:
        """The encoder's, then the decoder's."""
        stacks = (self.model.get_encoder(), self.model.get_decoder())
        return [block for stack in stacks for block in stack.get_submodule(block_list(stack))]

    def counterpart(self) -> Counterpart | None:
        return None if self.folder is None else Counterpart("AutoModelForSeq2SeqLM", "model.")

    def facts(self) -> dict[str, Any]:
        return {"prefix": self.before, **speaking.facts_of(self.tokenizer, self.model.config, A_BIT_OF_EVERYTHING)}

    def save(self, folder: Path, head: nn.Module, config: dict[str, Any]) -> None:
        with quiet():
            self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)

    @torch.no_grad()
    def say(self, texts: Sequence[str], search: Search, ratio: float = 2.0, spare: int = 8) -> list[str]:
        """What is said of each text: at most `search.most` words, and `ratio` times its own and `spare` more."""
        read = self._ids([self.before + text for text in texts])
        pad = self.tokenizer.pad_token_id or 0
        device = next(self.model.parameters()).device

        def together(places: list[int]) -> list[Ids]:
            ids, mask = (t.to(device) for t in speaking.padded([read[i] for i in places], pad))
            most = min(search.most, self.max_length, max(1, int(ratio * ids.shape[1]) + spare))
            with quiet():
                found = self.model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    num_beams=search.beams,
                    length_penalty=search.length_penalty,
                    early_stopping=search.beams > 1,
                    do_sample=False,
                    max_length=None,
                    max_new_tokens=most,
                )
            return [row[1:] for row in found.tolist()]

        said = speaking.in_turns([len(ids) for ids in read], together)
        return [text.strip() for text in self.tokenizer.batch_decode(said, skip_special_tokens=True)]

    def _ids(self, texts: Sequence[str], target: bool = False) -> list[Ids]:
        key = "text_target" if target else "text"
        found = self.tokenizer(**{key: list(texts)}, truncation=True, max_length=self.max_length)
        ids: list[Ids] = found["input_ids"]
        return ids

    def _packed(self, batch: Batch) -> Tensor:
        """(U, D) with no padding anywhere."""
        sides = Sides.of(batch)
        packed = Packing.of_pairs(sides.said.lengths, sides.source.lengths, len(self.blocks()) // 2)
        assert packed.across is not None
        hidden = self._stack(self.model.get_encoder(), sides.source, packed.across)
        found = self._stack(self.model.get_decoder(), sides.said, packed, encoder_hidden_states=hidden, use_cache=False)
        return sides.said.arranged(found[0, : packed.tokens], packed.order)

    def _stack(self, stack: Any, rows: Batch, packed: Packing, **more: Any) -> Tensor:
        """(1, S, D) the last hidden states of one stack."""
        ids = packed.filled(rows.take(packed.order).sequences["input_ids"]).long()[None]
        with speaking.placed(stack, packed.filled(packed.positions())):
            found: Tensor = stack(input_ids=ids, packing=packed, **more).last_hidden_state
        return found

    def _padded(self, batch: Batch) -> Tensor:
        """(U, D) of rows padded to the longest of a stretch; the stretches are those that packing would attend in."""
        sides = Sides.of(batch)
        packed = Packing.of_pairs(sides.said.lengths, sides.source.lengths)
        found = [
            self._stretch(sides.source.take(some), sides.said.take(some))
            for some in torch.split(packed.order, [s.rows for s in packed.stretches])
        ]
        return sides.said.arranged(torch.cat(found), packed.order)

    def _stretch(self, source: Batch, said: Batch) -> Tensor:
        device = next(self.model.parameters()).device
        pad = {"input_ids": self.tokenizer.pad_token_id or 0}
        read, heard = ({k: v.to(device) for k, v in side.padded(pad).items()} for side in (source, said))
        own = heard["attention_mask"].bool()
        if self.whole:
            decoder = {f"decoder_{name}": values for name, values in heard.items()}
            found: Tensor = self.model(**read, **decoder, use_cache=False).logits[own]
            return found
        hidden = self.model.get_encoder()(**read).last_hidden_state
        seen = {"encoder_hidden_states": hidden, "encoder_attention_mask": read["attention_mask"]}
        vectors: Tensor = self.model.get_decoder()(**heard, **seen, use_cache=False).last_hidden_state[own]
        return vectors

    def _logits(self) -> Tensor:
        """(U, V) what the model itself says of the few rows, each alone."""
        sides = Sides.of(self.few)
        found = []
        for i in range(len(self.few)):
            read, heard = (side.take(torch.tensor([i])).sequences["input_ids"].long()[None] for side in _both(sides))
            found.append(self.model(input_ids=read, decoder_input_ids=heard, use_cache=False).logits[0])
        return torch.cat(found)


def open_seq2seq(folder: Path, max_length: int, prefix: str = "", fresh: bool = False) -> Seq2SeqBody:
    """The encoder-decoder in `folder`, or one of its shape with weights drawn anew."""
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    admit(folder)
    fix = "check that the folder holds a whole encoder-decoder; save it again with save_pretrained"
    packing.register()
    with refused("MODEL_OPEN", "the model cannot be opened", fix, folder), quiet():
        if fresh:
            model = AutoModelForSeq2SeqLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32)
        else:
            model = AutoModelForSeq2SeqLM.from_pretrained(
                folder, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
            )
    return Seq2SeqBody(_packable(model), _tokenizer(folder), max_length, prefix, folder)


def drawn(tokenizer: Any, settings: Mapping[str, Any], max_length: int, seed: int | None) -> Seq2SeqBody:
    """A transformer of Marian's shape over `tokenizer`'s words, all its tables one, its weights drawn from `seed` or
    from torch's generator as it stands."""
    from transformers import MarianConfig, MarianMTModel

    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    config = MarianConfig(
        vocab_size=len(tokenizer),
        decoder_vocab_size=len(tokenizer),
        max_position_embeddings=max_length,
        pad_token_id=pad,
        eos_token_id=end,
        decoder_start_token_id=pad,
        forced_eos_token_id=None,
        scale_embedding=True,
        share_encoder_decoder_embeddings=True,
        tie_word_embeddings=True,
        **settings,
    )
    packing.register()
    with torch.random.fork_rng(devices=[], enabled=seed is not None), quiet():
        if seed is not None:
            torch.manual_seed(seed)
        model = MarianMTModel(config)
    model.generation_config.suppress_tokens = [pad]
    return Seq2SeqBody(_packable(model), tokenizer, max_length)


def _fixed(model: Any) -> Any:
    """The model with what its architecture computes and never saves, such as Marian's waves for positions, no weights:
    nothing may move it."""
    never = getattr(model, "_keys_to_ignore_on_save", None) or ()
    for name in never:
        place, _, leaf = name.rpartition(".")
        layer = model.get_submodule(place)
        table = layer._parameters.pop(leaf, None)
        if table is not None:
            layer.register_buffer(leaf, table.detach(), persistent=False)
    return model


def _packable(model: Any) -> Any:
    """The model with the attention that takes packed rows, where its architecture lets one choose."""
    if model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(packing.NAME)
    return model


def _start(model: Any) -> int:
    """What the decoder reads before the first word."""
    found = getattr(model.generation_config, "decoder_start_token_id", None)
    found = getattr(model.config, "decoder_start_token_id", None) if found is None else found
    if found is None:
        said = "the model does not say which token its decoder starts with"
        raise BadInput("MODEL_START", said, fix="set decoder_start_token_id in its config.json")
    return int(found)


def _both(sides: Sides) -> tuple[Batch, Batch]:
    return sides.source, sides.said


def _flat(ids: Tensor, lengths: Tensor) -> Batch:
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)])
    return Batch(rows=torch.arange(len(lengths)), offsets=offsets, sequences={"input_ids": ids})


def _few(start: int) -> Batch:
    """Three rows of different lengths, of words that every vocabulary has."""
    sources, said = [[5, 6, 7, 8, 4], [9, 4], [5, 9, 6, 8, 7, 4]], [[start, 7, 5], [start, 6, 8, 9, 5], [start]]
    lengths = torch.tensor([0, *(len(a) + len(b) for a, b in zip(sources, said, strict=True))])
    flat = torch.tensor([t for pair in zip(sources, said, strict=True) for ids in pair for t in ids])
    source = torch.tensor([len(ids) for ids in sources])
    return Batch(torch.arange(3), lengths.cumsum(0), {"input_ids": flat}, {"source": source})
