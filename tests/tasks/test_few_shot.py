"""Few-shot: what is learned from the training part, how held-out parts are asked, what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from sartor.asking import Shape
from sartor.data.rows import Rows
from sartor.data.split import Split
from sartor.episodic import classes_in, joined, trials
from sartor.errors import BadInput
from sartor.objectives.maml import Maml
from sartor.objectives.prototypes import Prototypes
from sartor.objectives.supervised import Supervised
from sartor.predictions import Predictions
from sartor.tasks.classification import Classification
from sartor.tasks.few_shot import FewShot
from text_samples import families, personal, sensors, served, table


def parts(rows: Rows, seed: int = 0, **given: Rows) -> Split:
    usual: dict[str, Rows | None] = {"validation": None, "test": None}
    return FewShot.reading.divide(rows, seed, **(usual | given))


def refused(call: Any) -> str:
    with pytest.raises(BadInput) as raised:
        call()
    return str(raised.value)


def test_without_groups_no_class_is_in_two_parts() -> None:
    made = parts(families(120))
    classes = [set(classes_in(part)) for part in (made.train, made.validation, made.test)]
    assert [len(c) for c in classes] == [8, 2, 2]
    assert len(set.union(*classes)) == 12
    assert made.how == "each 'label' in one part, seed 0"
    assert parts(families(120)).fingerprint == made.fingerprint != parts(families(120), seed=1).fingerprint


def test_with_groups_no_group_is_in_two_parts() -> None:
    made = parts(personal(120))
    readers = [set(part.columns["reader"]) for part in (made.train, made.validation, made.test)]
    assert [len(r) for r in readers] == [4, 1, 1]
    assert len(set.union(*readers)) == 6
    assert all(classes_in(part) == ("False", "True") for part in (made.train, made.validation, made.test))


def test_given_parts_stay_and_the_others_are_cut() -> None:
    rows = families(120)
    held = rows.take(np.arange(10))
    made = parts(rows, test=held)
    assert made.test is held
    assert [len(classes_in(part)) for part in (made.train, made.validation)] == [10, 2]
    assert made.how == "test as given; each 'label' in one part, seed 0"
    assert parts(rows, test=held, validation=held).how == "validation and test as given"


def test_rows_of_an_unknown_group_are_in_no_part() -> None:
    rows = personal(120)
    readers = [None if i < 3 else who for i, who in enumerate(rows.columns["reader"])]
    made = parts(replace(rows, columns={**rows.columns, "reader": readers}))
    assert sum(made.sizes().values()) == 117
    assert made.how == "each 'reader' in one part, seed 0; left out, since their 'reader' is unknown: 3 rows"


def test_labels_that_every_group_has_keep_their_outputs() -> None:
    task = FewShot().learn(personal(120))
    assert task.labels == ("False", "True")
    assert task.episode() == Shape(2, 1, 5, named=True)
    assert task.describe()["id2label"] == {0: "False", 1: "True"}


def test_other_classes_have_outputs_in_turn() -> None:
    task = FewShot(ways=4, shots=2, queries=3).learn(families(120))
    assert task.labels == ()
    assert task.episode() == Shape(4, 2, 3)
    assert task.describe()["id2label"] == {0: "class 1", 1: "class 2", 2: "class 3", 3: "class 4"}
    assert FewShot().learn(families(120)).episode().ways == 5


def test_numbers_are_learned_group_by_group() -> None:
    rows = sensors(120)
    task = FewShot(shots=3).learn(rows)
    known = np.asarray(rows.targets(), dtype=float)
    assert (task.number, task.mean, task.scale) == (True, known.mean(), known.std())
    assert task.episode() == Shape(1, 3, 5)
    assert task.metrics()[0] == "mse"


def test_trials_are_the_same_for_everyone_and_hide_what_is_asked() -> None:
    rows, task = families(120), FewShot(trials=7, shots=2, queries=2).learn(families(120))
    seen: list[Rows] = []

    def answer(asked: Rows) -> Predictions:
        seen.append(asked)
        return task.answer(torch.zeros(len(asked), 5), asked)

    said = task.asking.ask(task, answer, rows)
    assert len(seen) == 7
    assert len(said) == 7 * 20
    assert said.labels == ("1", "2", "3", "4", "5")
    for asked, places in zip(seen, trials(rows, task.episode(), 7), strict=True):
        told = asked.columns["label"]
        assert asked.numbers.tolist() == rows.numbers[places].tolist()
        assert told[:10] == [rows.columns["label"][i] for i in places[:10]]
        assert told[10:] == [None] * 10
    assert len(task.asking.ask(task, answer, rows, 3)) == 3 * 20


def test_scores_are_means_over_episodes() -> None:
    rows, task = families(120), FewShot(ways=3, trials=6, queries=2).learn(families(120))
    shape, draw = task.episode(), np.random.default_rng(0)

    def answer(asked: Rows) -> Predictions:
        return task.answer(torch.from_numpy(draw.normal(size=(len(asked), 3))), asked)

    said = task.asking.ask(task, answer, rows)
    right, likely = [], []
    for number, places in enumerate(trials(rows, shape, 6)):
        classes = sorted({rows.columns["label"][i] for i in places})
        for place in range(shape.support, shape.rows):
            at, truth = number * shape.rows + place, rows.columns["label"][places[place]]
            assert said.probabilities is not None
            right.append(said.values[at] == truth)
            likely.append(-np.log(said.probabilities[at, classes.index(truth)]))
    scores = task.score(said, rows)
    assert scores.unit == "episodes"
    assert scores.items["accuracy"] == pytest.approx(np.reshape(right, (6, 6)).mean(1))
    assert scores.metrics["log_loss"] == pytest.approx(np.mean(likely))


def test_rows_are_answered_by_the_examples_beside_them() -> None:
    columns = {"text": ["a", "b", "c", "d"], "label": ["x", "y", None, None]}
    rows = table(columns, {"text": "text", "label": "category"}, "label")
    task = FewShot().learn(families(120))
    said = task.answer(torch.tensor([[5.0, 0, 9], [0, 5, 9], [1, 0, 9], [0, 3, 9]]), rows)
    assert said.values.tolist() == ["x", "y", "x", "y"]
    assert said.labels == ("x", "y")
    assert said.probabilities is not None and said.probabilities.sum(1) == pytest.approx(1)


def test_a_request_brings_examples() -> None:
    rows, task = families(120), FewShot().learn(families(120))
    came: list[Rows] = []

    def answer(asked: Rows) -> Predictions:
        came.append(asked)
        return task.answer(torch.zeros(len(asked), 5), asked)

    alone = served(rows).take(np.arange(2))
    said = task.asking.served(task, answer, rows)(alone)
    assert said.rows.tolist() == alone.numbers.tolist()
    assert came[0].columns["label"][5:] == [None, None]
    assert None not in came[0].columns["label"][:5]


def test_rows_are_joined_under_the_columns_of_the_first() -> None:
    first, then = families(12), served(families(12, 1))
    both = joined(first, then)
    assert len(both) == 24
    assert both.columns["label"] == [*first.columns["label"], *[None] * 12]
    assert both.numbers.tolist() == [*first.numbers, *then.numbers]


BAD: dict[str, tuple[Any, str]] = {
    "too many examples": (
        lambda: check(FewShot(shots=9), families(120)),
        "error[FEWSHOT_ROWS]: sample.csv: an episode shows 9 and asks 5 of each class, and none in the train part has "
        "more than 10 rows. Fix: ask for fewer shots or queries.",
    ),
    "too many ways": (
        lambda: check(FewShot(), families(120)),
        "error[FEWSHOT_WAYS]: sample.csv: an episode has 5 classes of 6 rows, and the validation part has 2 such "
        "classes. Fix: ask for at most 2 ways.",
    ),
    "too many ways in training": (
        lambda: check(FewShot(ways=2), families(120), Prototypes(ways=9)),
        "error[FEWSHOT_WAYS]: sample.csv: an episode has 9 classes of 6 rows, and the train part has 8 such classes. "
        "Fix: ask for at most 8 ways.",
    ),
    "one class that is large enough": (
        lambda: FewShot(ways=2, shots=4).asking.ask(
            FewShot(ways=2, shots=4), lambda rows: None, of_labels(["a"] * 9 + ["b"] * 3)
        ),
        "error[FEWSHOT_WAYS]: sample.csv: an episode has 2 classes of 9 rows, and the data has 1 such classes. "
        "Fix: ask for fewer shots or queries, or give more rows.",
    ),
    "too many examples of a number": (
        lambda: check(FewShot(shots=40), sensors(120)),
        "error[FEWSHOT_ROWS]: sample.csv: an episode shows 40 and asks 5 of each 'place', and none in the train part "
        "has more than 20 rows. Fix: ask for fewer shots or queries.",
    ),
    "one group": (
        lambda: parts(personal(120).take(np.arange(0, 120, 12))),
        "error[SPLIT_UNITS]: sample.csv: there is only one 'reader', and each part needs its own. Fix: give more of "
        "them, or the validation and the test part as files of their own.",
    ),
    "two groups": (
        lambda: parts(personal(120).take([i for i in range(120) if i % 12 < 4])),
        "error[SPLIT_UNITS]: sample.csv: there are only 2 'reader', and each part needs its own. Fix: give more of "
        "them, or the validation and the test part as files of their own.",
    ),
    "numbers of no group": (
        lambda: FewShot().learn(replace(sensors(24), schema=replace(sensors(24).schema, group=None))),
        "error[FEWSHOT_GROUP]: sample.csv: 'label' is a number, and nothing says which rows are one small task. "
        "Fix: name the column that does: --group NAME.",
    ),
    "one class": (
        lambda: FewShot().learn(of_labels(["a"] * 9)),
        "error[LABEL_SINGLE]: sample.csv: every row has the label 'a'. Fix: add rows of another class, or pass another "
        "--target.",
    ),
    "one number": (
        lambda: FewShot().learn(replace(sensors(12), columns={**sensors(12).columns, "label": [1.0] * 12})),
        "error[LABEL_SINGLE]: sample.csv: every row has the same target. Fix: pass another --target.",
    ),
    "mixed groups with the same labels": (
        lambda: FewShot(mixed=True).learn(personal(120)),
        "error[FEWSHOT_MIXED]: sample.csv: some labels are in several groups, and mixed episodes tell classes apart by "
        "their label alone. Fix: leave mixed out.",
    ),
    "a time column": (
        lambda: parts(replace(families(24), schema=replace(families(24).schema, time="text"))),
        "error[FEWSHOT_TIME]: sample.csv: whole groups or classes are parted, and 'text' would cut through them. "
        "Fix: leave --time out.",
    ),
    "no examples": (
        lambda: FewShot().answer(torch.zeros(3, 5), served(families(3))),
        "error[FEWSHOT_EXAMPLES]: sample.csv: no row has a label: the classes are those that some rows name. "
        "Fix: give a few rows of each class with their 'label' beside those to answer.",
    ),
    "an unknown label": (
        lambda: FewShot().learn(personal(120))._targets(of_labels(["True", "Maybe"])),
        'error[LABEL_UNKNOWN]: sample.csv:9: label "Maybe" is not one of: False, True. '
        "Fix: correct the row, or train with rows that have this label.",
    ),
    "no ways": (lambda: FewShot(ways=1), "error[VALUE_RANGE]: few_shot.ways is 1. Fix: give at least 2."),
    "no shots": (lambda: FewShot(shots=0), "error[VALUE_RANGE]: few_shot.shots is 0. Fix: give at least 1."),
    "an objective of single rows": (
        lambda: Supervised().suits(FewShot()),
        "error[OBJECTIVE_TASK]: supervised learns from single rows, and few_shot is asked in episodes. "
        "Fix: use --objective prototypes, maml, anil or reptile.",
    ),
    "an objective of episodes": (
        lambda: Maml().suits(Classification()),
        "error[OBJECTIVE_TASK]: maml learns from episodes, and classification is asked row by row. "
        "Fix: use --task few_shot, or --objective supervised.",
    ),
}


def of_labels(labels: list[str]) -> Rows:
    texts = [f"text {i}" for i in range(len(labels))]
    return table({"text": texts, "label": labels}, {"text": "text", "label": "category"}, "label")


def check(task: FewShot, rows: Rows, objective: Any = None) -> None:
    made = parts(rows)
    task = task.learn(made.train)
    task.asking.refuse(task, made, (objective or Maml()).shape(task))


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_asked_is_said_in_a_sentence(name: str) -> None:
    call, said = BAD[name]
    assert refused(call) == said


def test_what_is_seen_in_training_is_no_test_of_what_was_not() -> None:
    rows = families(120)
    found = FewShot.reading.problems(rows, {"test": rows.take(np.arange(12))})
    said = (
        f"error[FEWSHOT_SEEN]: sample.csv:8: the 'label' '{rows.columns['label'][0]}' of the test part is in the "
        "training part too, in 12 rows. Fix: give a test part with others: what is measured is a 'label' that was "
        "never trained on."
    )
    assert said in [p.sentence() for p in found]


def test_classes_of_other_parts_may_be_others() -> None:
    made = parts(families(120))
    assert not [p for p in FewShot.reading.problems(made.train, {"test": made.test}) if p.severity == "error"]
