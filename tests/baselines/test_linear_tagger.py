"""The linear tagger: it learns what words and neighbours say; its weights are an optimum."""

from __future__ import annotations

import numpy as np
import pytest

from sartor.baselines.linear_tagger import FittedTagger, LinearTagger
from sartor.classical.chain import expected, legal, path_scores
from sartor.data.tokens import of_rows
from sartor.errors import BadInput
from text_samples import spanned, table, task_of


def test_it_finds_spans_of_words_it_knows() -> None:
    train, test = spanned(200, 0, None), spanned(60, 1, None)
    task = task_of(train)
    said = LinearTagger().fit(task, train).predict(test)
    assert task.score(said, test).metrics["f1"] > 0.9


def test_neighbours_decide_where_the_word_says_nothing() -> None:
    """The same word is a name behind "mr" only."""
    rows = [["mr", "bank", "came"], ["the", "bank", "came"]] * 30
    tags = [["O", "B-PER", "O"], ["O", "O", "O"]] * 30
    made = table({"tokens": rows, "label": tags}, {"tokens": "tokens", "label": "tags"}, "label")
    task = task_of(made)
    said = LinearTagger().fit(task, made).predict(made)
    assert [list(v) for v in said.values] == tags


def test_its_weights_are_an_optimum() -> None:
    rows = spanned(30, 0, None)
    task = task_of(rows)
    fitted = LinearTagger(C=0.5).fit(task, rows)
    assert isinstance(fitted, FittedTagger)
    x, lengths = fitted.contexts.matrix(of_rows(rows)), np.array([len(t) for t in of_rows(rows)])
    known, allowed = fitted.tagging.known(rows), legal(task.labels)  # type: ignore[attr-defined]

    def loss(weight: np.ndarray, steps: np.ndarray) -> float:
        said, chain = np.asarray(x @ weight, dtype=np.float64), steps + allowed
        found = expected(said, chain, lengths).log_sums.sum() - path_scores(said, chain, lengths, known).sum()
        return float(found + ((weight**2).sum() + (steps**2).sum()) / (2 * 0.5))

    best, draw = loss(fitted.weight, fitted.steps), np.random.default_rng(0)
    for scale in (0.003, 0.01, 0.03):
        moved = [w + draw.normal(scale=scale, size=w.shape).astype(np.float32) for w in (fitted.weight, fitted.steps)]
        assert loss(*moved) > best


def test_rows_without_tokens_are_answered() -> None:
    train = spanned(30)
    said = (
        LinearTagger()
        .fit(task_of(train), train)
        .predict(table({"tokens": [[], ["cat"], []]}, {"tokens": "tokens"}, None))
    )
    assert [len(v) for v in said.values] == [0, 1, 0]


def test_a_penalty_below_zero_is_refused() -> None:
    with pytest.raises(BadInput) as caught:
        LinearTagger(C=0)
    assert str(caught.value) == "error[VALUE_RANGE]: linear_tagger.C is 0. Fix: give a number above 0."
