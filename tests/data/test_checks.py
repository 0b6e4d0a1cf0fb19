"""Everything that is wrong with the data, at once."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from sartor.data.checks import Problem, check, require_clean
from sartor.data.hints import Hints
from sartor.data.read import read
from sartor.data.rows import Rows
from sartor.errors import BadInput

Table = Callable[..., Rows]
WORDS = [f"word{i}" for i in range(500)]


def texts(count: int, seed: int = 0) -> list[Any]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=12)) for _ in range(count)]


def labels(count: int) -> list[Any]:
    return ["yes" if i % 3 else "no" for i in range(count)]


def sentences(rows: Rows, others: dict[str, Rows] | None = None) -> list[str]:
    return [p.sentence() for p in check(rows, others or {})]


def only(rows: Rows, code: str, others: dict[str, Rows] | None = None) -> Problem:
    found = [p for p in check(rows, others or {}) if p.code == code]
    assert len(found) == 1, sentences(rows, others)
    return found[0]


def test_clean_data_have_no_problem(table: Table) -> None:
    assert check(table({"text": texts(60), "label": labels(60)})) == ()


def test_ten_rows_are_too_few(table: Table) -> None:
    with pytest.raises(BadInput) as caught:
        require_clean(check(table({"text": texts(10), "label": ["a", "b"] * 5})), "rows")
    assert caught.value.sentence() == (
        "error[DATA_TOO_FEW]: rows: there are only 10 rows. "
        "Fix: give at least 20; a comparison that means something takes some hundreds."
    )


LABELS: list[tuple[str, list[Any], str]] = [
    (
        "missing",
        [None, *labels(57), None, ""],
        "error[LABEL_EMPTY]: rows:1: 'label', which is to be predicted, is missing in 3 rows. "
        "Fix: fill in or drop these rows.",
    ),
    (
        "one class",
        ["yes"] * 60,
        "error[LABEL_SINGLE]: every row has the label 'yes' in 'label'. Fix: give rows of at least two classes.",
    ),
    (
        "a row alone",
        [*labels(58), "maybe", "never"],
        "error[LABEL_RARE]: rows:59: the classes 'maybe', 'never' have one row each. "
        "Fix: merge, drop or collect more rows of them.",
    ),
    (
        "few rows",
        [*labels(57), "maybe", "maybe", "maybe"],
        "warning[LABEL_RARE]: rows:58: the class 'maybe' has fewer than 8 rows. "
        "Fix: merge, drop or collect more rows of them.",
    ),
    (
        "an id column",
        [f"x{i}" for i in range(60)],
        "error[LABEL_MANY]: 'label' has 60 classes in 60 rows and looks like an id column. "
        "Fix: name the column to predict with --target.",
    ),
    (
        "spellings",
        [*labels(40), *["Yes"] * 10, *["no "] * 10],
        "warning[LABEL_NEAR]: labels differ only by case or spaces: 'Yes', 'yes'; 'no', 'no '. "
        "Fix: write each label one way.",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("what", "column", "sentence"), LABELS)
def test_labels(what: str, column: list[Any], sentence: str, table: Table) -> None:
    assert sentences(table({"text": texts(60), "label": column})) == [sentence]


def test_a_constant_quantity(table: Table) -> None:
    rows = table({"text": texts(30), "y": [0.5] * 30})
    assert sentences(rows) == [
        "error[LABEL_SINGLE]: 'y' has the same value in every row. Fix: give rows with different values."
    ]


def test_declared_labels(table: Table) -> None:
    hints = Hints(labels=("no", "yes", "perhaps"))
    rows = table({"text": texts(60), "label": [*labels(52), *["maybe"] * 8]}, hints)
    assert sentences(rows) == [
        "error[LABEL_UNKNOWN]: rows:53: label 'maybe' is not one of the declared labels: "
        "no, perhaps, yes (and 7 rows more). "
        "Fix: correct the row or add it to the labels.",
        "warning[LABEL_ABSENT]: no row has the declared label 'perhaps'. Fix: drop it from the labels or add rows.",
    ]
    assert only(rows, "LABEL_UNKNOWN").places == ("rows:53", "rows:54", "rows:55", "rows:56", "rows:57")


def test_sets_of_labels(table: Table) -> None:
    sets: list[Any] = [["a"], ["a", "b"], [], ["b"]] * 15
    assert check(table({"text": texts(60), "labels": sets})) == ()
    assert "LABEL_RARE" in sentences(table({"text": texts(60), "labels": [*sets[:59], ["c"]]}))[0]


def test_texts(table: Table) -> None:
    column = texts(60)
    column[4], column[7], column[9], column[11] = "", None, "   ", "the cafÃ© was closed"
    column[20] = column[2]
    column[30] = f" {column[3]}"
    column[40] = column[5].upper() + "!"
    rows = table({"text": column, "label": ["a" if i in (2, 3) else "b" for i in range(60)]})
    found = [s for s in sentences(rows) if "LABEL_RARE" not in s]
    assert found == [
        "warning[DATA_VALUE_EMPTY]: rows:5: the text 'text' is empty in 3 rows. Fix: fill in or drop these rows.",
        "warning[DATA_ENCODING_SIGNS]: rows:12: the text 'text' shows signs of a wrong encoding (such as 'Ã©' for 'é') "
        "in 1 row. Fix: read the original file with the encoding it was written in and save it as UTF-8.",
        "warning[DATA_DUPLICATE]: rows:21: the text of an earlier row comes again in 2 rows. "
        "Fix: drop them, or leave them: equal texts stay on one side of a split.",
        "warning[LABEL_CONFLICT]: rows:21: the text of an earlier row comes again with another label in 2 rows "
        "(line 3 says 'a', line 21 says 'b'). Fix: decide which is right.",
        "warning[DATA_NEAR_DUPLICATE]: rows:41: nearly the text of an earlier row comes again in 1 row "
        "(line 41 is like line 6). "
        "Fix: drop them if they are copies; near duplicates on both sides of a split flatter every score.",
    ]


def test_accents_that_are_meant_are_no_wrong_encoding(table: Table) -> None:
    column = [f"São Paulo, Ärger, naïve café — “quoted” … â la carte {i}" for i in range(60)]
    assert not [s for s in sentences(table({"text": column, "label": labels(60)})) if "ENCODING" in s]


def test_a_text_column_that_is_empty(table: Table) -> None:
    rows = table({"text": [""] * 30, "label": labels(30)}, Hints(text=("text",)))
    assert sentences(rows)[0] == (
        "error[DATA_COLUMN_BLANK]: the text column 'text' is empty in every row. Fix: name another column with --text."
    )


def test_columns(table: Table) -> None:
    columns = {
        "n": [None, *(i % 7 for i in range(29))],
        "same": ["x"] * 30,
        "u": texts(30, 1),
        "v": texts(30, 2),
        "w": [t * 2 for t in texts(30)],
    }
    assert sentences(table({**columns, "label": labels(30)})) == [
        "warning[DATA_VALUE_MISSING]: rows:1: values are missing: 'n' in 1 row. "
        "Fix: nothing, if they are truly unknown; they count as missing.",
        "warning[DATA_CONSTANT]: the same value stands in every row of 'same'. "
        "Fix: leave such columns out with --ignore same.",
        "warning[DATA_TEXT_UNUSED]: text is not read from 'u', 'v'. Fix: choose the text columns with --text NAME.",
    ]


def test_one_column_that_gives_the_label_away(table: Table) -> None:
    label = labels(60)
    leak = [{"yes": "granted", "no": "refused"}[v] for v in label]
    rows = table({"text": texts(60), "decision": leak, "colour": ["red", "blue"] * 30, "label": label})
    assert sentences(rows) == [
        "warning[LEAK_COLUMN]: the column 'decision' alone predicts 'label' perfectly in 60 rows. "
        "Fix: leave it out with --ignore decision, unless it is known when you predict."
    ]


def test_a_number_whose_threshold_is_the_label(table: Table) -> None:
    numbers = [i * 37 % 1009 for i in range(60)]
    rows = table({"text": texts(60), "points": numbers, "label": ["high" if n > 500 else "low" for n in numbers]})
    assert only(rows, "LEAK_COLUMN").message == "the column 'points' alone predicts 'label' perfectly in 60 rows"


def test_a_number_that_is_the_target_in_another_unit(table: Table) -> None:
    celsius = [i * 0.37 for i in range(60)]
    rows = table(
        {"text": texts(60), "fahrenheit": [32 + 1.8 * c for c in celsius], "celsius": celsius}, Hints(target="celsius")
    )
    assert only(rows, "LEAK_COLUMN").fix == "leave it out with --ignore fahrenheit, unless it is known when you predict"


def test_no_leak_without_evidence(table: Table) -> None:
    unique = [f"c{i:03d} x" for i in range(60)]
    noisy = ["granted" if v == "yes" else "refused" for v in labels(60)]
    noisy[5] = "granted" if noisy[5] == "refused" else "refused"
    rows = table(
        {"text": texts(60), "serial": unique, "decision": noisy, "label": labels(60)},
        Hints(kinds={"serial": "category"}),
    )
    assert check(rows) == ()


def test_texts_that_contain_their_label(table: Table) -> None:
    label = labels(60)
    rows = table(
        {"text": [f"{t} the answer is {v.upper()}" for t, v in zip(texts(60), label, strict=True)], "label": label}
    )
    assert sentences(rows) == [
        "warning[LEAK_TEXT]: every text contains its own label in 60 rows. "
        "Fix: remove the label from the texts, unless it is there when you predict."
    ]


def test_given_parts(table: Table) -> None:
    train = table({"text": texts(60), "label": labels(60)})
    part = read(
        [{"text": texts(60)[i] if i < 2 else f"another {i}", "label": "yes"} for i in range(30)], like=train.schema
    )
    assert sentences(train, {"test": part}) == [
        "warning[SPLIT_LEAK]: rows:1: a text of the training part comes again in 2 rows of the test part (6.7%). "
        "Fix: drop them from the test part; they flatter every score."
    ]
    assert only(train, "SPLIT_LEAK", {"validation": train}).severity == "error"
    strange = read([{"text": "another", "label": "what"}], like=train.schema)
    assert sentences(train, {"test": strange}) == [
        "error[LABEL_UNKNOWN]: rows:1: label 'what' is not one of the training part: no, yes. "
        "Fix: correct the row or add it to the labels."
    ]
    bare = read([{"text": "another"}], like=train.schema)
    assert sentences(train, {"test": bare}) == [
        "error[EVAL_NO_LABELS]: rows: the test part has no column 'label'. Fix: give a part with the true values."
    ]


def test_a_group_in_two_parts(table: Table) -> None:
    who = [i % 10 for i in range(60)]
    train = table({"text": texts(60), "who": who, "label": labels(60)}, Hints(group="who"))
    part = read([{"text": f"more {i}", "who": 5 + i, "label": "no"} for i in range(10)], like=train.schema)
    assert sentences(train, {"test": part}) == [
        "warning[SPLIT_GROUP]: rows:1: a 'who' of the training part comes again in 5 rows of the test part. "
        "Fix: keep each 'who' in one part."
    ]


def test_the_first_of_several_errors_says_how_to_see_the_others(table: Table) -> None:
    rows = table({"text": texts(9), "label": [None, "a", "a", "a", "a", "a", "b", "c", "a"]})
    with pytest.raises(BadInput) as caught:
        require_clean(check(rows), rows.source)
    assert caught.value.sentence() == (
        "error[DATA_TOO_FEW]: rows: there are only 9 rows (and 2 more: run `sartor check rows`). "
        "Fix: give at least 20; a comparison that means something takes some hundreds."
    )


def test_warnings_do_not_stand_in_the_way(table: Table) -> None:
    column = texts(60)
    column[9] = column[6]
    assert [p.code for p in require_clean(check(table({"text": column, "label": labels(60)})), "rows")] == [
        "DATA_DUPLICATE"
    ]


def test_rows_without_a_target_are_checked_for_their_texts(table: Table) -> None:
    rows = read([{"text": t} for t in [*texts(30), ""]], serving=True)
    assert [p.code for p in check(rows)] == ["DATA_VALUE_EMPTY"]


def test_a_problem_is_plain_json_and_one_line(table: Table) -> None:
    rows = table({"text": texts(60), "label": [*labels(59), "\x1b[2J\nforged"]})
    problem = only(rows, "LABEL_RARE")
    assert problem.to_json()["places"] == ("rows:60",)
    assert "\x1b" not in problem.sentence()
    assert "\n" not in problem.sentence()
