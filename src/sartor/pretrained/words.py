"""Rows of tokens -> word pieces, each token's first piece marked: its vector is the token's.

A row that is longer than half of what a model has positions for (the other half is for what a method puts before rows)
or than what it was asked to read is cut into windows that overlap; each token is read in the window where it has more
of its neighbours around it, so that no token of a long row goes unanswered. A token that a tokenizer makes nothing
of (a lone control character) is the unknown word, so that none is lost.

Legend: N rows, S pieces of all rows, W windows of all rows, U tokens of all rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sartor.batch import Batch, joined
from sartor.errors import BadInput

OVERLAP = 4
"""Neighbouring windows share at least so little as one part in this of a window's room."""

Ids = list[int]
Window = tuple[int, int, int, int]
"""The tokens in a window, first and behind the last, and which of them are read in it."""


def encode(tokenizer: Any, rows: Sequence[Sequence[str]], max_length: int) -> Batch:
    """`input_ids` (S,), `read` (S,) 1 at the first piece of each token where it is read, `window` (S,) each piece's
    window in its row, counted from 0."""
    front, behind = _around(tokenizer)
    room = max(1, max_length - len(front) - len(behind))
    ids, read, window, lengths = Ids(), Ids(), Ids(), [0]
    for tokens, (pieces, owners) in zip(rows, _pieces(tokenizer, rows), strict=True):
        of_token = _of_each(tokenizer, pieces, owners, len(tokens), room)
        before = len(ids)
        for number, (first, last, begin, end) in enumerate(windows([len(p) for p in of_token], room)):
            start = len(ids)
            ids += front + [piece for token in of_token[first:last] for piece in token] + behind
            read += [0] * len(front)
            for place, token in enumerate(of_token[first:last], start=first):
                read += [int(begin <= place < end)] + [0] * (len(token) - 1)
            read += [0] * len(behind)
            window += [number] * (len(ids) - start)
        lengths.append(len(ids) - before)
    flat = {"input_ids": torch.tensor(ids, dtype=torch.int32), "read": torch.tensor(read, dtype=torch.uint8)}
    flat["window"] = torch.tensor(window, dtype=torch.int32)
    offsets = torch.tensor(lengths, dtype=torch.long).cumsum(0)
    counts = torch.tensor([len(tokens) for tokens in rows], dtype=torch.long)
    return Batch(rows=torch.arange(len(rows)), offsets=offsets, sequences=flat, counts=counts)


def windows(sizes: Sequence[int], room: int) -> Iterator[Window]:
    """Windows over tokens of `sizes` pieces, none larger than `room`; each token is read in exactly one window."""
    begin, read = 0, 0
    while True:
        end = begin + _fitting(sizes[begin:], room)
        if end == len(sizes):
            yield begin, end, read, end
            return
        back = max(begin + 1, end - _fitting(sizes[begin:end][::-1], room // OVERLAP))
        middle = end - _fitting(sizes[back:end][::-1], sum(sizes[back:end]) // 2)
        yield begin, end, read, middle
        begin, read = back, middle


def by_window(batch: Batch) -> Batch:
    """The batch with a row for each window: (W,) rows, the same pieces in the same order."""
    window = batch.sequences.get("window")
    if window is None or not len(window) or not int(window.max()):
        return batch
    begins = torch.ones(len(window), dtype=torch.bool)
    begins[1:] = window[1:] != window[:-1]
    begins[batch.offsets[:-1]] = True
    starts = torch.cat([torch.where(begins)[0], batch.offsets[-1:]])
    return Batch(torch.arange(len(starts) - 1), starts, batch.sequences, depth=batch.depth)


def paired(columns: Mapping[str, Sequence[Any]]) -> tuple[str, str]:
    """The two columns of texts that are read apart. Raises `BadInput` where there is only one."""
    if "text_pair" not in columns:
        fix = "name both with --text, or choose a backbone that reads the other side too, such as fusion"
        raise BadInput("MATCH_SIDES", "a text encoder reads two sides of text, and the rows have one", fix=fix)
    return "text", "text_pair"


def sides(left: Batch, right: Batch) -> Batch:
    """Two texts a row as two windows of it, each of which a head reads."""
    count = len(left)
    both = joined([left, right])
    order = torch.arange(2 * count).view(2, count).T.reshape(-1)  # a row's two sides one after the other
    woven = both.take(order)
    window = (torch.arange(2 * count) % 2).repeat_interleave(woven.lengths).int()
    twos = torch.full((count,), 2)
    return Batch(torch.arange(count), woven.offsets[::2], {**woven.sequences, "window": window}, counts=twos)


def picked(hidden: Tensor, batch: Batch) -> Tensor:
    """(S, D) vectors of pieces -> (U, D) of tokens; of rows that mark none, each piece's."""
    read = batch.sequences.get("read")
    return hidden if read is None else hidden[read.bool().to(hidden.device)]


def longest(model: Any, asked: int) -> int:
    """`asked`, or as many tokens as the model has positions for; RoBERTa's kin leave the first ones to the padding."""
    positions = getattr(model.config, "max_position_embeddings", None) or asked
    return min(asked, positions - first_position(model))


def first_position(model: Any) -> int:
    """The number of a row's first position."""
    tables = [m for name, m in model.named_modules() if name.endswith("position_embeddings")]
    return next((m.padding_idx + 1 for m in tables if getattr(m, "padding_idx", None) is not None), 0)


def few_rows(config: Any) -> Batch:
    """Three short rows of different lengths, of words that every vocabulary has."""
    lengths = torch.tensor([5, 2, 7])
    ids = 5 + torch.arange(int(lengths.sum())) * 7 % (config.vocab_size - 5)
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)])
    return Batch(rows=torch.arange(3), offsets=offsets, sequences={"input_ids": ids.int()})


def _fitting(sizes: Sequence[int], room: int) -> int:
    """How many of the first sizes fit into `room` together."""
    for count, size in enumerate(sizes):
        room -= size
        if room < 0:
            return count
    return len(sizes)


def _pieces(tokenizer: Any, rows: Sequence[Sequence[str]]) -> Iterator[tuple[Ids, Ids]]:
    """Each row's pieces, and the token that each belongs to."""
    some = [list(tokens) for tokens in rows if tokens]
    found = tokenizer(some, is_split_into_words=True, add_special_tokens=False, verbose=False) if some else None
    number = 0
    for tokens in rows:
        if tokens and found is not None:
            yield found["input_ids"][number], found.word_ids(number)
            number += 1
        else:
            yield [], []


def _of_each(tokenizer: Any, pieces: Ids, owners: Ids, count: int, room: int) -> list[Ids]:
    """The pieces of each of `count` tokens, at least one and at most `room`."""
    found: list[Ids] = [[] for _ in range(count)]
    for piece, owner in zip(pieces, owners, strict=True):
        found[owner].append(piece)
    unknown = tokenizer.unk_token_id if tokenizer.unk_token_id is not None else tokenizer.pad_token_id or 0
    return [token[:room] or [unknown] for token in found]


def _around(tokenizer: Any) -> tuple[Ids, Ids]:
    """What the tokenizer puts before and behind a row."""
    whole, bare = (list(tokenizer("a", add_special_tokens=so)["input_ids"]) for so in (True, False))
    at = next(i for i in range(len(whole) - len(bare) + 1) if whole[i : i + len(bare)] == bare)
    front, behind = whole[:at], whole[at + len(bare) :]
    return front, behind or ([] if front else [tokenizer.eos_token_id or 0])
