"""Cells of tokens and of tags, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sartor.data.checks import check
from sartor.data.hints import Hints
from sartor.data.read import read
from sartor.data.rows import Rows

HINTS = Hints(target="tags", text=("tokens",), kinds={"tokens": "tokens", "tags": "tags"})


def rows(tokens: list[Any], tags: list[Any], hints: Hints = HINTS) -> Rows:
    return read([{"tokens": a, "tags": b} for a, b in zip(tokens, tags, strict=True)], hints)


def sentences(made: Rows, others: dict[str, Rows] | None = None) -> list[str]:
    few = [p for p in check(made, others or {}) if p.code not in ("DATA_TOO_FEW", "DATA_DUPLICATE", "SPLIT_LEAK")]
    return [p.sentence() for p in few]


def fine(count: int = 40) -> tuple[list[Any], list[Any]]:
    tokens = [[f"w{i}", f"x{i}", f"y{i}"] for i in range(count)]
    return tokens, [["B-A", "I-A", "O"] if i % 2 else ["O", "B-B", "O"] for i in range(count)]


@pytest.mark.parametrize("cell", [["a", "b c", "5"], '["a", "b c", "5"]', ("a", "b c", 5)])
def test_tokens_in_lists(cell: Any) -> None:
    assert rows([cell], [["O", "O", "O"]]).columns["tokens"] == [["a", "b c", "5"]]


def test_tokens_in_texts() -> None:
    made = read([{"tokens": "Ada  was here ."}, {"tokens": "高勇，男a1"}, {"tokens": "[x] y"}], HINTS, serving=True)
    assert made.columns["tokens"] == [["Ada", "was", "here", "."], ["高", "勇", "，", "男", "a1"], ["[x]", "y"]]


def test_tags_in_texts_and_as_numbers() -> None:
    assert rows(["a b"], ["O B-A"]).columns["tags"] == [["O", "B-A"]]
    named = Hints(target="tags", text=("tokens",), kinds=HINTS.kinds, labels=("O", "B-A", "I-A"))
    assert rows([["a", "b"]], [[1, 2]], named).columns["tags"] == [["B-A", "I-A"]]


def test_names_travel_in_a_dataset(tmp_path: Any) -> None:
    datasets = pytest.importorskip("datasets")
    kinds = datasets.Features(
        {
            "tokens": datasets.List(datasets.Value("string")),
            "ner_tags": datasets.List(datasets.ClassLabel(names=["O", "B-A"])),
        }
    )
    made = datasets.Dataset.from_dict({"tokens": [["a", "b"]], "ner_tags": [[0, 1]]}, features=kinds)
    made.to_parquet(str(tmp_path / "a.parquet"))
    hints = Hints(target="ner_tags", text=("tokens",), kinds={"tokens": "tokens", "ner_tags": "tags"})
    for source in (made, str(tmp_path / "a.parquet")):
        assert read(source, hints).columns["ner_tags"] == [["O", "B-A"]]


REFUSED: list[tuple[Any, Any, tuple[str, ...], str]] = [
    (
        [["a"]],
        [[1]],
        (),
        "error[TAG_NAMES]: rows:1: column 'tags' holds numbers, and nothing says which tag each of them is. "
        "Fix: name the tags in the order of their numbers, such as --labels O --labels B-PER --labels I-PER.",
    ),
    (
        [["a"]],
        [[3]],
        ("O", "B-A"),
        "error[TAG_NAMES]: rows:1: column 'tags' holds the tag number 3, and 2 tags are named. "
        "Fix: name every tag in order with --labels.",
    ),
    (
        [["a", ["b"]]],
        [["O", "O"]],
        (),
        "error[DATA_TOKENS]: rows:1: column 'tokens' holds no list of tokens. "
        'Fix: write a list of texts, such as ["Paris", "is", "warm"], or a text with spaces between its tokens.',
    ),
    (
        [["a"]],
        [[None]],
        (),
        "error[DATA_TAGS]: rows:1: column 'tags' holds no list of tags. "
        'Fix: write a list of tags, such as ["B-LOC", "O", "O"], or a text with spaces between them.',
    ),
]


@pytest.mark.parametrize(("tokens", "tags", "labels", "said"), REFUSED)
def test_cells_that_are_refused(
    tokens: Any, tags: Any, labels: tuple[str, ...], said: str, refusal: Callable[..., str]
) -> None:
    hints = Hints(target="tags", text=("tokens",), kinds=HINTS.kinds, labels=labels)
    assert refusal([{"tokens": a, "tags": b} for a, b in zip(tokens, tags, strict=True)], hints) == said


def test_clean_rows_have_no_problem() -> None:
    assert sentences(rows(*fine())) == []


def test_lists_of_different_lengths() -> None:
    tokens, tags = fine()
    tags[3], tags[5] = ["O"], ["O"] * 4
    assert sentences(rows(tokens, tags)) == [
        "error[TAG_LENGTH]: rows:4: the row has 3 tokens and 1 tag (and 1 row more). "
        "Fix: give every token one tag, O where it is in no span."
    ]


def test_tokens_without_tags() -> None:
    tokens, tags = fine()
    tags[3] = None
    assert sentences(rows(tokens, tags)) == [
        "error[LABEL_EMPTY]: rows:4: 'tags', which is to be predicted, is missing in 1 row. "
        "Fix: fill in or drop these rows."
    ]


def test_tags_that_are_none_of_their_scheme() -> None:
    tokens, tags = fine()
    tags[3] = ["PER", "O", "O"]
    assert sentences(rows(tokens, tags))[0] == (
        "error[TAG_FORM]: rows:4: the tag 'PER' is not O, B-TYPE or I-TYPE, as IOB2 has them. "
        "Fix: write every tag in one scheme: O, B-TYPE at the beginning of a span and I-TYPE inside."
    )


def test_tags_at_a_place_where_their_scheme_has_none() -> None:
    tokens, tags = fine()
    tags[3], tags[4] = ["O", "I-A", "O"], ["I-A", "O", "O"]
    assert sentences(rows(tokens, tags)) == [
        "warning[TAG_ORDER]: rows:4: 'I-A' behind 'O' does not fit IOB2 in 2 rows: IOB2 has I only inside a span. "
        "Fix: nothing, if a span begins there: it is read as conlleval reads it; else correct the tags."
    ]


def test_rows_and_tokens_that_are_empty() -> None:
    tokens, tags = fine()
    tokens[0], tags[0] = [], []
    tokens[1] = ["a", " ", ""]
    assert sentences(rows(tokens, tags)) == [
        "warning[TOKENS_NONE]: rows:1: there are no tokens in 1 row. Fix: drop these rows; they teach nothing.",
        "warning[TOKEN_BLANK]: rows:2: a token is empty, or only spaces, in 1 row. "
        "Fix: drop such tokens with their tags; they are read as unknown words.",
    ]


def test_nothing_but_outside() -> None:
    tokens, _ = fine()
    assert sentences(rows(tokens, [["O"] * 3] * 40)) == [
        "error[LABEL_SINGLE]: no row has a span: every tag is O. "
        "Fix: name the column of tags with --target, or add rows with spans."
    ]


def test_rare_types_and_types_that_look_alike() -> None:
    tokens, tags = fine()
    tags[0] = ["B-a", "O", "O"]
    assert sentences(rows(tokens, tags)) == [
        "warning[LABEL_RARE]: rows:1: there are fewer than 8 spans of 'a'. "
        "Fix: merge, drop or collect more spans of such types.",
        "warning[LABEL_NEAR]: labels differ only by case or spaces: 'A', 'a'. Fix: write each label one way.",
    ]


def test_a_given_part_with_a_type_of_its_own() -> None:
    tokens, tags = fine()
    part = rows([["p", "q"], ["r"]], [["B-C", "O"], ["B-A"]])
    assert sentences(rows(tokens, tags), {"validation": part}) == [
        "error[LABEL_UNKNOWN]: rows:1: the type 'C' is not one of the training part: 'A', 'B'. "
        "Fix: correct the row, or add rows with this type to the training part."
    ]


def test_equal_sentences_with_other_tags_say_where_they_differ() -> None:
    tokens, tags = fine()
    tokens[5] = tokens[3]
    tags[5] = ["B-A", "O", "O"]
    assert sentences(rows(tokens, tags)) == [
        "warning[LABEL_CONFLICT]: rows:6: the text of an earlier row comes again with another label in 1 row "
        "(line 4 says 'I-A', line 6 says 'O'). Fix: decide which is right."
    ]
