"""Files that cannot be data: each is refused with one sentence."""

from __future__ import annotations

import gzip
import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sartor.data.read import read

CSV = b"text,label\nhello there,a\n"
NOISE = np.random.default_rng(0).bytes(4000)
PACKED = gzip.compress(b"text,label\n" + NOISE.hex().encode())
SAVE = "save the data as UTF-8: .csv, .tsv, .jsonl or .parquet, plain or with .gz"
PICKLE = "files can run code or hold objects when they are opened and are not read"

REFUSED = {
    "empty": ("d.csv", b"", "error[DATA_EMPTY]: d.csv: the file is empty. Fix: give a file with a header and rows."),
    "nothing packed": (
        "d.csv.gz", gzip.compress(b""),
        "error[DATA_EMPTY]: d.csv.gz: the file is empty. Fix: give a file with a header and rows.",
    ),
    "binary": (
        "d.csv", bytes(range(256)) * 4 + bytes(200),
        f"error[DATA_BINARY]: d.csv: this is a binary file, or UTF-16 text. Fix: {SAVE}.",
    ),
    "NUL": (
        "d.csv", b"text,label\nhello,a\nwor\0ld,b\n" + b"x,y\n" * 2000,
        "error[DATA_NUL]: d.csv:3: the line holds a NUL byte. Fix: remove it, or save the file as UTF-8.",
    ),
    "Parquet": (
        "d.csv", b"PAR1abc",
        "error[DATA_FORMAT_MISMATCH]: d.csv: the name says CSV and the content is Parquet. "
        "Fix: give the file the ending of its content.",
    ),
    "PNG": (
        "d.csv", b"\x89PNG\r\n\x1a\n",
        "error[DATA_FORMAT_MISMATCH]: d.csv: the name says CSV and the content is a PNG image. "
        "Fix: save the data as UTF-8 CSV, JSONL or Parquet.",
    ),
    "pickle inside": (
        "d.jsonl", b"\x80\x04\x95abc",
        "error[DATA_FORMAT_MISMATCH]: d.jsonl: the name says JSONL and the content is a pickle. "
        "Fix: save the data as UTF-8 CSV, JSONL or Parquet.",
    ),
    "gzip unnamed": (
        "d.csv", gzip.compress(CSV), "error[DATA_COMPRESSED]: d.csv: this is a gzip file. Fix: rename it to 'd.csv.gz'."
    ),
    "zip": (
        "d.csv", b"PK\x03\x04abc",
        "error[DATA_COMPRESSED]: d.csv: this is a zip file. Fix: unpack it and give the file inside.",
    ),
    "gzip in name only": (
        "d.csv.gz", CSV,
        "error[DATA_FORMAT_MISMATCH]: d.csv.gz: the name says gzip and the content is not. Fix: rename it to 'd.csv'.",
    ),
    "cut gzip": (
        "d.csv.gz", PACKED[:-300],
        "error[DATA_TRUNCATED]: d.csv.gz: the gzip file ends too early. Fix: copy or download it again.",
    ),
    "damaged gzip": (
        "d.csv.gz", PACKED[:40] + b"\xff" * 80 + PACKED[120:],
        "error[DATA_CORRUPT]: d.csv.gz: the gzip file is damaged. Fix: copy or download it again.",
    ),
    "gzip bomb": (
        "d.csv.gz", gzip.compress(b"text,label\n" + (b"a" * 999 + b",b\n") * 60_000),
        "error[DATA_BOMB]: d.csv.gz: the gzip file unpacks to more than 500 times its size. "
        "Fix: unpack it yourself and look at what is inside.",
    ),
    "Latin-1": (
        "d.csv", b"text,label\nok,a\ncaf\xe9,b\n",
        "error[DATA_ENCODING]: d.csv:3: byte 19 (0xe9) is not UTF-8. Fix: save the file as UTF-8.",
    ),
    "Latin-1 after a byte order mark": (
        "d.csv", b"\xef\xbb\xbftext,label\ncaf\xe9,b\n",
        "error[DATA_ENCODING]: d.csv:2: byte 17 (0xe9) is not UTF-8. Fix: save the file as UTF-8.",
    ),
    "UTF-16": (
        "d.csv", "text,label\nok,a\n".encode("utf-16"),
        "error[DATA_ENCODING]: d.csv: the file is UTF-16, not UTF-8. Fix: save it as UTF-8.",
    ),
    "endless line": (
        "d.jsonl", b'{"text": "' + b"x" * (66 << 20) + b'"}\n',
        "error[DATA_LINE_SIZE]: d.jsonl:1: the line is longer than 64 MB. Fix: write one row a line.",
    ),
    "not Parquet": (
        "d.parquet", b"hello",
        "error[PQ_MAGIC]: d.parquet: this is not a Parquet file. Fix: give the file the ending of its content.",
    ),
    "cut Parquet": (
        "d.parquet", b"PAR1hello",
        "error[PQ_CORRUPT]: d.parquet: the Parquet file is damaged. Fix: copy or write it again.",
    ),
    "pickle": (
        "d.pkl", b"\x80\x04",
        f"error[DATA_PICKLE]: d.pkl: '.pkl' {PICKLE}. Fix: write the data as CSV, JSONL or Parquet.",
    ),
    "weights": (
        "d.pt", b"PK",
        f"error[DATA_PICKLE]: d.pt: '.pt' {PICKLE}. Fix: write the data as CSV, JSONL or Parquet.",
    ),
    "packed joblib": (
        "d.joblib.gz", b"PK",
        f"error[DATA_PICKLE]: d.joblib.gz: '.joblib' {PICKLE}. Fix: write the data as CSV, JSONL or Parquet.",
    ),
    "spreadsheet": (
        "d.xlsx", b"PK",
        "error[DATA_FORMAT]: d.xlsx: '.xlsx' is no ending that is read. "
        "Fix: write the data as .csv, .tsv, .jsonl or .parquet, plain or with .gz.",
    ),
    "no ending": (
        "data", CSV,
        "error[DATA_FORMAT]: data: the file's name has no ending. "
        "Fix: write the data as .csv, .tsv, .jsonl or .parquet, plain or with .gz.",
    ),
}  # fmt: skip

Write = Callable[[str, bytes | str], Path]
Refusal = Callable[..., str]


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_sentence(case: str, write: Write, refusal: Refusal) -> None:
    name, content, sentence = REFUSED[case]
    assert refusal(write(name, content)) == sentence


def test_a_missing_file_is_answered_with_the_nearest_name(tmp_path: Path, write: Write, refusal: Refusal) -> None:
    write("train.csv", CSV)
    assert refusal(tmp_path / "trian.csv") == (
        "error[DATA_NOT_FOUND]: trian.csv: there is no such file. "
        "Fix: did you mean 'train.csv'? The files there: train.csv."
    )
    assert refusal(tmp_path / "zzz.jsonl") == (
        "error[DATA_NOT_FOUND]: zzz.jsonl: there is no such file. Fix: choose one of the files there: train.csv."
    )
    assert refusal(tmp_path / "no" / "such" / "folder.csv") == (
        "error[DATA_NOT_FOUND]: no/such/folder.csv: there is no such file. Fix: give the path of an existing file."
    )
    assert "error[DATA_NOT_FOUND]" in refusal(tmp_path / ("x" * 300 + ".csv"))
    assert refusal("") == "error[DATA_NOT_FOUND]: the path is empty. Fix: give the path of a file."


def test_a_folder_lists_what_could_be_read(tmp_path: Path, write: Write, refusal: Refusal) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    assert refusal(folder) == (
        "error[DATA_DIRECTORY]: data: this is a folder, not a file. "
        "Fix: give the path of a file (.csv, .tsv, .jsonl or .parquet, plain or with .gz)."
    )
    write("data/b.csv.gz", b"x")
    write("data/a.jsonl", b"x")
    write("data/notes.txt", b"x")
    assert refusal(folder) == (
        "error[DATA_DIRECTORY]: data: this is a folder, not a file. Fix: choose a file in it: a.jsonl, b.csv.gz, "
        "notes.txt."
    )


def test_pipes_sockets_and_looping_links_are_refused_without_opening_them(tmp_path: Path, refusal: Refusal) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    special = "this is a pipe, socket or device, not a regular file. Fix: save the data to a file and give its path."
    assert refusal(tmp_path / "pipe.csv") == f"error[DATA_SPECIAL]: pipe.csv: {special}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "s.csv"))
        assert refusal(tmp_path / "s.csv") == f"error[DATA_SPECIAL]: s.csv: {special}"
    os.symlink(tmp_path / "loop.csv", tmp_path / "loop.csv")
    assert refusal(tmp_path / "loop.csv") == (
        "error[DATA_SYMLINK]: loop.csv: the link leads back to itself. Fix: name the file itself."
    )


def test_a_file_that_may_not_be_read(write: Write, refusal: Refusal, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("d.csv", CSV)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert refusal(path) == (
        "error[DATA_PERMISSION]: d.csv: the file may not be read. Fix: allow it: chmod u+r 'd.csv'."
    )


def test_plain_packed_and_marked_files_read_the_same(write: Write) -> None:
    plain = read(write("d.csv", CSV))
    packed = read(write("e.csv.gz", gzip.compress(CSV)))
    marked = read(write("f.csv", b"\xef\xbb\xbf" + CSV))
    assert plain.columns == packed.columns == marked.columns == {"text": ["hello there"], "label": ["a"]}


def test_lines_that_straddle_the_blocks_read_as_they_were_written(write: Write) -> None:
    texts = [f"{i} " + "ü" * (i % 700) for i in range(4000)]  # some 3 MB, three blocks
    rows = read(write("d.csv", "text,label\n" + "".join(f"{t},a\n" for t in texts)))
    assert list(rows.column("text")) == texts
    assert rows.place(3999).endswith(":4001")
