"""JSON lines, read strictly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sartor.data.hints import Hints
from sartor.data.read import read

Write = Callable[[str, bytes | str], Path]
Refusal = Callable[..., str]
LINES = "Fix: write one object a line (pandas: to_json(..., lines=True))."

REFUSED = {
    "syntax": (
        '{"text": "a", "label": "b"}\n{"text": "a" "label": "b"}\n',
        "error[JSON_SYNTAX]: d.jsonl:2: not valid JSON at column 14 (near '{\"text\": \"a\" \"label\": \"b\"}'): "
        "Expecting ',' delimiter. Fix: write one valid JSON object on this line.",
    ),
    "many lines": ('{\n "text": "a"\n}\n', "error[JSON_NOT_LINES]: d.jsonl:1: the JSON is spread over many lines. "
        + LINES),
    "array": (
        '[{"text": "a"}, {"text": "b"}]\n',
        f"error[JSON_ARRAY]: d.jsonl:1: the file is one JSON array, not one object a line. {LINES}",
    ),
    "list": (
        '{"text": "a"}\n[1, 2]\n',
        'error[JSON_SHAPE]: d.jsonl:2: the line holds a list, not an object. Fix: write {"column": value, ...}.',
    ),
    "number": (
        "5\n",
        'error[JSON_SHAPE]: d.jsonl:1: the line holds a number, not an object. Fix: write {"column": value, ...}.',
    ),
    "key twice": (
        '{"text": "a", "text": "b"}\n',
        "error[JSON_DUPLICATE]: d.jsonl:1: the key 'text' stands twice in one object. Fix: keep one of them.",
    ),
    "NaN": (
        '{"text": "a", "x": NaN}\n',
        "error[JSON_NAN]: d.jsonl:1: NaN is no JSON value. Fix: write null for a missing number.",
    ),
    "Infinity": (
        '{"text": "a", "x": -Infinity}\n',
        "error[JSON_NAN]: d.jsonl:1: -Infinity is no JSON value. Fix: write null for a missing number.",
    ),
    "deep": (
        '{"text": ' + "[" * 100_000 + "]" * 100_000 + "}\n",
        "error[JSON_DEPTH]: d.jsonl:1: the object is nested too deep. Fix: write flat objects.",
    ),
    "digits": (
        '{"text": ' + "9" * 5000 + "}\n",
        "error[JSON_NUMBER]: d.jsonl:1: a number has too many digits. Fix: write it as a text.",
    ),
    "surrogate": (
        '{"text": "\\ud800"}\n',
        "error[JSON_UNICODE]: d.jsonl:1: a text holds half of a surrogate pair. Fix: write the whole character.",
    ),
    "NUL": ('{"text": "a\\u0000b"}\n', "error[DATA_NUL]: d.jsonl:1: a text holds a NUL character. Fix: remove it."),
    "long cell": (
        '{"text": "' + "x" * 1_500_000 + '"}\n',
        "error[DATA_FIELD_SIZE]: d.jsonl:1: the cell of 'text' is longer than 1,000,000 characters. "
        "Fix: shorten it, or keep such content in files of its own.",
    ),
    "empty objects": (
        "{}\n{}\n",
        "error[DATA_NO_ROWS]: d.jsonl: every object is empty. "
        'Fix: write rows such as {"text": "...", "label": "..."}.',
    ),
    "blank lines": (
        "\n\n", "error[DATA_NO_ROWS]: d.jsonl: the file holds only blank lines. Fix: write one object a line."
    ),
    "types mixed": (
        '{"text": "a", "label": "x"}\n{"text": "a", "label": "x"}\n{"text": 5, "label": "x"}\n',
        "error[DATA_TYPE_MIXED]: d.jsonl:3: column 'text' holds a number here and a text at line 1. "
        "Fix: give all its cells one type, or leave it out with --ignore text.",
    ),
    "nested object": (
        '{"text": {"a": 1}, "label": "x"}\n',
        "error[DATA_TYPE]: d.jsonl:1: column 'text' holds an object (a), not a text, a number or a list of labels. "
        "Fix: write its parts as columns of their own, or leave it out with --ignore text.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_sentence(case: str, write: Write, refusal: Refusal) -> None:
    content, sentence = REFUSED[case]
    assert refusal(write("d.jsonl", content)) == sentence


def test_a_field_that_some_rows_lack_is_missing_there(write: Write) -> None:
    rows = read(
        write("d.jsonl", '{"text": "a", "label": "x"}\n\n{"label": "y"}\n{"text": "c", "label": "x", "n": 2}\n')
    )
    assert rows.columns == {"text": ["a", None, "c"], "label": ["x", "y", "x"], "n": [None, None, 2]}
    assert rows.lines.tolist() == [1, 3, 4]


def test_what_is_ignored_may_hold_anything(write: Write) -> None:
    path = write(
        "d.jsonl", '{"text": "a b", "label": "x", "extra": {"a": 1}}\n{"text": "b", "label": "y", "extra": 5}\n'
    )
    assert list(read(path, Hints(ignore=("extra",))).columns) == ["text", "label"]


def test_whole_and_fractional_numbers_are_one_type(write: Write) -> None:
    rows = read(write("d.jsonl", '{"text": "a b", "y": 1}\n{"text": "b c", "y": 2.5}\n'), Hints(target="y"))
    assert rows.targets() == [1.0, 2.5]
    assert rows.schema.kind("y") == "number"


def test_line_separators_inside_a_text_end_no_line(write: Write) -> None:
    rows = read(write("d.jsonl", '{"text": "a\u2028b\x85c", "label": "x"}\n{"text": "d", "label": "y"}\n'))
    assert rows.columns["text"] == ["a\u2028b\x85c", "d"]
