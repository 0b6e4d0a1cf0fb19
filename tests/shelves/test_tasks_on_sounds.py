"""What tasks must do whose texts are not aligned with what is read: as tests/shelves/test_tasks.py for others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sartor.data.rows import Rows
from sartor.errors import BadInput
from sartor.part import part, part_from_json
from sartor.predictions import Predictions
from sartor.task import Task
from sound_samples import spoken
from text_samples import served

SPELLED = ("speech_recognition", "speech_recognition:beam=4", "speech_recognition:form=exact")


class Case:
    def __init__(self, spelled: str) -> None:
        self.rows = spoken(30)
        task: Any = part("tasks", spelled)
        self.task: Task = task.learn(self.rows)
        self.body: Any = part("backbones", "speech:size=micro").build(self.task.layout)  # type: ignore[attr-defined]
        self.batch = self.task.encode(self.rows, self.body)

    def right(self, texts: list[str], sure: float) -> Tensor:
        """(U, C) outputs whose likeliest path spells the texts, as far as there are frames; a blank between letters."""
        labels = list(self.task.labels)  # type: ignore[attr-defined]
        rows = []
        for text, count in zip(texts, self.batch.counts.tolist(), strict=True):
            path = [p for c in text for p in (labels.index("|" if c == " " else c), 0)]
            rows.append(torch.tensor((path + [0] * count)[:count]))
        spelled = torch.nn.functional.one_hot(torch.cat(rows), len(labels)).float()
        return (2 * spelled - 1) * sure

    def marked(self, outputs: Tensor) -> Tensor:
        """As `say` keeps them."""
        return self.task.say(lambda _: outputs, self.batch)  # type: ignore[arg-type]

    def said(self, texts: list[str]) -> Predictions:
        return self.task.answer(self.marked(self.right(texts, 15.0)), self.rows)


@pytest.fixture(scope="module", params=SPELLED)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def truth(rows: Rows) -> list[str]:
    return [str(t) for t in rows.targets() or ()]


def turned(rows: Rows) -> list[str]:
    texts = truth(rows)
    return texts[1:] + texts[:1]


def test_a_perfect_answer_scores_the_best_there_is_and_a_shuffled_one_does_not(case: Case) -> None:
    assert case.task.score(case.said(truth(case.rows)), case.rows).metrics == {"wer": 0.0, "cer": 0.0}
    assert case.task.score(case.said(turned(case.rows)), case.rows).metrics["wer"] > 0.7


def test_the_headline_comes_first_and_the_evidence_averages_to_it(case: Case) -> None:
    scores = case.task.score(case.said(turned(case.rows)), case.rows)
    assert case.task.metrics() == tuple(scores.metrics) == ("wer", "cer")
    assert scores.evidence in scores.items
    for metric, items in scores.items.items():
        assert items.shape == (len(case.rows),)
        assert items.mean() == pytest.approx(scores.metrics[metric])


def test_a_metric_of_some_rows_is_that_of_those_rows(case: Case) -> None:
    said, some = case.said(turned(case.rows)), np.array([3, 3, 8, 20])
    for name in case.task.metrics():
        expected = case.task.score(said.take(some), case.rows.take(some)).metrics[name]
        assert case.task.metric(name, said, case.rows)(some) == pytest.approx(expected)


def test_runs_are_judged_better_where_they_are_right(case: Case) -> None:
    good, bad = (case.task.score(case.said(texts(case.rows)), case.rows) for texts in (truth, turned))
    assert good.losses.mean() < 0.1 * bad.losses.mean()
    assert np.isfinite(bad.losses).all()


def test_rows_are_encoded_and_answered_without_a_target(case: Case) -> None:
    without = case.task.encode(served(case.rows), case.body)
    assert torch.equal(without.counts, case.batch.counts)
    assert set(case.batch.dense) - set(without.dense) == {"transcript"}
    said = case.task.answer(case.marked(case.right(truth(case.rows), 15.0)), served(case.rows))
    assert list(said.values) == truth(case.rows)
    assert said.rows.tolist() == case.rows.numbers.tolist()


def test_rows_without_a_target_cannot_be_scored_or_learned_from(case: Case) -> None:
    with pytest.raises(BadInput, match=r"error\[EVAL_NO_LABELS\]: sample.csv: .* Fix: use `sartor predict`"):
        case.task.score(case.said(truth(case.rows)), served(case.rows))
    with pytest.raises(BadInput, match=r"error\[LABEL_COLUMN\]: sample.csv: the rows have no target column"):
        case.task.learn(served(case.rows))


def test_predictions_survive_the_file(case: Case, tmp_path: Path) -> None:
    said = case.said(turned(case.rows))
    bare = Predictions(said.rows, said.values)  # of a baseline: a text and nothing else
    for number, one in enumerate((said, bare)):
        one.save(tmp_path / f"{number}.parquet")
        again = Predictions.load(tmp_path / f"{number}.parquet")
        assert list(again.values) == list(one.values)
        assert again.values.dtype == one.values.dtype
        assert case.task.score(again, case.rows).metrics == case.task.score(one, case.rows).metrics


def test_the_loss_is_least_for_the_right_text_and_finite_where_there_are_too_few_frames(case: Case) -> None:
    best = case.task.loss(case.right(truth(case.rows), 15.0), case.batch)
    worse = case.task.loss(case.right(turned(case.rows), 15.0), case.batch)
    assert best.shape == (len(case.rows),)
    assert float(best.max()) < 1e-2
    assert float(worse.mean()) > 0.3
    assert (worse >= 0).all() and worse.isfinite().all()


def test_the_solved_head_beats_the_head_as_it_is_made(case: Case) -> None:
    """Features that say the answer: the frames' letters beside noise."""
    told = case.right(truth(case.rows), 1.0)
    features = torch.randn(len(told), case.body.width, generator=torch.Generator().manual_seed(0))
    features[:, : told.shape[1]] = told
    head: Any = case.task.head(case.body)
    before = float(case.task.loss(head(features), case.batch).detach().mean())
    assert set(case.task.solve(features, case.batch, head, 0)) == {"penalty", "held_out_loss"}
    assert float(case.task.loss(head(features), case.batch).detach().mean()) < 0.3 * before


def test_what_it_learned_survives_the_disk(case: Case) -> None:
    assert part_from_json("tasks", json.loads(json.dumps(case.task.to_json()))) == case.task
    fresh: Any = part("tasks", case.task.spelled())
    assert fresh.learn(case.rows) == case.task


def test_its_description_is_a_transformers_configuration(case: Case) -> None:
    from transformers import Wav2Vec2BertConfig

    told = case.task.describe()
    assert Wav2Vec2BertConfig(**told).vocab_size == told["num_labels"] == len(told["id2label"])
    assert told["id2label"][0] == "<pad>"
