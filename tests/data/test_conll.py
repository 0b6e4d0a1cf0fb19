"""CoNLL files."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from sartor.data.read import open_table

Write = Callable[[str, bytes | str], Path]
SENTENCES = "EU B-ORG\nrejects O\n\nPeter\tNNP\tB-PER\nBlackburn\tNNP\tI-PER\n\n\n# O\n"


@pytest.mark.parametrize("name", ["a.conll", "a.bio", "a.iob2", "a.bmes", "a.tsv", "a.txt"])
def test_sentences_with_their_lines(write: Write, name: str) -> None:
    table = open_table(str(write(name, SENTENCES)))
    assert table.columns["tokens"] == [["EU", "rejects"], ["Peter", "Blackburn"], ["#"]]
    assert table.columns["ner_tags"] == [["B-ORG", "O"], ["B-PER", "I-PER"], ["O"]]
    assert table.lines.tolist() == [1, 4, 8]


def test_packed_with_carriage_returns_and_a_byte_order_mark(write: Write) -> None:
    content = gzip.compress(b"\xef\xbb\xbf" + SENTENCES.replace("\n", "\r\n").encode())
    assert open_table(str(write("a.conll.gz", content))).columns["tokens"][0] == ["EU", "rejects"]


def test_documents_become_a_column(write: Write) -> None:
    text = "-DOCSTART- -X- O O\n\na O\n\nb O\n\n-DOCSTART- -X- O O\n\nc B-A\n"
    table = open_table(str(write("a.conll", text)))
    assert table.columns["document"] == [1, 1, 2]
    assert table.columns["tokens"] == [["a"], ["b"], ["c"]]


def test_comments_are_left_out(write: Write) -> None:
    text = "# id 7f domain=en\na O\n# text = a b\nb B-A\n"
    assert open_table(str(write("a.conll", text))).columns["tokens"] == [["a", "b"]]


def test_a_file_without_tags_is_for_answering(write: Write) -> None:
    assert open_table(str(write("a.conll", "a\nb\n\nc\n"))).columns == {"tokens": [["a", "b"], ["c"]]}


def test_a_table_with_a_header_stays_a_table(write: Write) -> None:
    table = open_table(str(write("a.tsv", "text\tlabel\na\tO\n\nb\tO\n")))
    assert table.columns == {"text": ["a", "b"], "label": ["O", "O"]}


REFUSED = {
    "a O\nb\n": "error[CONLL_TAG]: d.conll:2: the token 'b' has no tag. "
    "Fix: write its tag behind it, O where it is in no span.",
    "a\nb O\n": "error[CONLL_TAG]: d.conll:2: the line has 2 columns, and the lines before it have one. "
    "Fix: give every token a tag, or none.",
    "\n\n": "error[DATA_NO_ROWS]: d.conll: the file holds no sentence. "
    "Fix: write a token and its tag on each line, and a blank line behind each sentence.",
}


@pytest.mark.parametrize("content", REFUSED)
def test_what_is_refused(content: str, write: Write, refusal: Callable[..., str]) -> None:
    assert refusal(str(write("d.conll", content))) == REFUSED[content]


def test_a_text_file_of_another_kind_is_a_text(write: Write) -> None:
    assert open_table(str(write("notes.txt", "some words\nand more\n"))).columns["text"] == ["some words\nand more\n"]
