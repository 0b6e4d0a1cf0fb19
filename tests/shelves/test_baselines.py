"""What every baseline must do: run over each file on the shelf."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from image_samples import PICTURED, SHAPES, pictured
from item_samples import wandering
from sartor.baseline import Baseline, Fitted, State
from sartor.data.rows import Rows
from sartor.part import names, part, part_from_json
from sartor.predictions import Predictions
from sartor.task import Task
from sound_samples import SHAPES as SOUNDS
from sound_samples import SOUNDED, sounded
from table_samples import GRADES, TABLED, graded
from text_samples import KINDS, TOPICS, labelled, served, table, task_of

OTHERS: dict[frozenset[str], dict[str, Any]] = {
    frozenset({"image"}): PICTURED,
    frozenset({"audio"}): SOUNDED,
    frozenset({"items"}): {"histories": wandering},
}
"""Samples for baselines that read no text."""


@dataclass(frozen=True)
class Case:
    baseline: Baseline
    task: Task
    train: Rows
    test: Rows
    fitted: Fitted


def kinds(name: str) -> dict[str, Any]:
    """Samples that the baseline can read and learn from."""
    if "sides" in made(name).layouts:  # pairs have a suite of their own: test_tasks_on_pairs.py
        return {}
    read = made(name).reads
    every = OTHERS.get(read, TABLED if "number" in read else KINDS)
    return {k: sample for k, sample in every.items() if kind(sample(1, 0)) in made(name).predicts}


def kind(rows: Rows) -> str:
    """Of what is predicted."""
    return rows.schema.kind(str(rows.schema.target))


def one_label(name: str) -> Any:
    """The sample of one label a row, and its labels: `(count, seed, labels) -> rows`."""
    if "number" in made(name).reads:
        return graded, GRADES
    if made(name).reads == {"audio"}:
        return sounded, SOUNDS
    return (pictured, SHAPES) if made(name).reads == {"image"} else (labelled, tuple(TOPICS))


def made(name: str) -> Baseline:
    found = part("baselines", name)
    assert isinstance(found, Baseline)
    return found


LABELLING = [name for name in names("baselines") if "category" in made(name).predicts]


@pytest.fixture(scope="module", params=[(n, k) for n in names("baselines") for k in kinds(n)], ids="-".join)
def case(request: pytest.FixtureRequest) -> Case:
    name, kind = request.param
    baseline, train, test = made(name), kinds(name)[kind](60, 0), kinds(name)[kind](25, 1)
    task = task_of(train)
    return Case(baseline, task, train, test, baseline.fit(task, train, 3))


def same(a: Predictions, b: Predictions) -> bool:
    if a.probabilities is not None and not np.array_equal(a.probabilities, b.probabilities):
        return False
    return list(a.values) == list(b.values) and a.labels == b.labels and list(a.rows) == list(b.rows)


def test_each_row_is_answered_under_its_own_number(case: Case) -> None:
    assert list(case.fitted.predict(case.test).rows) == list(case.test.numbers)


def test_probabilities_are_possible_and_name_every_label(case: Case) -> None:
    said = case.fitted.predict(case.test)
    if kind(case.train) == "items":
        assert said.labels == case.task.items
        np.testing.assert_allclose(said.probabilities.sum(1), 1, atol=1e-9)
        return
    if not case.task.labels:
        assert said.probabilities is None
        assert said.labels == ()
        assert np.isfinite(said.values.astype(float)).all()
        return
    assert said.labels == case.task.labels
    answers = len(case.test) if said.offsets is None else sum(map(len, said.values))
    assert said.probabilities.shape == (answers, len(case.task.labels))
    if said.boxes is not None:  # a box is of the class that it is said of, and no chance of others is asked for
        assert said.boxes.shape == (answers, 4)
        assert ((said.probabilities >= 0) & (said.probabilities <= 1)).all()
        return
    possible = said.probabilities if said.offsets is None else said.probabilities + 1e-12  # steps may be forbidden
    assert (possible > 0).all()
    assert (said.probabilities < 1).all()
    if not case.task.several:
        np.testing.assert_allclose(said.probabilities.sum(1), 1, atol=1e-9)


def test_the_answer_is_what_the_probabilities_say(case: Case) -> None:
    said = case.fitted.predict(case.test)
    if said.offsets is not None:  # the best path, which is not made of the best tags
        assert [len(tags) for tags in said.values] == np.diff(said.offsets).tolist()
        return
    for value, row in zip(said.values, [] if said.probabilities is None else said.probabilities, strict=False):
        if kind(case.train) == "items":
            first = sorted(row, reverse=True)[: len(value)]
            assert [row[said.labels.index(item)] for item in value] == first
        elif case.task.several:
            assert value == tuple(label for label, p in zip(said.labels, row, strict=True) if p > 0.5)
        else:
            assert value == said.labels[row.argmax()]


def test_it_is_restored_without_a_pickle_and_answers_the_same(case: Case, tmp_path: Path) -> None:
    state = case.fitted.state()
    save_file({k: np.ascontiguousarray(v) for k, v in state.arrays.items()}, tmp_path / "arrays.safetensors")
    read = State(json.loads(json.dumps(state.values, allow_nan=False)), load_file(tmp_path / "arrays.safetensors"))
    again = part_from_json("baselines", json.loads(json.dumps(case.baseline.to_json())))
    task = part_from_json("tasks", json.loads(json.dumps(case.task.to_json())))
    assert again == case.baseline
    assert same(again.restore(task, read).predict(case.test), case.fitted.predict(case.test))


def test_the_same_seed_gives_the_same_answers(case: Case) -> None:
    assert same(case.baseline.fit(case.task, case.train, 3).predict(case.test), case.fitted.predict(case.test))


def test_targets_are_not_looked_at_when_answering(case: Case) -> None:
    assert same(case.fitted.predict(served(case.test)), case.fitted.predict(case.test))


def test_the_task_can_score_it(case: Case) -> None:
    scores = case.task.score(case.fitted.predict(case.test), case.test)
    assert all(np.isfinite(value) for value in scores.metrics.values())


@pytest.mark.parametrize("name", LABELLING)
def test_a_label_without_training_rows_stays_possible(name: str) -> None:
    sample, labels = one_label(name)
    rows = sample(40)
    task = task_of(rows)
    train = rows.take([i for i, label in enumerate(rows.targets()) if label != labels[1]])
    probabilities = made(name).fit(task, train).predict(rows).probabilities
    assert (probabilities > 0).all()
    assert probabilities[:, task.labels.index(labels[1])].max() < 0.01


@pytest.mark.parametrize("name", LABELLING)
def test_two_labels_and_ten_rows(name: str) -> None:
    sample, labels = one_label(name)
    rows = sample(10, labels=labels[:2])
    said = made(name).fit(task_of(rows), rows).predict(served(sample(4, 1)))
    np.testing.assert_allclose(said.probabilities.sum(1), 1, atol=1e-9)


@pytest.mark.parametrize("name", [n for n in LABELLING if one_label(n)[0] is labelled])
def test_an_empty_text(name: str) -> None:
    rows = labelled(10, labels=("animal", "food"))
    said = made(name).fit(task_of(rows), rows).predict(served_texts(["", "a cat", " \t", "日本 🙂"]))
    np.testing.assert_allclose(said.probabilities.sum(1), 1, atol=1e-9)


@pytest.mark.parametrize("name", LABELLING)
def test_one_training_row(name: str) -> None:
    rows = one_label(name)[0](30)
    said = made(name).fit(task_of(rows), rows.take([0])).predict(rows)
    assert set(said.values) == {rows.targets()[0]}


def served_texts(texts: list[str]) -> Rows:
    return table({"text": texts}, {"text": "text"}, None)
