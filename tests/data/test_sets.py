"""Several data sets as one table, and back; under the schema of a bundle; their names and their splits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sartor.data import joint, sets
from sartor.data.hints import Hints
from sartor.data.read import read
from sartor.data.rows import Schema
from sartor.data.sources import Source, named, sources
from sartor.data.split import split
from sartor.errors import BadInput
from text_samples import labelled, measured, several


def refusal(call: Any) -> str:
    with pytest.raises(BadInput) as raised:
        call()
    return str(raised.value)


def test_every_set_comes_back_as_it_was() -> None:
    made = {"topic": labelled(12), "cost": measured(7)}
    rows = sets.join(made)
    assert len(rows) == 19
    assert len(set(rows.numbers.tolist())) == 19
    shuffled = rows.take(np.random.default_rng(0).permutation(19))
    for name, own in made.items():
        back = sets.one(shuffled, name)
        order = np.argsort(back.numbers)
        assert back.schema == own.schema
        assert back.source == own.source
        assert back.take(order).columns == {column: list(values) for column, values in own.columns.items()}
        assert back.numbers[order].tolist() == own.numbers.tolist()


def test_a_row_is_placed_in_its_own_file() -> None:
    rows = sets.join({"a": labelled(3), "b": replace(labelled(3), source="b.csv")})
    assert (rows.place(0), rows.place(4)) == ("sample.csv:8", "b.csv:9")


def test_the_schema_survives_the_disk() -> None:
    schema = several(9).schema
    assert Schema.from_json(schema.to_json()) == schema


def test_a_column_called_task_cannot_lie_in_one_table() -> None:
    rows = labelled(5)
    column = replace(rows, columns={**rows.columns, "task": ["x"] * 5})
    assert refusal(lambda: sets.join({"a": labelled(3), "b": column})) == (
        "error[TASKS_COLUMN]: sample.csv: the column 'task' stands for the name of a row's task where several are "
        "trained together. Fix: rename it, or leave it out with --ignore task."
    )


def test_one_column_of_two_kinds_is_refused() -> None:
    rows = measured(5)
    columns = tuple(replace(c, kind="number") if c.name == "text" else c for c in rows.schema.columns)
    other = replace(rows, schema=replace(rows.schema, columns=columns), source="b.csv")
    assert refusal(lambda: sets.join({"a": labelled(3), "b": other})) == (
        "error[TASKS_COLUMN]: b.csv: the column 'text' holds number here and text in sample.csv. "
        "Fix: rename one of them, or say what it holds with --kind text=text."
    )


LIKE = several(12).schema
TABLE = [
    {"task": "cost", "text": "a cat", "label": 3.5},
    {"task": "topic", "text": "bread", "label": "food"},
    {"task": "cost", "text": "a saw", "label": 4},
]


def test_rows_that_name_their_task_are_read_in_their_order() -> None:
    rows = read(TABLE, like=LIKE, serving=True)
    assert rows.columns["task"] == ["cost", "topic", "cost"]
    assert rows.numbers.tolist() == [0, 1, 2]
    assert rows.lines.tolist() == [1, 2, 3]
    assert sets.one(rows, "cost").targets() == [3.5, 4.0]
    assert sets.one(rows, "topic").targets() == ["food"]


def test_a_target_that_no_row_of_the_task_has_is_none() -> None:
    rows = read([{**TABLE[0], "label": None}, TABLE[1]], like=LIKE, serving=True)
    assert sets.one(rows, "cost").targets() is None
    assert sets.one(rows, "topic").targets() == ["food"]


def test_rows_must_name_their_task() -> None:
    bare = [{"text": "a cat"}]
    assert refusal(lambda: read(bare, like=LIKE, serving=True)) == (
        "error[TASK_COLUMN]: rows: the rows do not say which task they are for. Fix: add a column 'task' that holds "
        "one of: topic, cost, tags; or name one task for all with --task-name."
    )
    strange = [TABLE[0], {"task": "costs", "text": "a cat"}]
    assert refusal(lambda: read(strange, like=LIKE, serving=True)) == (
        "error[TASK_UNKNOWN]: rows:2: no task is called 'costs'. Fix: did you mean 'cost'? Known: cost, tags, topic."
    )
    empty = [TABLE[0], {"task": None, "text": "a cat"}]
    assert refusal(lambda: read(empty, like=LIKE, serving=True)) == (
        "error[TASK_EMPTY]: rows:2: the row does not say which task it is for. "
        "Fix: write the name of its task into the column 'task'."
    )


def test_names_come_from_files_from_folders_and_from_the_user(tmp_path: Path) -> None:
    assert named(["a/reviews.jsonl.gz", "hf:me/mails", "example:docstrings"]) == {
        "reviews": "a/reviews.jsonl.gz",
        "mails": "hf:me/mails",
        "docstrings": "example:docstrings",
    }
    assert named(["sst2/train.csv", "trec6/train.csv"]) == {"sst2": "sst2/train.csv", "trec6": "trec6/train.csv"}
    assert named(["x=a.csv", "y=a.csv"]) == {"x": "a.csv", "y": "a.csv"}
    odd = tmp_path / "x=1.csv"
    odd.write_text("text,label\n")
    assert named([str(odd)]) == {"x=1": str(odd)}
    assert refusal(lambda: named(["a.csv", "a.csv"])) == (
        "error[TASKS_NAME]: a.csv: two data sets are called 'a'. Fix: name them, such as a_2=a.csv."
    )


def test_one_data_set_is_not_several() -> None:
    assert sources("a.csv", Hints()) == {}
    assert sources([{"text": "a"}], Hints()) == {}


def test_what_is_said_of_one_set_stands_before_what_is_said_of_all() -> None:
    shared = Hints(target="label")
    found = sources(
        {"a": "a.csv", "b": {"data": "b.csv", "target": "stars", "text": "review", "task": "regression"}}, shared
    )
    assert found["a"] == Source("a.csv", shared)
    assert found["b"] == Source("b.csv", Hints(target="stars", text=("review",)), task="regression")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"a": "a.csv"}, "error[TASKS_FEW]: 1 data set is given where several are learned from. "
        "Fix: give another one, or this one by itself."),
        (["a.csv"], "error[TASKS_FEW]: 1 data set is given"),
        ({"a/b": "a.csv", "c": "c.csv"}, "error[TASKS_NAME]: a data set is called 'a/b'. "
        "Fix: give it a plain name without a slash."),
        ({"a": {"data": "a.csv", "taget": "x"}, "c": "c.csv"}, "error[TASKS_SETTING]: the data set 'a' has no setting "
        "'taget'. Fix: did you mean 'target'? "),
        ({"a": {"target": "x"}, "c": "c.csv"}, "error[TASKS_DATA]: the data set 'a' has no data. "
        "Fix: give its path under 'data'."),
    ],
)  # fmt: skip
def test_what_cannot_be_told_apart_is_refused(data: Any, said: str) -> None:
    assert refusal(lambda: sources(data, Hints())).startswith(said)


def rows_of(texts: list[str], label: str = "label") -> Any:
    return read([{"text": text, label: "ab"[i % 2]} for i, text in enumerate(texts)], Hints(target=label))


def test_no_text_that_one_set_holds_out_is_trained_on_by_another() -> None:
    shared = [f"shared text number {i}" for i in range(40)]
    first, second = (
        rows_of(shared + [f"first {i}" for i in range(60)]),
        rows_of(shared + [f"second {i}" for i in range(60)]),
    )
    splits = {"a": split(first, seed=0), "b": split(second, seed=1)}
    made, problems = joint.together(splits)
    for name, other in (("a", "b"), ("b", "a")):
        train = {text for (text,) in sets.one(made.train, name).texts()}
        held = {text for part in (made.validation, made.test) for (text,) in sets.one(part, other).texts()}
        assert not train & held
    gone = sum(len(s.train) for s in splits.values()) - len(made.train)
    assert gone > 0
    assert [p.code for p in problems] == ["TASKS_LEAK", "TASKS_LEAK"]
    assert sum(p.count for p in problems) == gone
    assert problems[0].message.endswith("of the training part left out, whose text another data set holds out")


def test_sets_that_share_nothing_are_parted_as_each_is_alone() -> None:
    splits = {name: split(rows_of([f"{name} {i}" for i in range(50)]), seed=0) for name in "ab"}
    made, problems = joint.together(splits)
    assert problems == ()
    for name, own in splits.items():
        for which in ("train", "validation", "test"):
            assert sets.one(getattr(made, which), name).numbers.tolist() == getattr(own, which).numbers.tolist()


def test_a_set_of_which_nothing_is_left_is_refused() -> None:
    texts = [f"text {i}" for i in range(30)]
    whole = split(rows_of(texts), seed=0)
    inside = replace(whole, train=whole.validation)
    assert refusal(lambda: joint.together({"a": whole, "b": inside})) == (
        "error[TASKS_LEAK]: rows: every training text of 'b' is held out by another data set. "
        "Fix: give parts that fit together."
    )
