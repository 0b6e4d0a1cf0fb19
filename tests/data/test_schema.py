"""What columns hold, by inspection, and which are predicted and read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sartor.data.hints import Hints
from sartor.data.kinds import is_id_name, is_quantity, look
from sartor.data.read import read
from sartor.data.rows import Rows, Schema
from sartor.data.schema import narrowed

Table = Callable[..., Rows]
Refusal = Callable[..., str]
N = 60

KINDS: list[tuple[str, list[Any], str]] = [
    ("review", [f"the film number {i} was good" for i in range(N)], "text"),
    ("text", ["yes", "no"] * 30, "text"),
    ("text", [f"w{i}" if i % 2 else f"some w{i}" for i in range(N)], "text"),
    ("title", ["Mr", "Mrs"] * 30, "category"),
    ("colour", ["red", "green", "blue"] * 20, "category"),
    ("answer_choice", ["I do not agree with it at all", "I do agree with all of it"] * 30, "category"),
    ("price", [f"{i}.5" for i in range(N)], "number"),
    ("age", [str(20 + i % 40) for i in range(N)], "number"),
    ("age", ["NA", "", *[str(20 + i % 40) for i in range(N)]], "number"),
    ("dose", ["NA", "?", "-", *[f"{i / 7:.2f}" for i in range(N)]], "number"),
    ("zip", [f"0{1000 + i % 9}" for i in range(N)], "category"),
    ("code", ["1", "2", "X"] * 20, "category"),
    ("user_id", list(range(N)), "id"),
    ("user_id", list(range(N // 2)) * 2, "number"),
    ("row", list(range(100, 100 + N)), "id"),
    ("income", [i * 137 % 5003 for i in range(N)], "number"),
    ("key", [f"{i:08x}-0000-4000-8000-{i:012x}" for i in range(N)], "id"),
    ("subject", [f"PA{135312000 + i}" for i in range(N)], "id"),
    ("ok", [True, False] * 30, "boolean"),
    ("ok", ["True", "false", "TRUE"] * 20, "boolean"),
    ("when", [f"2024-01-{1 + i % 28:02d}" for i in range(N)], "date"),
    ("when", [f"2024-01-{1 + i % 28:02d}T10:{i % 60:02d}:00Z" for i in range(N)], "date"),
    ("picture", [f"images/{i}.JPG" for i in range(N)], "image"),
    ("clip", [f"{i}.wav" for i in range(N)], "audio"),
    ("tags", [["a", "b"], ["a"], []] * 20, "labels"),
    ("评论", [f"这个酒店真的很不错服务也很好价格便宜{i}" for i in range(N)], "text"),
    ("nothing", ["", None] * 30, "category"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "values", "kind"), KINDS)
def test_kind(name: str, values: list[Any], kind: str) -> None:
    assert look(name, values).kind == kind


def test_the_evidence_and_the_counts() -> None:
    column = look("age", ["NA", "", *[str(20 + i % 40) for i in range(N)]])
    assert (column.missing, column.distinct) == (2, 41)
    assert column.why == "whole numbers, 40 distinct; 'NA' counts as missing"
    assert look("text", ["a b", "c d", "a b"]).why == "2 distinct, 2.0 words on average, and its name says text"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("id", True),
        ("userId", True),
        ("PharmGKB Subject ID", True),
        ("Unnamed: 0", True),
        ("paid", False),
        ("valid", False),
    ],
)
def test_names_of_ids(name: str, said: bool) -> None:
    assert is_id_name(name) is said


@pytest.mark.parametrize(
    ("values", "quantity"),
    [
        ([0, 1, 2], False),
        (["0", "1"], False),
        (["1.0", "2.0"], False),
        ([0.5, 1.0], True),
        (["0.5", "1"], True),
        (list(range(50)), False),
        (list(range(51)), True),
        (["a", "1"], None),
        ([True, False], None),
    ],
)
def test_quantities_and_classes(values: list[Any], quantity: bool | None) -> None:
    assert is_quantity(values) is quantity


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([1, 0, None], ["1", "0", None]),
        (["1", "0", ""], ["1", "0", None]),
        (["1.0", "0.0", "1"], ["1", "0", "1"]),
        ([1.0, 0.0, 1.0], ["1", "0", "1"]),
        ([True, False, True], ["true", "false", "true"]),
        (["TRUE", "False", "true"], ["true", "false", "true"]),
        (["yes", "no", " yes"], ["yes", "no", " yes"]),
        (["007", "7", "007"], ["007", "7", "007"]),
    ],
)
def test_labels_are_texts_however_they_are_written(values: list[Any], labels: list[Any], table: Table) -> None:
    rows = table({"text": ["a b c", "d e f", "g h i"], "label": values})
    assert rows.targets() == labels
    assert rows.schema.kind("label") == "category"


def test_the_target_is_guessed_from_its_name(table: Table, refusal: Refusal) -> None:
    texts = ["a b", "c d"]
    assert table({"text": texts, "Label": ["x", "y"], "score": [1, 2]}).schema.target == "Label"
    assert table({"text": texts, "stars": [1, 2]}).schema.target == "stars"
    assert refusal([{"text": "a b", "label": "x", "target": "y"}]) == (
        "error[LABEL_COLUMN]: rows: several columns could be the one to predict: label, target. "
        "Fix: pass --target NAME, such as --target label."
    )
    assert refusal([{"text": "a b", "mark": "x"}]) == (
        "error[LABEL_COLUMN]: rows: nothing says which column to predict; the columns are: text, mark. "
        "Fix: pass --target NAME."
    )


def test_the_text_comes_first_and_ids_are_left_out(table: Table) -> None:
    columns = {"id": list(range(30)), "n": [i % 7 for i in range(30)], "text": [f"a text {i} here" for i in range(30)]}
    rows = table({**columns, "label": ["a", "b"] * 15})
    assert rows.schema.inputs == ("text", "n")
    assert rows.schema.reading("text") == ("text",)
    assert rows.texts()[3] == ("a text 3 here",)


def test_named_texts_are_the_only_inputs(table: Table) -> None:
    columns = {"a": ["one two"] * 4, "b": ["three"] * 4, "n": [1, 2, 3, 4], "label": ["x", "y"] * 2}
    rows = table(columns, Hints(text=("b", "a")))
    assert rows.schema.inputs == ("b", "a")
    assert rows.texts()[0] == ("three", "one two")


def test_pairs(table: Table) -> None:
    def texts(word: str) -> list[str]:
        return [f"{word} number {i} says so" for i in range(30)]

    label = ["a", "b"] * 15
    known = table({"hypothesis": texts("h"), "premise": texts("p"), "note": texts("n" * 50), "label": label})
    assert known.schema.reading("text") == ("premise", "hypothesis")
    two = table({"subject": texts("s"), "mail": texts("m"), "label": label})
    assert two.schema.reading("text") == ("subject", "mail")
    assert two.schema.columns[0].why.endswith("read as the pair subject, mail (--text NAME reads one alone)")
    three = table({"u": texts("u"), "v": texts("v" * 50), "w": texts("w"), "label": label})
    assert three.schema.reading("text") == ("v",)
    assert "the longest of 3 text columns" in three.schema.columns[1].why


def test_group_and_time_are_no_inputs(table: Table) -> None:
    columns = {"text": ["a b c d"] * 4, "who": ["x", "y"] * 2, "day": ["2024-01-01"] * 4, "label": ["a", "b"] * 2}
    schema = table(columns, Hints(group="who", time="day")).schema
    assert (schema.inputs, schema.group, schema.time) == (("text",), "who", "day")


def test_labels_in_lists_and_in_texts(table: Table) -> None:
    lists = table({"text": ["a b", "c d"], "labels": [["x", "y"], []]})
    assert (lists.schema.kind("labels"), lists.targets()) == ("labels", [["x", "y"], []])
    hints = Hints(kinds={"label": "labels"})
    assert table({"text": ["a b", "c d"], "label": ["x|y, z", "x"]}, hints).targets() == [["x", "y, z"], ["x"]]
    assert table({"text": ["a b", "c d"], "label": ["x; y", ""]}, hints).targets() == [["x", "y"], []]


CONTRADICTIONS = [
    (Hints(target="lable"), "error[LABEL_COLUMN]: rows: there is no column 'lable'. "
    "Fix: did you mean 'label'? Known: label, text."),
    (Hints(text=("txet",)), "error[DATA_COLUMN_MISSING]: rows: there is no column 'txet'. "
    "Fix: did you mean 'text'? Known: label, text."),
    (Hints(ignore=("lab",)), "error[DATA_COLUMN_MISSING]: rows: there is no column 'lab'. "
    "Fix: did you mean 'label'? Known: label, text."),
    (Hints(group="zzz"), "error[DATA_COLUMN_MISSING]: rows: there is no column 'zzz'. Fix: known: label, text."),
    (
        Hints(target="text", ignore=("text",)),
        "error[HINT_CONFLICT]: column 'text' is the target and also ignored. Fix: drop one of the two.",
    ),
    (
        Hints(target="label", text=("label",)),
        "error[HINT_CONFLICT]: column 'label' is a text input and also the target. Fix: drop one of the two.",
    ),
    (
        Hints(text=("text", "label", "x")),
        "error[HINT_CONFLICT]: 3 text columns are named (text, label, x). Fix: name one, or two for a pair.",
    ),
    (Hints(text=("text", "text")), "error[HINT_CONFLICT]: the text column 'text' is named twice. Fix: name it once."),
    (
        Hints(kinds={"text": "txt"}),
        "error[KIND_UNKNOWN]: column 'text' is given the kind 'txt'. "
        "Fix: did you mean 'text'? Known: audio, boolean, boxes, category, date, id, image, items, labels, "
        "messages, number, tags, text, tokens.",
    ),
    (
        Hints(kinds={"text": "number"}),
        "error[DATA_NUMBER]: rows:1: column 'text' holds 'a b', which is not a number. "
        "Fix: correct the cell, or say what the column is with --kind text=category or --ignore text.",
    ),
    (
        Hints(kinds={"text": "boolean"}),
        "error[DATA_TYPE]: rows:1: column 'text' holds 'a b', which is not true or false. "
        "Fix: correct the cell, or say what the column is with --kind text=category or --ignore text.",
    ),
    (
        Hints(ignore=("text",)),
        "error[DATA_NO_INPUTS]: rows: no column is left to predict from. Fix: name a text column with --text.",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("hints", "sentence"), CONTRADICTIONS)
def test_hints_that_cannot_hold(hints: Hints, sentence: str, refusal: Refusal) -> None:
    assert refusal([{"text": "a b", "label": "x"}, {"text": "c d", "label": "y"}], hints) == sentence


def test_one_dirty_cell_in_a_column_of_numbers(refusal: Refusal) -> None:
    rows = [{"text": "a b c d", "n": f"{i}.5", "label": "x"} for i in range(100)]
    rows[41]["n"] = "1.234,5"
    assert refusal(rows) == (
        "error[DATA_NUMBER]: rows:42: column 'n' holds '1.234,5', which is not a number. "
        "Fix: correct the cell, or say what the column is with --kind n=category or --ignore n."
    )


def test_infinity_is_no_number(refusal: Refusal) -> None:
    rows = [{"text": "a b", "y": 0.5}, {"text": "c d", "y": float("inf")}]
    assert "error[DATA_NUMBER]: rows:2: column 'y' holds 'inf'" in refusal(rows, Hints(target="y"))


def test_a_schema_survives_json_and_can_be_narrowed(table: Table) -> None:
    columns = {
        "text": [f"a text {i} here" for i in range(9)],
        "n": [0, 1, 2] * 3,
        "who": list("xyz") * 3,
        "label": ["a", "b", "c"] * 3,
    }
    schema = table(columns, Hints(labels=("a", "b", "c", "d"))).schema
    assert Schema.from_json(schema.to_json()) == schema
    assert schema.labels == ("a", "b", "c", "d")
    less = narrowed(schema, {"text"})
    assert less.inputs == ("text",)
    assert [c.name for c in less.columns] == ["text", "label"]


def test_another_file_takes_the_schema_of_the_first(table: Table, refusal: Refusal) -> None:
    like = table(
        {"text": ["1", "2", "3"], "label": ["0", "1", "0"], "n": [1.5, 2.5, 3.5]}, Hints(kinds={"text": "text"})
    ).schema
    rows = read([{"n": 2, "text": "7", "more": {}, "label": 1.0}], like=like)
    assert rows.columns == {"text": ["7"], "label": ["1"], "n": [2]}
    assert rows.schema.inputs == like.inputs
    serving = read([{"n": 2, "text": "7"}], like=like)
    assert (serving.schema.target, serving.targets()) == (None, None)
    assert refusal([{"n": 2, "txt": "7"}], like=like) == (
        "error[DATA_COLUMN_MISSING]: rows: the input column 'text' is missing. Fix: rename 'txt' to 'text'."
    )
    assert refusal([{"n": 2, "words": "7"}], like=like) == (
        "error[DATA_COLUMN_MISSING]: rows: the input column 'text' is missing. "
        "Fix: add it; the columns here are: n, words."
    )


def test_serving_needs_no_target() -> None:
    rows = read([{"text": "a b"}, {"text": "c d"}], Hints(target="label"), serving=True)
    assert (rows.schema.target, rows.schema.inputs, rows.targets()) == (None, ("text",), None)
    assert read([{"text": "a b", "label": "x"}], serving=True).schema.target == "label"
