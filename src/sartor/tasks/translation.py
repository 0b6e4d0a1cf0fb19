"""Translation: a text said again in another language, or a shorter one, or any text that answers a text.

Scored by BLEU and chrF over all rows (sacreBLEU, Post 2018, arXiv 1804.08771), and by how few bits a byte of the right
text costs where a model knows.

Legend: N rows, B batch, U tokens that are to be said, V words of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from sartor.classical.overlap import METRICS, Overlap, overlap, signature
from sartor.data import sayings
from sartor.data.hints import Hints
from sartor.data.inputs import inputs
from sartor.data.problem import Problem
from sartor.data.rows import Kind
from sartor.errors import BadInput
from sartor.part import learned
from sartor.predictions import Integers, Predictions, Scores
from sartor.reading import Reading
from sartor.telling import Telling
from sartor.worded import Worded
from sartor.wording import BITS, bits_per_byte, in_words, measured, sizes

if TYPE_CHECKING:
    from torch import Tensor

    from sartor.batch import Batch
    from sartor.body import Body
    from sartor.data.rows import Rows
    from sartor.network import Network
    from sartor.task import Task


class _Pairs(Reading):
    """A column of sources and one of targets, under the names that the field gives them, or under the codes of their
    languages."""

    def claims(self, columns: Collection[str], hints: Hints) -> bool:
        return sayings.speaks(columns, hints)

    def offers(self, kind: Kind) -> bool:
        return False

    def hinted(self, columns: Collection[str], hints: Hints) -> Hints:
        source, target = sayings.pair(columns, hints)
        if source is None or target is None:
            missing = "source" if source is None else "target"
            fix = f"name it with --{'text' if source is None else 'target'}; the columns are: {', '.join(columns)}"
            raise BadInput("PAIR_COLUMN", f"nothing says which column holds the {missing} texts", fix=fix)
        kinds = {source: "text", target: "text", **hints.kinds}
        return replace(hints, text=(source,), target=target, kinds=kinds)

    def problems(self, rows: Rows, others: Mapping[str, Rows]) -> tuple[Problem, ...]:
        return sayings.problems(rows, others)


class _Texts(Telling):
    def notes(self, task: Task) -> tuple[str, ...]:
        assert isinstance(task, Translation)
        said = f"BLEU is sacreBLEU's, {signature(task.tokenize)}; in JSON it is a share, 0.25 for 25."
        search = f"the best of {task.num_beams} beams" if task.num_beams > 1 else "the likeliest word each time"
        return (said, f"Texts are found by {search}, length penalty {task.length_penalty:g}.")

    def told(self, predictions: Predictions, rows: Rows) -> list[dict[str, Any]]:
        return [{"prediction": text} for text in predictions.values]

    def mistakes(self, predictions: Predictions, rows: Rows, most: int) -> list[dict[str, Any]]:
        """The rows whose text shares least with the right one."""
        right = rows.targets()
        if right is None or any(text is None for text in predictions.values):
            return []
        return in_words(predictions, rows, overlap("chrf", predictions.values, right, "13a").each(), most)


@dataclass(frozen=True, kw_only=True)
class Translation(Worded):
    """Which text answers a text. A row's loss is the sum over its words, in units of the training rows' mean length:
    every word weighs the same."""

    layout: ClassVar[str] = "answers"
    reading: ClassVar[Reading] = _Pairs(frozenset[Kind]({"text"}))
    telling: ClassVar[Telling] = _Texts("translation")

    label_smoothing: float = 0.1
    """Share of the target that is spread over all words (Szegedy et al. 2016, arXiv 1512.00567)."""
    num_beams: int = 4
    """Texts that are followed at once; 1: the likeliest word each time."""
    length_penalty: float = 1.0
    """A text's log-probability is divided by its length to this power, where there are several beams."""
    max_new_tokens: int = 256
    tokenize: Literal["13a", "intl", "zh", "char", "none"] = "13a"
    """How BLEU parts words; `zh` for Chinese, `char` for other scripts without spaces."""
    ratio: float = learned(2.0)
    """Of how many times a source's length a text may be, and a few words more."""
    usual: float = learned(1.0)
    """Of how many times its source's length a text usually is."""
    spare: int = learned(8)

    def __post_init__(self) -> None:
        for name, low, high in (("label_smoothing", 0, 0.9), ("num_beams", 1, 64), ("max_new_tokens", 1, 4096)):
            if not low <= getattr(self, name) <= high:
                said = f"translation.{name} is {getattr(self, name):g}"
                raise BadInput("VALUE_RANGE", said, fix=f"give at least {low} and at most {high}")

    def metrics(self) -> tuple[str, ...]:
        return (*METRICS, BITS)

    def learn(self, rows: Rows) -> Self:
        signature(self.tokenize)  # what scores must be there before anything is trained
        right = rows.targets()
        if right is None:
            fix = "pass --target NAME"
            raise BadInput("LABEL_COLUMN", "the rows have no target texts", fix=fix, where=rows.source)
        (source,) = rows.schema.reading("text")
        both = zip(rows.column(source), right, strict=True)
        found = [len(said) / len(read) for read, said in both if read and said]
        if not found:
            return self
        return self.with_settings(ratio=float(max(1.0, 1.5 * np.quantile(found, 0.99))), usual=float(np.median(found)))

    def typical(self) -> Self:
        return self.with_settings(ratio=self.usual, spare=0)

    def encode(self, rows: Rows, body: Body) -> Batch:
        import torch

        from sartor.pretrained.seq2seq import SAID

        columns = inputs(rows, body.reads)
        right = rows.targets()
        said = {} if right is None else {SAID: ["" if text is None else str(text) for text in right]}
        batch = body.encode({**columns, **said})
        assert batch.counts is not None
        unit = torch.full((len(rows),), max(1.0, float(batch.counts.float().mean())))
        return replace(batch, rows=torch.from_numpy(rows.numbers), dense={**batch.dense, "unit": unit})

    def answer(self, outputs: Tensor, rows: Rows) -> Predictions:
        """What the right texts cost; the texts themselves are said by `complete`."""
        return measured(outputs.numpy(), rows)

    def complete(self, said: Predictions, net: Network, rows: Rows) -> Predictions:
        from sartor.pretrained.speaking import Search

        body: Any = net.body
        search = Search(self.max_new_tokens, self.num_beams, self.length_penalty)
        texts = np.empty(len(rows), dtype=object)
        texts[:] = body.say(inputs(rows, body.reads)["text"], search, self.ratio, self.spare)
        return replace(said, values=texts)

    def score(self, predictions: Predictions, rows: Rows) -> Scores:
        """BLEU first, where there are texts; chrF; bits per byte, where the model tells."""
        found = {name: one.score() for name, one in self._overlaps(predictions, rows).items()}
        bits = bits_per_byte(predictions, sizes(rows.targets() or ()))
        items = {} if bits is None else {BITS: bits}
        return Scores({**found, **{name: float(each.mean()) for name, each in items.items()}}, items, bits)

    def metric(self, name: str, predictions: Predictions, rows: Rows) -> Callable[[Integers], float]:
        found = self._overlaps(predictions, rows, name)
        if name in found:
            return found[name].score
        bits = bits_per_byte(predictions, sizes(rows.targets() or ()))
        assert bits is not None
        return lambda where: float(bits[where].mean())

    def describe(self) -> dict[str, Any]:
        return {}

    def _overlaps(self, predictions: Predictions, rows: Rows, only: str = "") -> dict[str, Overlap]:
        right = rows.targets()
        if right is None:
            fix = "use `sartor predict` for rows without targets"
            raise BadInput("EVAL_NO_LABELS", "the rows have no texts to score against", fix=fix, where=rows.source)
        if any(text is None for text in predictions.values):
            return {}
        texts = ["" if text is None else str(text) for text in right]
        return {n: overlap(n, predictions.values, texts, self.tokenize) for n in METRICS if only in ("", n)}
