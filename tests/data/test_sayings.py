"""Rows of texts that are to be said: how their columns are found, and one sentence for whatever is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sartor.data.hints import Hints
from sartor.data.read import open_table, read
from sartor.errors import BadInput
from sartor.opening import open_data, read_for
from spoken_samples import translated


def pairs(count: int = 40) -> list[dict[str, Any]]:
    return [{"source": f"ein Satz {i} 日本語 🙂", "target": f"a sentence {i}"} for i in range(count)]


def refusal(data: Any, hints: Hints = Hints(), task: str | None = None) -> str:  # noqa: B008
    with pytest.raises(BadInput) as caught:
        open_data(data, hints, task, None, None, 0)
    return str(caught.value)


@pytest.mark.parametrize(
    ("columns", "hints", "found"),
    [
        ({"source": "a", "target": "b"}, Hints(), ("source", "target")),
        ({"src": "a", "tgt": "b"}, Hints(), ("src", "tgt")),
        ({"de": "a", "en": "b"}, Hints(target="en"), ("de", "en")),
        ({"de": "a", "en": "b", "fr": "c"}, Hints(target="en", text=("fr",)), ("fr", "en")),
        ({"de": "a", "en": "b", "fr": "c"}, Hints(target="en", ignore=("fr",)), ("de", "en")),
    ],
)
def test_pairs_are_found_by_their_names(columns: dict[str, str], hints: Hints, found: tuple[str, str]) -> None:
    table = [{name: f"{value} {i} words here" for name, value in columns.items()} for i in range(9)]
    rows, task = read_for(table, hints, None)
    assert task.name == "translation"
    assert (rows.schema.inputs, rows.schema.target) == ((found[0],), found[1])
    assert rows.schema.kind(found[1]) == "text"


def test_labels_are_not_taken_for_texts() -> None:
    _, task = read_for([{"text": f"row {i}", "label": "ab"[i % 2]} for i in range(9)], Hints(), None)
    assert task.name == "classification"


def test_a_text_column_alone_is_a_language_model_s() -> None:
    rows, task = read_for([{"text": f"row {i}"} for i in range(9)], Hints(), None)
    assert task.name == "causal_lm"
    assert rows.schema.target == "text" and rows.schema.inputs == ("text",)
    assert rows.targets() == [f"row {i}" for i in range(9)]
    asked = rows.untargeted()
    assert asked.targets() is None and asked.column("text")[0] == "row 0"


def test_served_rows_are_not_their_own_answers() -> None:
    rows = read_for([{"text": f"row {i}"} for i in range(9)], Hints(), None)[0]
    assert read([{"text": "more"}], like=rows.schema, serving=True).targets() is None
    assert read([{"text": "more"}], like=rows.schema).targets() == ["more"]


def test_several_sources_are_a_question() -> None:
    table = [{"de": f"a {i}", "en": f"b {i}", "fr": f"c {i}"} for i in range(30)]
    assert refusal(table, Hints(target="en")) == (
        "error[PAIR_COLUMN]: several columns could be what 'en' is translated from: de, fr. "
        "Fix: pass --text NAME, such as --text de."
    )


def test_no_source_is_a_question() -> None:
    assert refusal([{"a": "x y", "b": "y z"}] * 30, Hints(target="b"), "translation") == (
        "error[PAIR_COLUMN]: nothing says which column holds the source texts. "
        "Fix: name it with --text; the columns are: a, b."
    )


def test_sources_without_targets_are_counted() -> None:
    table = pairs()
    table[3]["target"] = ""
    table[7]["target"] = None
    assert refusal(table) == (
        "error[TARGET_EMPTY]: <list>:4: 2 rows of the training part have a source and no 'target'. "
        "Fix: fill them in or drop these rows: a network would learn to say nothing."
    ).replace("<list>:4", refusal(table).split(": ")[1])
    assert refusal(table).split(": ")[1].endswith(":4")


def test_empty_lines_on_both_sides_are_a_warning() -> None:
    table = [*pairs(), {"source": "", "target": ""}]
    opening = open_data(table, Hints(), None, None, None, 0)
    assert any(w.code == "DATA_VALUE_EMPTY" for w in opening.warnings)


def test_a_row_without_its_like_is_seen() -> None:
    table = pairs()
    table[5]["target"] = "word " * 100
    opening = open_data(table, Hints(), None, None, None, 0)
    assert [w.message for w in opening.warnings if w.code == "PAIR_UNEVEN"] == [
        "source and target are of very different length in 1 row of the training part"
    ]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("hello", "the conversation is a text and no JSON"),
        ([], "the conversation is no list of messages"),
        (["hello"], "message 1 has no role and content (it is str)"),
        ([{"role": "user", "text": "x"}], "message 1 has no role and content (its keys are role, text)"),
        ([{"role": "user", "content": ["x"]}], "the content of message 1 is list and no text"),
        ([{"role": "", "content": "x"}], "the role of message 1 is ''"),
    ],
)
def test_conversations_of_the_wrong_shape(tmp_path: Path, cell: Any, said: str) -> None:
    path = tmp_path / "talk.jsonl"
    path.write_text("".join(json.dumps({"messages": c}) + "\n" for c in (cell, cell)), "utf-8")
    assert refusal(str(path)) == (
        f"error[MESSAGES_SHAPE]: {path}:1: {said}. "
        'Fix: write [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}].'
    )


def test_conversations_in_other_spellings() -> None:
    cell = [{"from": "human", "value": "Hund?"}, {"from": "gpt", "value": "dog"}]
    rows, task = read_for([{"messages": json.dumps(cell)}] * 3, Hints(), None)
    assert task.name == "causal_lm"
    assert rows.column("messages")[0] == [{"role": "user", "content": "Hund?"}, {"role": "assistant", "content": "dog"}]


def test_conversations_that_nobody_answers() -> None:
    rows = [{"messages": [{"role": "user", "content": f"Hund {i}?"}]} for i in range(30)]
    assert refusal(rows).startswith("error[MESSAGES_UNANSWERED]")


def test_a_text_file_is_read_in_stretches_and_its_end_is_held_out(tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    lines = [f"This is line {i} of the book.\n" for i in range(4000)]
    path.write_text("".join(lines), "utf-8")
    assert "".join(open_table(str(path)).columns["text"]) == "".join(lines)
    opening = open_data(str(path), Hints(), None, None, None, 0)
    split = opening.split
    assert opening.task.name == "causal_lm"
    assert (
        max(split.train.numbers)
        < min(split.validation.numbers)
        < max(split.validation.numbers)
        < min(split.test.numbers)
    )
    assert all(len(text) <= 2000 for text in split.train.column("text"))


def test_a_text_without_words_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "blank.txt"
    path.write_text("  \n\n", "utf-8")
    assert refusal(str(path)) == f"error[DATA_NO_ROWS]: {path}: the file holds no words. Fix: give a text."


def test_targets_that_are_texts_are_split_at_random() -> None:
    assert open_data(
        [
            dict(zip(("source", "target"), p, strict=True))
            for p in zip(translated(60).column("source"), translated(60).column("target"), strict=True)
        ],
        Hints(),
        None,
        None,
        None,
        0,
    ).split.how.startswith("at random")
