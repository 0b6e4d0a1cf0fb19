"""A path -> its decoded lines or its bytes, or one sentence that says why not."""

from __future__ import annotations

import codecs
import errno
import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sartor.errors import BadInput, nearest

FORMATS = {
    ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet",
    ".pq": "parquet", ".zip": "zip", ".npz": "npz", ".conll": "conll", ".bio": "conll", ".iob": "conll",
    ".txt": "txt", ".iob2": "conll", ".iobes": "conll", ".bioes": "conll", ".bilou": "conll", ".bmes": "conll",
}  # fmt: skip
PICKLES = frozenset({".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".npy", ".bin"})
SHOWN_FORMATS = ".csv, .tsv, .jsonl or .parquet, plain or with .gz"
"""Images and sounds come besides as a folder or a .zip of them, sentences with tags as .conll and its kin."""
CHUNK = 1 << 20
LONGEST_LINE = 64 << 20
BOMB_RATIO = 500
BOMB_BYTES = 32 << 20
"""Below this many unpacked bytes no ratio is suspicious."""


def format_of(path: Path, source: str) -> str:
    """`csv`, `tsv`, `jsonl`, `parquet` or `conll`, by the file's ending; raises `BadInput` for others."""
    suffixes = [s.lower() for s in path.suffixes]
    suffix = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else (suffixes or [""])[-1]
    if suffix in PICKLES:
        message = f"'{suffix}' files can run code or hold objects when they are opened and are not read"
        raise BadInput("DATA_PICKLE", message, fix="write the data as CSV, JSONL or Parquet", where=source)
    if suffix not in FORMATS:
        shown = f"'{suffix}' is no ending that is read" if suffix else "the file's name has no ending"
        raise BadInput("DATA_FORMAT", shown, fix=f"write the data as {SHOWN_FORMATS}", where=source)
    return FORMATS[suffix]


def refuse_path(path: Path, source: str) -> None:
    """Raise `BadInput` unless `path` is a regular file with something in it."""
    try:
        state = path.stat()
    except FileNotFoundError:
        raise _not_found(path, source) from None
    except PermissionError:
        raise _no_permission(path, source) from None
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) == errno.ELOOP:
            raise BadInput(
                "DATA_SYMLINK", "the link leads back to itself", fix="name the file itself", where=source
            ) from None
        raise _not_found(path, source) from None
    if stat.S_ISDIR(state.st_mode):
        raise _directory(path, source)
    if not stat.S_ISREG(state.st_mode):
        message = "this is a pipe, socket or device, not a regular file"
        raise BadInput("DATA_SPECIAL", message, fix="save the data to a file and give its path", where=source)
    if state.st_size == 0:
        raise BadInput("DATA_EMPTY", "the file is empty", fix="give a file with a header and rows", where=source)


def _not_found(path: Path, source: str) -> BadInput:
    names = _readable(path.parent)
    close = nearest(path.name, names)
    there = f"files there: {_first(names)}"
    fix = f"did you mean '{path.parent / close}'? The {there}" if close else f"choose one of the {there}"
    fix = fix if names else "give the path of an existing file"
    return BadInput("DATA_NOT_FOUND", "there is no such file", fix=fix, where=source)


def _directory(path: Path, source: str) -> BadInput:
    names = [n for n in _readable(path) if any(n.lower().removesuffix(".gz").endswith(e) for e in FORMATS)]
    fix = f"choose a file in it: {_first(names)}" if names else f"give the path of a file ({SHOWN_FORMATS})"
    return BadInput("DATA_DIRECTORY", "this is a folder, not a file", fix=fix, where=source)


def _first(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _readable(folder: Path) -> list[str]:
    """The names in `folder`, none where it cannot be listed."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except (OSError, ValueError):
        return []


def _no_permission(path: Path, source: str) -> BadInput:
    return BadInput(
        "DATA_PERMISSION", "the file may not be read", fix=f"allow it: chmod u+r '{path.name}'", where=source
    )


@contextmanager
def opened(path: Path, source: str, expected: str) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked where its name ends in .gz; every failure to open or unpack is a `BadInput`."""
    try:
        with path.open("rb") as raw:
            head = raw.read(8)
            raw.seek(0)
            _refuse_packing(path, source, head)
            packed = path.suffix.lower() == ".gz"
            stream: BinaryIO = gzip.GzipFile(fileobj=_Meter(raw, source)) if packed else raw  # type: ignore[assignment]
            refuse_content(stream, source, expected)
            yield stream
    except PermissionError:
        raise _no_permission(path, source) from None
    except EOFError:
        message = "the gzip file ends too early"
        raise BadInput("DATA_TRUNCATED", message, fix="copy or download it again", where=source) from None
    except (gzip.BadGzipFile, zlib.error):
        raise BadInput(
            "DATA_CORRUPT", "the gzip file is damaged", fix="copy or download it again", where=source
        ) from None


class _Meter(io.RawIOBase):
    """The packed bytes, counted, so that `blocks` can compare them with what came out."""

    def __init__(self, raw: BinaryIO, source: str) -> None:
        self.raw, self.source, self.taken = raw, source, 0

    def read(self, size: int = -1) -> bytes:
        data = self.raw.read(size)
        self.taken += len(data)
        return data

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.raw.seek(offset, whence)


def _refuse_packing(path: Path, source: str, head: bytes) -> None:
    packed = path.suffix.lower() == ".gz"
    if head.startswith(b"\x1f\x8b") and not packed:
        raise BadInput("DATA_COMPRESSED", "this is a gzip file", fix=f"rename it to '{path.name}.gz'", where=source)
    if head.startswith(b"PK\x03\x04"):
        raise BadInput("DATA_COMPRESSED", "this is a zip file", fix="unpack it and give the file inside", where=source)
    if packed and not head.startswith(b"\x1f\x8b"):
        message = "the name says gzip and the content is not"
        raise BadInput("DATA_FORMAT_MISMATCH", message, fix=f"rename it to '{path.stem}'", where=source)


def refuse_content(stream: BinaryIO, source: str, expected: str) -> None:
    """Raise `BadInput` where the first bytes belong to another format than the name says; rewinds the stream."""
    head = stream.read(4096)
    stream.seek(0)
    if not head:
        raise BadInput("DATA_EMPTY", "the file is empty", fix="give a file with a header and rows", where=source)
    found = _format_seen(head)
    if found and (found, expected) != ("Parquet", "parquet"):
        message = f"the name says {expected.upper()} and the content is {found}"
        fix = (
            "give the file the ending of its content"
            if found == "Parquet"
            else "save the data as UTF-8 CSV, JSONL or Parquet"
        )
        raise BadInput("DATA_FORMAT_MISMATCH", message, fix=fix, where=source)
    if expected == "parquet" and not found:
        raise BadInput(
            "PQ_MAGIC", "this is not a Parquet file", fix="give the file the ending of its content", where=source
        )
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise BadInput("DATA_ENCODING", "the file is UTF-16, not UTF-8", fix="save it as UTF-8", where=source)
    if expected != "parquet" and head.count(0) > len(head) // 20:
        message = "this is a binary file, or UTF-16 text"
        raise BadInput("DATA_BINARY", message, fix=f"save the data as UTF-8: {SHOWN_FORMATS}", where=source)


def _format_seen(head: bytes) -> str | None:
    known = {
        b"PAR1": "Parquet", b"\x89PNG": "a PNG image", b"\xff\xd8\xff": "a JPEG image", b"%PDF": "a PDF document",
        b"\x80\x04": "a pickle", b"\x80\x05": "a pickle", b"\x7fELF": "a program", b"ARROW1": "an Arrow file",
    }  # fmt: skip
    return next((name for magic, name in known.items() if head.startswith(magic)), None)


def blocks(stream: BinaryIO, source: str) -> Iterator[bytes]:
    """Chunks of the stream; a gzip file that unpacks to far more than any data would is refused on the way."""
    meter = getattr(stream, "fileobj", None)
    out = 0
    while chunk := stream.read(CHUNK):
        out += len(chunk)
        if isinstance(meter, _Meter) and out > BOMB_BYTES and out > BOMB_RATIO * meter.taken:
            message = f"the gzip file unpacks to more than {BOMB_RATIO} times its size"
            raise BadInput("DATA_BOMB", message, fix="unpack it yourself and look at what is inside", where=source)
        yield chunk


def lines(stream: BinaryIO, source: str) -> Iterator[str]:
    """Decoded lines with their line feeds, split at line feeds only. A leading byte order mark is dropped."""
    rest, number, offset = b"", 1, 0
    for chunk in blocks(stream, source):
        end = chunk.rfind(b"\n") + 1
        if not end:
            rest += chunk
            if len(rest) > LONGEST_LINE:
                message = f"the line is longer than {LONGEST_LINE >> 20} MB"
                raise BadInput("DATA_LINE_SIZE", message, fix="write one row a line", where=f"{source}:{number}")
            continue
        block, rest = rest + chunk[:end], chunk[end:]
        yield from io.StringIO(_decoded(block, source, number, offset), newline="\n")
        number, offset = number + block.count(b"\n"), offset + len(block)
    if rest:
        yield _decoded(rest, source, number, offset)


def _decoded(block: bytes, source: str, number: int, offset: int) -> str:
    """`block` as text; `number` and `offset` are the line and byte it starts at."""
    if (at := block.find(b"\0")) >= 0:
        line = number + block.count(b"\n", 0, at)
        raise BadInput(
            "DATA_NUL",
            "the line holds a NUL byte",
            fix="remove it, or save the file as UTF-8",
            where=f"{source}:{line}",
        )
    if offset == 0:
        skip = len(codecs.BOM_UTF8) if block.startswith(codecs.BOM_UTF8) else 0
        block, offset = block[skip:], skip
    try:
        return block.decode("utf-8")
    except UnicodeDecodeError as error:
        line = number + block.count(b"\n", 0, error.start)
        message = f"byte {offset + error.start:,} (0x{block[error.start]:02x}) is not UTF-8"
        raise BadInput("DATA_ENCODING", message, fix="save the file as UTF-8", where=f"{source}:{line}") from None
