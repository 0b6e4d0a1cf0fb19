"""Media: the images and sounds that cells name, and where their bytes lie; nothing is read before it is asked for."""

from __future__ import annotations

import base64
import binascii
import errno
import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sartor.errors import BadInput, nearest, one_line

MOST_BYTES = 256 << 20
"""Of one image or sound."""
CHUNK = 256
"""Media decoded between two looks at the clock and at signals."""

T = TypeVar("T")
U = TypeVar("U")


class Source(Protocol):
    """What reads the bytes behind a name."""

    def read(self, name: str) -> bytes:
        """The content; raises `BadInput` where there is none, or none that may be read."""


@dataclass(frozen=True)
class Media:
    """What one cell stands for. `name` is as the data write it; `memo` keeps what was found out about the content."""

    name: str
    source: Source = field(compare=False, repr=False)
    memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def read(self) -> bytes:
        return self.source.read(self.name)

    @property
    def digest(self) -> str:
        """sha256 of the content."""
        if "digest" not in self.memo:
            self.memo["digest"] = hashlib.sha256(self.read()).hexdigest()
        return str(self.memo["digest"])

    def remembered(self, what: str, find: Callable[[Media], U]) -> U:
        """What `find` says of it, asked once."""
        if what not in self.memo:
            self.memo[what] = find(self)
        found: U = self.memo[what]
        return found

    def to_json(self) -> dict[str, str]:
        """The content itself, as a JSON row can carry it anywhere."""
        return {"bytes": base64.b64encode(self.read()).decode("ascii"), "path": self.name}

    def __str__(self) -> str:
        return self.name


def as_json(value: Any) -> Any:
    """A cell that JSON does not know: media by their content, everything else as text."""
    return value.to_json() if isinstance(value, Media) else str(value)


def as_fingerprint(value: Any) -> str:
    """A cell that JSON does not know, as a fingerprint takes it: media by the hash of their content."""
    return value.digest if isinstance(value, Media) else str(value)


@dataclass(frozen=True)
class Held:
    """Bytes that came with the table."""

    content: bytes = field(repr=False)

    def read(self, name: str) -> bytes:
        return self.content


@dataclass(frozen=True)
class Folder:
    """Files below a folder: a name that leads out of it, or a link that does, is refused."""

    root: Path

    def read(self, name: str) -> bytes:
        try:
            whole = (self.root / name).resolve()
            if not whole.is_relative_to(self._resolved):
                fix = "keep images and sounds below the folder of their table, and write their paths relative to it"
                raise BadInput("DATA_ESCAPE", f"'{shown(name)}' leads out of the folder '{self.root}'", fix=fix)
            return content_of(whole, name)
        except (ValueError, RuntimeError):  # a NUL in the name, a link that leads back to itself
            raise _not_there(name, self.root) from None

    @functools.cached_property
    def _resolved(self) -> Path:
        return self.root.resolve()


@dataclass(frozen=True)
class Anywhere:
    """Files by their paths from the working folder: what a program's own objects name."""

    def read(self, name: str) -> bytes:
        try:
            return content_of(Path(name).expanduser(), name)
        except (ValueError, RuntimeError):
            raise _not_there(name, Path(".")) from None


ANYWHERE = Anywhere()


def content_of(path: Path, name: str) -> bytes:
    """A file's bytes. Raises `BadInput` for what is missing, forbidden, too large, or no file."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > MOST_BYTES:
                said = f"'{shown(name)}' is larger than {MOST_BYTES >> 20} MB"
                raise BadInput("MEDIA_SIZE", said, fix="make it smaller, or leave its row out")
            return file.read()
    except PermissionError:
        raise BadInput("DATA_PERMISSION", f"'{shown(name)}' may not be read", fix="allow it: chmod u+r") from None
    except OSError as error:
        if error.errno in (errno.EIO, errno.EMFILE, errno.ENFILE):
            raise
        raise _not_there(name, path.parent) from None


def _not_there(name: str, folder: Path) -> BadInput:
    there = sorted(os.listdir(folder))[:10_000] if folder.is_dir() else []
    close = nearest(Path(name).name, there)
    fix = f"did you mean '{close}'?" if close else "correct the path, or leave the row out"
    return BadInput("MEDIA_NOT_FOUND", f"there is no file '{shown(name)}'", fix=fix)


def shown(name: str) -> str:
    """A name on one line, cut where long."""
    said = one_line(name)
    return said if len(said) <= 120 else "…" + said[-119:]


def media(cells: Sequence[Any], source: Source) -> list[Any]:
    """Cells -> Media: names read by `source`, bytes and {"bytes", "path"} as they are; None where missing."""
    return [None if cell is None or cell == "" else _medium(cell, source, i) for i, cell in enumerate(cells)]


def _medium(cell: Any, source: Source, i: int) -> Media:
    if isinstance(cell, Media):
        return cell
    if isinstance(cell, bytes):
        return Media(f"number {i + 1}", Held(cell))
    if isinstance(cell, dict):
        name, content = str(cell.get("path") or f"number {i + 1}"), payload(cell)
        return Media(name, source if content is None else Held(content))
    return Media(str(cell), source)


def payload(cell: Any) -> bytes | None:
    """The bytes that a cell carries itself; in JSON they are base64. None where it only names a file."""
    content = cell.get("bytes") if isinstance(cell, dict) else cell if isinstance(cell, bytes) else None
    if not isinstance(content, str):
        return content
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise BadInput("MEDIA_BASE64", "the 'bytes' of a cell are no base64", fix="encode the file's bytes") from None


def each(values: Sequence[T], make: Callable[[T], U]) -> Iterable[U]:
    """`make` of every value in order, on as many threads as there are processors: decoders work without the lock."""
    with ThreadPoolExecutor(_threads()) as pool:
        for start in range(0, len(values), CHUNK):
            yield from pool.map(make, values[start : start + CHUNK])


def _threads() -> int:
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
