"""What bodies that say texts share: the head that reads their word table, and the batches that texts are said in.

Legend: B rows, U tokens that are to be said, D width, V words of the vocabulary.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sartor.batch import Batch
from sartor.body import Body, Features

UNSEEN = math.log(0x110000)
"""Nats that name a character of Unicode."""
AT_ONCE = 64
"""Texts that are said together."""
Ids = list[int]


@dataclass(frozen=True)
class Search:
    """How a text is found, word by word.

    beams            texts that are followed at once; 1: the likeliest word each time
    length_penalty   a text's log-probability is divided by its length to this power, where there are several beams
    temperature, top_k, top_p   how words are drawn where the temperature is above 0 (Holtzman et al. 2020, arXiv
                     1904.09751); every row has its own random numbers, whatever stands beside it
    """

    most: int = 128
    beams: int = 1
    length_penalty: float = 1.0
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0


class SpeakingBody(Body):
    """A body whose own output layer is the head. Whether its rows can be packed, and whether that layer is all that
    stands behind its features, is tried on `few` rows."""

    model: Any
    tokenizer: Any

    def try_out(self) -> None:
        """Where its output layer alone does not give the model's scores (`whole`), those are its features."""
        self.heads = {"classifier": LanguageHead(self)}
        self.whole = self.packs = False
        self.whole = not agrees(lambda: self.scores(self._padded(self._tried)), self._logits, self.model)
        self.packs = not self.whole and agrees(
            lambda: self._packed(self._tried), lambda: self._padded(self._tried), self.model
        )
        output = self.model.get_output_embeddings()
        self.width = output.out_features if self.whole else output.in_features

    @property
    def _tried(self) -> Batch:
        assert self.few is not None
        return self.few

    @abstractmethod
    def _packed(self, batch: Batch) -> Tensor:
        """(U, D) with no padding anywhere."""

    @abstractmethod
    def _padded(self, batch: Batch) -> Tensor:
        """(U, D) of padded rows."""

    @abstractmethod
    def _logits(self) -> Tensor:
        """(U, V) the model's own scores of the few rows."""

    def forward(self, batch: Batch) -> Features:
        """(U, D)"""
        return self._packed(batch) if self.layout() == "packed" else self._padded(batch)

    def scores(self, features: Tensor) -> Tensor:
        """(U, D) -> (U, V)"""
        if self.whole:
            return features
        found: Tensor = self.model.get_output_embeddings()(features)
        shift = getattr(self.model, "final_logits_bias", None)
        return found if shift is None else found + shift

    def layout(self) -> Literal["packed", "padded"]:
        on_gpu = next(self.model.parameters()).device.type == "cuda"
        return "packed" if self.packs and not on_gpu else "padded"

    def linears(self) -> list[str]:
        inside = {id(m) for block in self.blocks() for m in block.modules()}
        return [name for name, m in self.named_modules() if isinstance(m, nn.Linear) and id(m) in inside]


class LanguageHead(nn.Module):
    """(U, D) features -> (U, V) scores, by the body's own output layer: it has no weight of its own, so that a word
    table which is tied to it stays one tensor."""

    def __init__(self, body: SpeakingBody) -> None:
        super().__init__()
        self.speaker = (body,)  # in a tuple: what is in it belongs to the body

    def forward(self, features: Tensor) -> Tensor:
        return self.speaker[0].scores(features)


def losses(scores: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """(U,) minus the log-probability of each right word, in nats; smoothed, a share of the target is every word's
    (Szegedy et al. 2016, arXiv 1512.00567)."""
    found: Tensor = nn.functional.cross_entropy(scores, targets, reduction="none", label_smoothing=smoothing)
    return found


def unknown(tokenizer: Any) -> int | None:
    """The word for what has none of its own, where it is used for nothing else."""
    others = {tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id, None}
    return None if tokenizer.unk_token_id in others else int(tokenizer.unk_token_id)


def costs(net: nn.Module, batch: Batch, unknown: int | None = None) -> Tensor:
    """(U, 2) what each right word costs, in nats, and the number of its row; none where nothing is known."""
    if batch.targets is None or batch.counts is None:
        return torch.zeros(0, 2, dtype=torch.float64)
    scores: Tensor = net(batch)
    each = losses(scores, batch.targets.to(scores.device)).double()
    if unknown is not None:  # whoever says "unknown" has not said what
        each = each + UNSEEN * (batch.targets == unknown).to(each)
    return torch.stack([each, batch.rows.repeat_interleave(batch.counts).to(each)], 1)


def in_turns(lengths: Sequence[int], say: Callable[[list[int]], list[Ids]], at_once: int = AT_ONCE) -> list[Ids]:
    """What `say` says of the rows at some places, asked for rows of like length together; in order of the rows."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    found: list[Ids] = [[] for _ in lengths]
    for start in range(0, len(order), at_once):
        places = order[start : start + at_once]
        for place, ids in zip(places, say(places), strict=True):
            found[place] = ids
    return found


def padded(rows: Sequence[Ids], pad: int, left: bool = False) -> tuple[Tensor, Tensor]:
    """(B, T) words and where they are real, from the first place on or up to the last."""
    longest = max(map(len, rows), default=0)
    ids = torch.full((len(rows), longest), pad, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        where = slice(longest - len(row), None) if left else slice(len(row))
        ids[i, where] = torch.tensor(row, dtype=torch.long)
        mask[i, where] = 1
    return ids, mask


@contextmanager
def placed(stack: nn.Module, positions: Tensor) -> Iterator[None]:
    """Inside, the stack takes its tokens to stand at `positions` (S,): what it would count itself is replaced. As in
    `route.entering`, only `forward` is exchanged. Raises where the stack has no table of positions."""
    table: Any = stack.get_submodule("embed_positions")
    whole = table.forward
    vars(table)["forward"] = lambda shape, *_, **__: whole(shape, 0, position_ids=positions)
    try:
        yield
    finally:
        del vars(table)["forward"]


def agrees(one: Callable[[], Tensor], other: Callable[[], Tensor], module: nn.Module) -> bool:
    """Whether two ways through a network say the same, tried without dropout; whatever a way cannot do is a no."""
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            return torch.allclose(one(), other(), rtol=1e-3, atol=1e-4)
    except Exception:  # whatever an architecture does not take: no table of positions, a bias in its attention
        return False
    finally:
        module.train(training)


def facts_of(tokenizer: Any, config: Any, tried: str) -> Mapping[str, Any]:
    """What besides weights decides what a body reads and says, as plain values."""
    import hashlib
    import json

    words = hashlib.sha256(json.dumps(sorted(tokenizer.get_vocab().items())).encode()).hexdigest()
    return {"model_type": config.model_type, "vocabulary": words, "tried": tokenizer(tried)["input_ids"]}


def ends(model: Any, tokenizer: Any) -> frozenset[int]:
    """The words behind which nothing more is said."""
    found = model.generation_config.eos_token_id
    listed = found if isinstance(found, list) else [found]
    own = tokenizer.eos_token_id
    return frozenset(int(word) for word in (*listed, own) if word is not None)


def drawing(search: Search, rows: Sequence[tuple[int, int]], begin: int) -> Any:
    """What makes the likeliest word a drawn one: scores, tempered and cut, with a Gumbel variate each (Maddison et al.
    2014, arXiv 1411.0030). `rows`: each row's number and how many words it has said; `begin`: words before those."""
    from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    if search.temperature <= 0:
        return LogitsProcessorList()
    cut = [TemperatureLogitsWarper(search.temperature)]
    cut += [TopKLogitsWarper(search.top_k)] if search.top_k else []
    cut += [TopPLogitsWarper(search.top_p)] if search.top_p < 1 else []
    numbers = torch.tensor([row for row, _ in rows]), torch.tensor([said for _, said in rows])

    def chance(ids: Tensor, scores: Tensor) -> Tensor:
        step = numbers[1] + ids.shape[1] - begin  # (B,) words that each row has said
        seeds = (numbers[0] * 1_000_003 + step) * 7_368_787 + search.seed
        drawn = torch.stack([_uniform(int(seed), scores.shape[1]) for seed in seeds]).to(scores)
        return scores - torch.log(-torch.log(drawn))

    return LogitsProcessorList([*cut, chance])


def _uniform(seed: int, count: int) -> Tensor:
    """(count,) numbers in (0, 1)."""
    drawn = torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn.clamp(1e-12, 1 - 1e-12)
