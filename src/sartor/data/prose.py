"""Plain text -> a table of its stretches, in order: whole lines, together about `LENGTH` characters.

A stretch is a row, so that a long text can be parted, shuffled and scored; its number is the column `piece`, by which
the last stretches are held out: what a model of a text must say is what comes later.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sartor.data import files
from sartor.data.table import Table
from sartor.errors import BadInput

LENGTH = 2000
TEXT, PIECE = "text", "piece"


def read(path: Path, source: str) -> Table:
    """A row for each stretch. Raises `BadInput` for a file without words."""
    texts: list[str] = []
    begins: list[int] = []
    gathered: list[str] = []
    size = 0
    with files.opened(path, source, "txt") as stream:
        for number, line in enumerate(files.lines(stream, source), 1):
            for start in range(0, len(line), LENGTH):  # a line may be a whole book
                part = line[start : start + LENGTH]
                if size + len(part) > LENGTH and gathered:
                    texts.append("".join(gathered))
                    gathered, size = [], 0
                if not gathered:
                    begins.append(number)
                gathered.append(part)
                size += len(part)
    texts += ["".join(gathered)] if gathered else []
    if not any(text.strip() for text in texts):
        raise BadInput("DATA_NO_ROWS", "the file holds no words", fix="give a text", where=source)
    return Table(source, {TEXT: list(texts), PIECE: list(range(len(texts)))}, np.asarray(begins, dtype=np.int64))
