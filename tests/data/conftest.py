"""What tests of the data share: writing a small file and reading the one sentence it is refused with."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sartor.data.hints import Hints
from sartor.data.read import read
from sartor.data.rows import Rows
from sartor.errors import BadInput

Refusal = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes | str], Path]:
    """`write(name, content)` is the path of a new file."""

    def make(name: str, content: bytes | str) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


@pytest.fixture
def refusal(tmp_path: Path) -> Refusal:
    """`refusal(source)` is the sentence that `read` refuses it with, without the folder."""

    def ask(source: object, hints: Hints = Hints(), **options: object) -> str:  # noqa: B008
        with pytest.raises(BadInput) as caught:
            read(source, hints, **options)  # type: ignore[arg-type]
        return caught.value.sentence().replace(f"{tmp_path}{os.sep}", "")

    return ask


def rows_from(columns: dict[str, list[object]], hints: Hints = Hints()) -> Rows:  # noqa: B008
    """Rows of a table given by columns."""
    names = list(columns)
    return read([dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)], hints)


@pytest.fixture
def table() -> Callable[..., Rows]:
    return rows_from
