"""Language modelling: how a text goes on, word by word; of a conversation, what the assistant answers.

    bits per byte   - log2 p(text) / bytes of the text     means the same for every vocabulary
    perplexity      exp(- ln p(texts) / words of the model's own vocabulary)

Legend: N rows, B batch, U words that are to be said, V words of the vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from sartor.data import sayings
from sartor.data.chat import ANSWERS
from sartor.data.hints import Hints
from sartor.data.problem import Problem
from sartor.data.prose import PIECE, TEXT
from sartor.data.rows import Kind
from sartor.errors import BadInput
from sartor.predictions import Floats, Integers, Predictions, Scores
from sartor.reading import Reading
from sartor.telling import Telling
from sartor.worded import Worded
from sartor.wording import BITS, COST, TOKENS, bits_per_byte, in_words, measured, sizes

if TYPE_CHECKING:
    from torch import Tensor

    from sartor.batch import Batch
    from sartor.body import Body
    from sartor.data.rows import Rows
    from sartor.network import Network

PERPLEXITY = "perplexity"


class _OneText(Reading):
    """A column of conversations, or one of texts, under the names that the field gives them."""

    def claims(self, columns: Collection[str], hints: Hints) -> bool:
        alone = {c.strip().casefold() for c in columns if c not in hints.ignore} <= {TEXT, PIECE}
        return hints.target is None and not hints.kinds and ("messages" in columns or alone)

    def offers(self, kind: Kind) -> bool:
        return False

    def hinted(self, columns: Collection[str], hints: Hints) -> Hints:
        return sayings.aimed(columns, hints)

    def problems(self, rows: Rows, others: Mapping[str, Rows]) -> tuple[Problem, ...]:
        return sayings.alone(rows, others)


class _Continued(Telling):
    def told(self, predictions: Predictions, rows: Rows) -> list[dict[str, Any]]:
        return [{"prediction": text} for text in predictions.values]

    def mistakes(self, predictions: Predictions, rows: Rows, most: int) -> list[dict[str, Any]]:
        """The rows that the model finds hardest, byte by byte."""
        cost = predictions.measures.get(COST)
        if cost is None or rows.targets() is None:
            return []
        return in_words(predictions, rows, -cost / np.maximum(1, sizes(_to_say(rows))), most)


@dataclass(frozen=True, kw_only=True)
class CausalLM(Worded):
    """How a text goes on. A row's loss is the sum over its words, in units of the training rows' mean length: every
    word weighs the same. In a conversation only the answers of the assistant are learned."""

    layout: ClassVar[str] = "texts"
    reading: ClassVar[Reading] = _OneText(frozenset[Kind]({"text", "messages"}))
    telling: ClassVar[Telling] = _Continued("text-generation")

    max_new_tokens: int = 128
    """Words that are said at most when rows are to go on."""
    temperature: float = 0.0
    """0: the likeliest word each time; 1: as probable as the model takes them to be."""
    top_k: int = 0
    """Only the so many likeliest words are drawn; 0: any."""
    top_p: float = 1.0
    """Only the likeliest words that together have this probability are drawn."""
    generation_seed: int = 0

    def __post_init__(self) -> None:
        bounds = (
            ("label_smoothing", 0, 0.9),
            ("max_new_tokens", 1, 1 << 20),
            ("temperature", 0, 100),
            ("top_k", 0, 1 << 20),
            ("top_p", 1e-6, 1),
        )
        for name, low, high in bounds:
            if not low <= getattr(self, name) <= high:
                said = f"causal_lm.{name} is {getattr(self, name):g}"
                raise BadInput("VALUE_RANGE", said, fix=f"give at least {low:g} and at most {high:g}")

    def metrics(self) -> tuple[str, ...]:
        return (BITS, PERPLEXITY)

    def learn(self, rows: Rows) -> Self:
        if rows.targets() is None:
            fix = "give a column `text` or `messages`"
            raise BadInput("NO_TEXT", "the rows have no text to learn from", fix=fix, where=rows.source)
        if not int(sizes(_to_say(rows)).sum()):
            said = "no conversation has an answer of the assistant" if _talks(rows) else "every text is empty"
            raise BadInput("NO_TEXT", said, fix="give rows with something to be said", where=rows.source)
        return self

    def encode(self, rows: Rows, body: Body) -> Batch:
        """Rows that are to go on have nothing to be said yet."""
        import torch

        batch = body.encode(_columns(rows)) if rows.targets() is not None else _unsaid(len(rows))
        assert batch.counts is not None
        most = batch.counts.clamp(max=getattr(body, "max_length", 1 << 30)).float()
        unit = torch.full((len(rows),), max(1.0, float(most.mean())) if len(rows) else 1.0)
        return replace(batch, rows=torch.from_numpy(rows.numbers), dense={**batch.dense, "unit": unit})

    def answer(self, outputs: Tensor, rows: Rows) -> Predictions:
        """What the texts cost; how rows go on is said by `complete`."""
        return measured(outputs.numpy(), rows)

    def complete(self, said: Predictions, net: Network, rows: Rows) -> Predictions:
        """Rows that come without what is to be said go on; of others it is only told what that costs."""
        if rows.targets() is not None:
            return said
        from sartor.pretrained.speaking import Search

        body: Any = net.body
        search = Search(
            self.max_new_tokens,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            seed=self.generation_seed,
        )
        texts = np.empty(len(rows), dtype=object)
        texts[:] = body.say(_columns(rows), search, rows.numbers.tolist())
        return replace(said, values=texts)

    def score(self, predictions: Predictions, rows: Rows) -> Scores:
        """Bits per byte first; perplexity, where the model tells how many words it made of the texts."""
        bits = self._bits(predictions, rows)
        found = {BITS: float(bits.mean())}
        if TOKENS in predictions.measures:
            found[PERPLEXITY] = self.metric(PERPLEXITY, predictions, rows)(np.arange(len(rows)))
        return Scores(found, {BITS: bits}, bits)

    def metric(self, name: str, predictions: Predictions, rows: Rows) -> Callable[[Integers], float]:
        if name == BITS:
            bits = self._bits(predictions, rows)
            return lambda where: float(bits[where].mean())
        cost, words = (predictions.measures[key] for key in (COST, TOKENS))
        return lambda where: math.exp(min(700.0, float(cost[where].sum() / max(1.0, words[where].sum()))))

    def describe(self) -> dict[str, Any]:
        return {}

    def _bits(self, predictions: Predictions, rows: Rows) -> Floats:
        if rows.targets() is None:
            fix = "use `sartor predict` for rows that are to go on"
            raise BadInput("EVAL_NO_LABELS", "the rows have no texts to score", fix=fix, where=rows.source)
        found = bits_per_byte(predictions, sizes(_to_say(rows)))
        assert found is not None
        return found


def _columns(rows: Rows) -> dict[str, list[Any]]:
    (name,) = rows.schema.inputs
    return {rows.schema.kind(name): list(rows.column(name))}


def _talks(rows: Rows) -> bool:
    return rows.schema.kind(rows.schema.inputs[0]) == "messages"


def _to_say(rows: Rows) -> list[str]:
    """What of each row is to be said: its text, or all its answers."""
    (values,) = _columns(rows).values()
    if not _talks(rows):
        return ["" if v is None else str(v) for v in values]
    return ["".join(m["content"] for m in v or () if m["role"] == ANSWERS) for v in values]


def _unsaid(count: int) -> Batch:
    import torch

    from sartor.batch import Batch

    nothing = torch.zeros(count, dtype=torch.long)
    return Batch(nothing, torch.zeros(count + 1, dtype=torch.long), {}, counts=nothing)
