"""Character n-grams (Witten and Bell 1991): what every language model must beat. Of few texts it is hard to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sartor.baseline import Baseline, Fitted, State
from sartor.classical.characters import Characters, learn, numbered
from sartor.data.inputs import inputs
from sartor.data.rows import Kind
from sartor.errors import BadInput
from sartor.predictions import Integers, Predictions
from sartor.wording import COST, TOKENS

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.task import Task


@dataclass(frozen=True, kw_only=True)
class NGram(Baseline):
    """How often each character came behind the ones before it."""

    reads: ClassVar[frozenset[str]] = frozenset({"text"})
    predicts: ClassVar[frozenset[Kind]] = frozenset({"text"})

    order: int = 5
    """Characters of the longest n-gram; of large alphabets fewer."""

    def __post_init__(self) -> None:
        if not 1 <= self.order <= 20:
            raise BadInput("VALUE_RANGE", f"ngram.order is {self.order}", fix="give at least 1 and at most 20")

    def answers(self, task: Task) -> bool:
        return task.layout == "texts"

    def fit(self, task: Task, rows: Rows, seed: int = 0) -> Fitted:
        return Counted(task, learn(inputs(rows, {"text"})["text"], self.order))

    def restore(self, task: Task, state: State) -> Fitted:
        arrays = {name: np.asarray(values, dtype=np.int64) for name, values in state.arrays.items()}
        grams = tuple((arrays[f"keys {k}"], arrays[f"counts {k}"]) for k in range(1, len(arrays) // 2 + 1))
        return Counted(task, Characters(state.values["alphabet"], grams))


@dataclass(frozen=True)
class Counted(Fitted):
    """The counts, and the task that says how a text goes on."""

    task: Task
    model: Characters

    def predict(self, rows: Rows) -> Predictions:
        texts = np.empty(len(rows), dtype=object)
        read = inputs(rows, {"text"})["text"]
        if rows.targets() is None:
            texts[:] = [self._on(text, number) for text, number in zip(read, rows.numbers.tolist(), strict=True)]
            return Predictions(rows.numbers, texts)
        words = np.array([len(text) + 1 for text in read], dtype=np.float64)
        return Predictions(rows.numbers, texts, measures={COST: self.model.costs(read), TOKENS: words})

    def state(self) -> State:
        arrays: dict[str, Any] = {}
        for k, (keys, counts) in enumerate(self.model.grams, 1):
            arrays |= {f"keys {k}": keys, f"counts {k}": counts}
        return State({"alphabet": self.model.alphabet}, arrays)

    def _on(self, text: str, number: int) -> str:
        """How a text goes on: the likeliest character each time, or drawn, as the task says."""
        temperature = float(getattr(self.task, "temperature", 0.0))
        random = np.random.default_rng([int(getattr(self.task, "generation_seed", 0)), number])
        front = np.zeros(self.model.order, dtype=np.int64)
        line: Integers = np.append(front, numbered(text, self.model.alphabet))
        said = ""
        for _ in range(int(getattr(self.task, "max_new_tokens", 128))):
            p = self.model.next(line)
            warm = p ** (1 / temperature) if temperature > 0 else p
            place = int(random.choice(len(p), p=warm / warm.sum())) if temperature > 0 else int(p.argmax())
            if place == 1:
                break
            said += self.model.alphabet[place - 3]
            line = np.append(line, place)
        return said
