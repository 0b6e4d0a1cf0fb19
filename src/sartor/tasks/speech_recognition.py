"""Speech recognition: the text that is said in a sound, character by character (CTC: Graves et al. 2006).

Scored by the word error rate, as speech has been since the NIST evaluations: the edits that turn what was answered into
what was said, over all words of all rows; beside it the same for characters.

Legend: N rows, B batch, U frames of all rows, C outputs, L characters of the longest text, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from sartor.classical.transcripts import Distances, distances, linearised, spoken
from sartor.data import checks, sounds
from sartor.data.hints import Hints, called
from sartor.data.inputs import inputs
from sartor.data.media import Media
from sartor.data.problem import Problem, places, rows_of
from sartor.data.rows import Rows
from sartor.errors import BadInput
from sartor.part import learned
from sartor.predictions import Floats, Integers, Predictions, Scores
from sartor.reading import Reading
from sartor.task import Task
from sartor.telling import Telling, audible

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sartor.batch import Batch
    from sartor.body import Body
    from sartor.network import Network

SOUNDS = ("audio", "sound", "speech", "wav", "clip")
TRANSCRIPTS = ("text", "sentence", "transcript", "transcription", "normalized_text")
"""Names of columns as the field writes them, the usual one first."""
LABELS = ("label", "labels", "target", "class", "y")
"""Columns of these names make a table one of several tasks, which the user has to choose from."""
BLANK, UNKNOWN, SPACE = "<pad>", "<unk>", "|"
"""As transformers' tokenizers of CTC models call them."""
TEXT = "transcript"
"""Name of the encoded texts in a batch."""
FASTEST = 40.0
"""Characters a second: nobody speaks faster."""
TEMPERATURES = (1.0, 1.5, 2.0, 3.0, 5.0)
MOST = 20_000
"""Frames that the first head is fitted on."""
PENALTY = 1e-3


class _Spoken(Reading):
    """A column of sounds and one of what is said in them."""

    def claims(self, columns: Collection[str], hints: Hints) -> bool:
        text = hints.target or called(columns, TRANSCRIPTS)
        sounding = bool(called(columns, SOUNDS)) or "audio" in hints.kinds.values()
        free = hints.target is not None or not called(columns, LABELS)
        return sounding and free and text is not None and text.strip().casefold() in TRANSCRIPTS

    def hinted(self, columns: Collection[str], hints: Hints) -> Hints:
        target = hints.target or called(columns, TRANSCRIPTS)
        if target is None:
            return hints
        kinds = {target: "text"} | dict(hints.kinds)
        reasons = {} if target in hints.kinds else {target: "what is said in the sound"}
        return replace(hints, target=target, kinds=kinds, reasons=reasons)

    def problems(self, rows: Rows, others: Mapping[str, Rows]) -> tuple[Problem, ...]:
        """Texts that are too long for their sounds too, and texts in which nothing can be heard."""
        found = checks.check(rows, others)
        return (*found, *(p for part in (rows, *others.values()) for p in _unfit(part)))


class _Told(Telling):
    """The text, as it was heard."""

    def notes(self, task: Task) -> tuple[str, ...]:
        form = getattr(task, "form", "plain")
        said = "in lower case and without punctuation" if form == "plain" else "as it is written"
        return (f"Texts are learned, answered and compared {said}; characters that training never saw are never said.",)

    def told(self, predictions: Predictions, rows: Rows) -> list[dict[str, Any]]:
        """`prediction`: the text."""
        return [{"prediction": str(text)} for text in predictions.values]

    def mistakes(self, predictions: Predictions, rows: Rows, most: int) -> list[dict[str, Any]]:
        """The rows with the most wrong words."""
        names = rows.schema.reading("audio")
        truths = list(rows.targets() or ())
        if not truths:
            return []
        wrong = distances(*([spoken(str(t), "plain") for t in ts] for ts in (truths, predictions.values))).words
        order = sorted(np.flatnonzero(wrong > 0).tolist(), key=lambda i: (-wrong[i], i))
        return [
            {
                "text": str(rows.columns[names[0]][i]) if names else "",
                "label": truths[i],
                "prediction": str(predictions.values[i]),
                "probability": None,
                "off": f"{int(wrong[i])} word{'' if wrong[i] == 1 else 's'}",
                "row": int(rows.numbers[i]),
                "line": int(rows.lines[i]),
            }
            | audible(rows, i)
            for i in order[:most]
        ]


@dataclass(frozen=True, kw_only=True)
class SpeechRecognition(Task):
    """Which text is said. A loss is -log of its probability over all alignments, in units of the training texts' mean
    length.

    form   `plain`: lower case without punctuation, apostrophes inside words left; `exact`: as it is written
    beam   texts that are followed at a time when the likeliest is sought; 1: the likeliest path alone
    """

    layout: ClassVar[str] = "frames"
    reading: ClassVar[Reading] = _Spoken(frozenset({"text"}))
    telling: ClassVar[Telling] = _Told("automatic-speech-recognition")
    several: ClassVar[bool] = False

    form: Literal["plain", "exact"] = "plain"
    beam: int = 1
    labels: tuple[str, ...] = learned(())
    """The outputs: blank, unknown, the space between words, and every character of the training texts."""
    mean_length: float = learned(1.0)
    """Characters in a training text."""

    def __post_init__(self) -> None:
        if not 1 <= self.beam <= 1000:
            said = f"speech_recognition.beam is {self.beam}"
            raise BadInput("VALUE_RANGE", said, fix="give at least 1 and at most 1000")

    def metrics(self) -> tuple[str, ...]:
        return ("wer", "cer")

    def learn(self, rows: Rows) -> Self:
        texts = self._texts(rows)
        if texts is None:
            raise BadInput(
                "LABEL_COLUMN", "the rows have no target column", fix="pass --target NAME", where=rows.source
            )
        characters = sorted({c for text in texts for c in text} - {" "})
        if not characters:
            fix = "pass another --target, or --task speech_recognition:form=exact"
            raise BadInput("TEXT_NONE", "no row has a text that can be heard", fix=fix, where=rows.source)
        mean = sum(map(len, texts)) / len(texts)
        return self.with_settings(labels=(BLANK, UNKNOWN, SPACE, *characters), mean_length=max(1.0, mean))

    def encode(self, rows: Rows, body: Body) -> Batch:
        import torch

        batch = body.encode(inputs(rows, body.reads))
        texts = self._texts(rows)
        dense = batch.dense if texts is None else {**batch.dense, TEXT: torch.from_numpy(self._places(texts))}
        return replace(batch, rows=torch.from_numpy(rows.numbers), dense=dense)

    def head(self, body: Body) -> nn.Module:
        from torch import nn

        head = nn.Linear(body.width, len(self.labels))
        nn.init.normal_(head.weight, std=0.02)
        nn.init.zeros_(head.bias)
        return head

    def solve(self, features: Tensor, batch: Batch, head: nn.Module, seed: int) -> dict[str, Any]:
        """A fifth of the rows held out to say how good the head is; no penalty is chosen."""
        import torch

        from sartor.engine.ctc import fit_head, losses

        assert batch.counts is not None and isinstance(head, torch.nn.Linear)
        order = torch.from_numpy(np.random.default_rng(seed).permutation(len(batch)))
        order = order[: max(2, int((batch.counts[order].cumsum(0) <= MOST).sum()))]
        held, rest = order[: max(1, len(order) // 5)], order[max(1, len(order) // 5) :]
        rest = rest if len(rest) else held

        def parts(where: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            assert batch.counts is not None
            return features[batch.units(where)], batch.counts[where], batch.dense[TEXT][where]

        fit_head(*parts(rest), head, PENALTY, steps=50)
        x, counts, texts = parts(held)
        with torch.no_grad():
            loss = float(losses(head(x), counts, texts).mean()) / self.mean_length
        return {"penalty": PENALTY, "held_out_loss": loss}

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """(B,)"""
        from sartor.engine.ctc import losses

        assert batch.counts is not None
        found: Tensor = losses(outputs, batch.counts, batch.dense[TEXT]) / self.mean_length
        return found

    def say(self, net: Network, batch: Batch) -> Tensor:
        """(U, C + 1): the outputs, and 1 where a row begins."""
        import torch

        assert batch.counts is not None
        outputs: Tensor = net(batch)
        begins = torch.zeros(len(outputs), 1, device=outputs.device)
        begins[(batch.counts.cumsum(0) - batch.counts).to(outputs.device)] = 1.0
        return torch.cat([outputs.float(), begins], 1)

    def answer(self, outputs: Tensor, rows: Rows) -> Predictions:
        """The text of the likeliest path, or of the best of a beam, and how likely every output is in each frame."""
        import torch

        from sartor.engine.ctc import beam, greedy

        scores = outputs[:, :-1].double()
        scores[:, 1] = -torch.inf  # what training never saw is never said
        probabilities = torch.softmax(scores, -1).numpy()
        ends = np.append(np.flatnonzero(outputs[:, -1].numpy() > 0.5), len(outputs))
        texts = []
        for a, b in pairwise(ends.tolist()):
            stretch = probabilities[a:b]
            texts.append(self._worded(greedy(stretch) if self.beam == 1 else beam(stretch, self.beam)))
        values = np.empty(len(rows), dtype=object)
        values[:] = texts
        return Predictions(rows.numbers, values, self.labels, probabilities, ends.astype(np.int64))

    def score(self, predictions: Predictions, rows: Rows) -> Scores:
        """Word error rate first, over all words of all rows; character error rate.

        Runs are judged by how unlikely they find the texts, behind a temperature: how sure a network sounds is no
        reason to stop it, and errors alone say nothing before the first word is right."""
        found = self._distances(predictions, rows)
        wer, cer = found.rates()
        items = {
            "wer": linearised(found.words, found.word_counts),
            "cer": linearised(found.characters, found.character_counts),
        }
        return Scores({"wer": wer, "cer": cer}, items, self._judged(predictions, rows, found))

    def metric(self, name: str, predictions: Predictions, rows: Rows) -> Callable[[Integers], float]:
        found = self._distances(predictions, rows)
        return lambda where: found.rates(where)[self.metrics().index(name)]

    def describe(self) -> dict[str, Any]:
        """With the vocabulary of a transformers tokenizer; its defaults would sum losses and let them be infinite."""
        return {
            "num_labels": len(self.labels),
            "id2label": dict(enumerate(self.labels)),
            "label2id": {label: i for i, label in enumerate(self.labels)},
            "vocab_size": len(self.labels),
            "pad_token_id": 0,
            "ctc_loss_reduction": "mean",
            "ctc_zero_infinity": True,
        }

    def _texts(self, rows: Rows) -> list[str] | None:
        """What is to be said of each row; None where the rows have no targets."""
        targets = rows.targets()
        return None if targets is None else [spoken(str(t or ""), self.form) for t in targets]

    def _places(self, texts: list[str]) -> Integers:
        """(N, L) the outputs that spell each text, -1 behind its end."""
        place = {label: i for i, label in enumerate(self.labels)} | {" ": self.labels.index(SPACE)}
        out = np.full((len(texts), max(1, *map(len, texts))), -1, dtype=np.int64)
        for row, text in zip(out, texts, strict=True):
            row[: len(text)] = [place.get(c, 1) for c in text]
        return out

    def _worded(self, path: Integers) -> str:
        return " ".join("".join(" " if self.labels[i] == SPACE else self.labels[i] for i in path).split())

    def _distances(self, predictions: Predictions, rows: Rows) -> Distances:
        known = self._texts(rows)
        if known is None:
            fix = "use `sartor predict` for rows without labels"
            raise BadInput("EVAL_NO_LABELS", "the rows have no labels to score against", fix=fix, where=rows.source)
        return distances(known, [spoken(str(text), self.form) for text in predictions.values])

    def _judged(self, predictions: Predictions, rows: Rows, found: Distances) -> Floats:
        """(N,) -log p of each text in units of the mean length, each half at the temperature that suits the other; of
        answers without probabilities the share of wrong characters."""
        import torch

        from sartor.engine.ctc import unlikeliness

        if predictions.probabilities is None or predictions.offsets is None:
            return np.asarray(found.characters / self.mean_length)
        texts = torch.from_numpy(self._places(self._texts(rows) or []))
        logs = torch.from_numpy(predictions.probabilities).float().clamp_min(1e-20).log()
        counts = torch.from_numpy(np.diff(predictions.offsets))
        each = np.stack(
            [
                unlikeliness(torch.log_softmax(logs / t, -1), counts, texts).numpy() / self.mean_length
                for t in TEMPERATURES
            ]
        )
        half = rows.numbers % 2
        out = np.empty(len(rows))
        for side in (0, 1):
            other = each[:, half != side]
            best = int(other.mean(1).argmin()) if other.shape[1] else 0
            out[half == side] = each[best, half == side]
        return out


def _unfit(rows: Rows) -> list[Problem]:
    """Texts that nobody could say in the time of their sound, and rows in which nothing is said."""
    names, targets = rows.schema.reading("audio"), rows.targets()
    if not names or targets is None:
        return []
    texts = [spoken(str(t or ""), "plain") for t in targets]
    cells: list[Media | None] = list(rows.column(names[0]))
    heard = [None if cell is None else sounds.listen(cell) for cell in cells]
    fast = [
        i
        for i, (text, h) in enumerate(zip(texts, heard, strict=True))
        if h is not None and h.problem is None and len(text) > 2 + FASTEST * h.seconds
    ]
    found = []
    if fast:
        i = fast[0]
        told = heard[i]
        assert told is not None
        said = f"the text is too long for its sound in {rows_of(len(fast))} ({len(texts[i])} characters in "
        fix = "look whether sounds and texts belong together; such rows teach nothing"
        said += f"{told.seconds:.2g} seconds)"
        found.append(Problem("AUD_TEXT", "warning", said, fix, len(fast), places(rows, fast)))
    empty = [i for i, (text, target) in enumerate(zip(texts, targets, strict=True)) if target and not text]
    if empty:
        said = f"the text has no letter and no digit in {rows_of(len(empty))}"
        fix = "correct them, or leave them where nothing is said"
        found.append(Problem("TEXT_NONE", "warning", said, fix, len(empty), places(rows, empty)))
    return found
