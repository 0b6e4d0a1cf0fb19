"""CSV and TSV, read strictly and with the right lines."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from sartor.data.read import read

Write = Callable[[str, bytes | str], Path]
Refusal = Callable[..., str]

REFUSED = {
    "blank lines": (
        "\n\n", "error[DATA_EMPTY]: d.csv: the file holds only blank lines. Fix: give a file with a header and rows."
    ),
    "header only": ("text,label\n", "error[DATA_NO_ROWS]: d.csv: the file has a header and no rows. Fix: add rows."),
    "a short row": (
        'text,label,x\na,b,c\na,b\n"q\nq",b,c\nz\n',
        "error[DATA_RAGGED]: d.csv:3: expected 3 cells, found 2, and so 1 more (line 6). Fix: add the missing cells.",
    ),
    "long rows": (
        "text,label\na,b\n" + "a,b,c\n" * 7,
        "error[DATA_RAGGED]: d.csv:3: expected 2 cells, found 3, and so 6 more (lines 4, 5, 6, 7, …). "
        "Fix: quote cells that hold the separator.",
    ),
    "an open quote": (
        'text,label\nok,a\n"open,b\nx,y\n',
        "error[DATA_QUOTE]: d.csv:3: a quote that opens in this row is not closed as CSV asks. "
        'Fix: close it, and write a quote inside a cell twice ("").',
    ),
    "a quote inside a quoted cell": (
        'text,label\nok,a\n"op"en,b\nx,y\n',
        "error[DATA_QUOTE]: d.csv:3: a quote that opens in this row is not closed as CSV asks. "
        'Fix: close it, and write a quote inside a cell twice ("").',
    ),
    "a name twice": (
        "text,label,text\na,b,c\n",
        "error[DATA_COLUMN_DUPLICATE]: d.csv:1: the name 'text' stands over columns 1 and 3. Fix: rename one of them.",
    ),
    "no name": (
        ",text,label\n0,a,b\n",
        "error[DATA_COLUMN_EMPTY]: d.csv:1: column 1 has no name. "
        "Fix: give it a name, or write the file without its row index (index=False).",
    ),
    "names alike": (
        "text,Text,label\n0,a,b\n",
        "error[DATA_COLUMN_AMBIGUOUS]: d.csv:1: the columns 'text' and 'Text' differ only by case or spaces. "
        "Fix: rename one of them.",
    ),
    "semicolons": (
        "text;label\na;b\n",
        "error[DATA_DELIMITER]: d.csv:1: the cells seem to be separated by semicolons, not by commas. "
        "Fix: save it with commas.",
    ),
    "bars": (
        "text|label\na|b\n",
        "error[DATA_DELIMITER]: d.csv:1: the cells seem to be separated by vertical bars, not by commas. "
        "Fix: save it with commas.",
    ),
    "tabs": (
        "text\tlabel\na\tb\n",
        "error[DATA_DELIMITER]: d.csv:1: the cells seem to be separated by tabs, not by commas. "
        "Fix: name the file .tsv.",
    ),
    "a 10 MB cell": (
        "text,label\nok,a\n" + "x" * 10_000_000 + ",b\n",
        "error[DATA_FIELD_SIZE]: d.csv:3: a cell is longer than 1,000,000 characters. "
        "Fix: shorten it, or keep such content in files of its own.",
    ),
    "a lost carriage return": (
        "text,label\na\rb,c\n",
        "error[DATA_NEWLINE]: d.csv:2: the line holds a carriage return that ends no line. "
        "Fix: save the file with one kind of line ending.",
    ),
    "no header": (
        "1.5,2\n3,4\n",
        "error[DATA_HEADER]: d.csv:1: the first line looks like data ('1.5'), not like column names. "
        "Fix: put a line with the column names first.",
    ),
    "JSON": (
        '{"text": "a"}\n',
        "error[DATA_FORMAT_MISMATCH]: d.csv: the name says CSV and the content is JSON. "
        "Fix: name the file .jsonl, one object a line.",
    ),
    "too many columns": (
        ",".join(f"c{i}" for i in range(10_001)) + "\n",
        "error[DATA_TOO_WIDE]: d.csv:1: there are 10,001 columns. Fix: keep at most 10,000.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_sentence(case: str, write: Write, refusal: Refusal) -> None:
    content, sentence = REFUSED[case]
    assert refusal(write("d.csv", content)) == sentence


def test_a_tsv_with_commas(write: Write, refusal: Refusal) -> None:
    assert refusal(write("d.tsv", "text,label\na,b\n")) == (
        "error[DATA_DELIMITER]: d.tsv:1: the cells seem to be separated by commas, not by tabs. "
        "Fix: name the file .csv."
    )


def test_a_tsv_keeps_commas_in_its_cells(write: Write) -> None:
    rows = read(write("d.tsv", "text\tlabel\nyes, it is\ta\n"))
    assert rows.columns == {"text": ["yes, it is"], "label": ["a"]}


def test_each_row_knows_the_line_it_begins_at(write: Write) -> None:
    content = 'text,label\r\none,a\r\n"two\r\nlines",b\r\n\r\n"three ""quoted""\n\nlines",c\r\nlast,d\r\n'
    rows = read(write("d.csv", content))
    assert rows.lines.tolist() == [2, 3, 6, 9]
    assert rows.columns["text"] == ["one", "two\r\nlines", 'three "quoted"\n\nlines', "last"]
    assert rows.numbers.tolist() == [0, 1, 2, 3]
    assert rows.place(3) == f"{rows.source}:9"


def test_the_csv_modules_own_limit_is_put_back(write: Write) -> None:
    before = csv.field_size_limit()
    read(write("d.csv", "text,label\n" + "x" * 200_000 + ",b\n"))
    assert csv.field_size_limit() == before


def test_spaces_around_column_names_are_dropped(write: Write) -> None:
    assert list(read(write("d.csv", "text, label\na,b\n")).columns) == ["text", "label"]
