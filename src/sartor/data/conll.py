"""CoNLL files -> a table of sentences: a token a line, its tag last, a blank line behind each sentence.

    EU       B-ORG        between the two a tab, or any spaces; columns between them (part of speech) are not read
    rejects  O

Lines that begin `-DOCSTART-` begin a document, whose number becomes the column `document` (CoNLL-2003). Comments are
lines that begin with `# `. Files without tags are read too, for answering them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from sartor.data import files
from sartor.data.table import Table
from sartor.data.tags import OUTSIDE, TAG
from sartor.data.tokens import TAGS, TOKENS
from sartor.errors import BadInput, one_line

DOCUMENT = "-DOCSTART-"
GLANCE = 200
"""Lines that a file is recognised by."""
UNSURE = (".tsv", ".txt")
"""Endings of files that may be such a file or another."""

Line = tuple[int, str, str | None]
"""The line's number, its token, and its tag."""


@dataclass
class Sentences:
    """What was read so far; `start` is the line at which the sentence under way began."""

    tokens: list[list[str]] = field(default_factory=list)
    tags: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    documents: list[int] = field(default_factory=list)

    def add(self, sentence: list[Line], document: int) -> None:
        if not sentence:
            return
        self.tokens.append([token for _, token, _ in sentence])
        self.tags.append([tag for _, _, tag in sentence if tag is not None])
        self.lines.append(sentence[0][0])
        self.documents.append(document)


def read(path: Path, source: str) -> Table:
    """The sentences of a file; raises `BadInput` with the line of what is wrong."""
    found, sentence, document = Sentences(), list[Line](), 0
    tagged: bool | None = None
    with files.opened(path, source, "conll") as stream:
        for number, line in enumerate(files.lines(stream, source), start=1):
            fields = _fields(line)
            if not fields or fields[0] == DOCUMENT:
                found.add(sentence, document)
                sentence, document = [], document + bool(fields)
            elif not _comment(line, fields):
                tagged = len(fields) > 1 if tagged is None else tagged
                _refuse(fields, tagged, f"{source}:{number}")
                sentence.append((number, fields[0], fields[-1] if tagged else None))
    found.add(sentence, document)
    if not found.tokens:
        fix = "write a token and its tag on each line, and a blank line behind each sentence"
        raise BadInput("DATA_NO_ROWS", "the file holds no sentence", fix=fix, where=source)
    return _table(found, bool(tagged), source)


def recognised(path: Path, source: str) -> bool:
    """Whether a file that has no ending of its own looks like sentences: each line ends in a tag, some are blank."""
    if not path.name.lower().removesuffix(".gz").endswith(UNSURE):
        return False
    with files.opened(path, source, "tsv") as stream:
        return _sentences(islice(files.lines(stream, source), GLANCE))


def _sentences(lines: Iterable[str]) -> bool:
    known = [(line, _fields(line)) for line in lines]
    words = [fields for line, fields in known if fields and fields[0] != DOCUMENT and not _comment(line, fields)]
    blank = any(not fields for _, fields in known)
    return bool(words) and (blank or len(words) == GLANCE) and all(len(f) > 1 and _is_tag(f[-1]) for f in words)


def _fields(line: str) -> list[str]:
    """The line's columns; none where it is blank."""
    line = line.strip("\r\n")
    return [part.strip() for part in line.strip("\t").split("\t")] if "\t" in line.strip("\t") else line.split()


def _comment(line: str, fields: list[str]) -> bool:
    return line.startswith("# ") and not (len(fields) == 2 and _is_tag(fields[-1]))


def _is_tag(text: str) -> bool:
    return text == OUTSIDE or TAG.fullmatch(text) is not None


def _refuse(fields: list[str], tagged: bool, where: str) -> None:
    """Raise `BadInput` where one line has a tag and another none."""
    if tagged and len(fields) == 1:
        message = f"the token '{one_line(fields[0])[:40]}' has no tag"
        raise BadInput("CONLL_TAG", message, fix="write its tag behind it, O where it is in no span", where=where)
    if not tagged and len(fields) > 1:
        message = f"the line has {len(fields)} columns, and the lines before it have one"
        raise BadInput("CONLL_TAG", message, fix="give every token a tag, or none", where=where)


def _table(found: Sentences, tagged: bool, source: str) -> Table:
    columns: dict[str, list[Any]] = {TOKENS[0]: list(found.tokens)}
    columns |= {TAGS[0]: list(found.tags)} if tagged else {}
    columns |= {"document": list(found.documents)} if max(found.documents) else {}
    return Table(source, columns, np.asarray(found.lines, dtype=np.int64))
