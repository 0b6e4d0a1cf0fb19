"""Zip archives, read in place: members are never extracted, and read only when they are asked for.

The directory is looked through once, before anything is unpacked: a name that leads out, a link, a member under two
names, entries that overlap or unpack to far more than they are refuse the whole archive.
"""

from __future__ import annotations

import functools
import stat
import threading
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath

from sartor.data.media import MOST_BYTES, shown
from sartor.errors import BadInput, nearest

MOST_MEMBERS = 2_000_000
BOMB_RATIO = 1000
BOMB_BYTES = 1 << 20
"""Below this many unpacked bytes no ratio is suspicious."""


@dataclass(frozen=True)
class Archive:
    """The files in a zip archive, by the names they have there. `source`: the archive as the user named it."""

    path: Path
    source: str

    @functools.cached_property
    def members(self) -> dict[str, zipfile.ZipInfo]:
        """Name -> entry, folders and what systems leave behind left out. Raises `BadInput` for an unsafe archive."""
        entries = self._opened.infolist()
        _refuse(entries, self.source)
        files = {e.filename: e for e in entries if not e.is_dir()}
        return {name: e for name, e in files.items() if not is_litter(name)}

    @functools.cached_property
    def root(self) -> str:
        """The folders that all members lie in, with a slash at the end; empty where there are none."""
        above = [PurePosixPath(name).parts[:-1] for name in self.members]
        return "".join(f"{part}/" for part in min(above, default=())[: shared(above)])

    def find(self, name: str) -> str | None:
        """The member that is called `name`, with or without the folders that all members lie in."""
        plain = PurePosixPath(name.replace("\\", "/")).as_posix()
        return next((n for n in (plain, self.root + plain) if n in self.members), None)

    def read(self, name: str) -> bytes:
        found = self.find(name)
        if found is None:
            close = nearest(name, list(self.members)[:10_000])
            fix = f"did you mean '{close}'?" if close else "correct the path, or leave the row out"
            raise BadInput("MEDIA_NOT_FOUND", f"there is no '{shown(name)}' in '{self.path.name}'", fix=fix)
        try:
            with self._lock, self._opened.open(self.members[found]) as member:
                return member.read()
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
            said = f"'{shown(name)}' in '{self.path.name}' cannot be unpacked ({type(error).__name__})"
            raise BadInput("ARC_CORRUPT", said, fix="copy or make the archive again, or leave the row out") from None

    @functools.cached_property
    def _lock(self) -> threading.Lock:
        return threading.Lock()

    @functools.cached_property
    def _opened(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except PermissionError:
            fix = f"allow it: chmod u+r '{self.path.name}'"
            raise BadInput("DATA_PERMISSION", "the file may not be read", fix=fix, where=self.source) from None
        except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
            fix = "copy or make it again"
            raise BadInput("ARC_CORRUPT", "this is no whole zip archive", fix=fix, where=self.source) from None


def shared(folders: Sequence[tuple[str, ...]]) -> int:
    """How many folders from the top on all of these paths have in common."""
    first, last = min(folders, default=()), max(folders, default=())
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))


def is_litter(name: str) -> bool:
    """What systems leave behind, and hidden files: nobody's data."""
    parts = PurePosixPath(name).parts
    return (
        parts[:1] == ("__MACOSX",)
        or parts[-1:] in (("Thumbs.db",), ("desktop.ini",))
        or any(p[0] == "." for p in parts)
    )


def _refuse(entries: list[zipfile.ZipInfo], source: str) -> None:
    """Raise `BadInput` for an archive whose directory alone shows that it must not be read."""
    if len(entries) > MOST_MEMBERS:
        said = f"the archive has {len(entries):,} members"
        raise BadInput("ARC_COUNT", said, fix=f"split it; at most {MOST_MEMBERS:,} are read", where=source)
    for code, message, fix in (found for entry in entries for found in _unsafe(entry)):
        raise BadInput(code, message, fix=fix, where=source)
    twice = [name for name, count in Counter(e.filename for e in entries).items() if count > 1]
    if twice:
        said = f"two members are called '{shown(twice[0])}'"
        raise BadInput("ARC_DUPLICATE", said, fix="make the archive again, each name once", where=source)
    _refuse_overlaps(entries, source)


def _unsafe(entry: zipfile.ZipInfo) -> Iterator[tuple[str, str, str]]:
    """(code, message, fix) of what is wrong with one entry."""
    name, called = entry.orig_filename, shown(entry.orig_filename)
    if name.startswith(("/", "\\")) or "\\" in name or ":" in name[:2] or ".." in PurePosixPath(name).parts:
        yield "ARC_ESCAPE", f"the member '{called}' leads out of the archive", "make it again with relative names"
    if stat.S_ISLNK(entry.external_attr >> 16):
        yield "ARC_LINK", f"the member '{called}' is a link", "make the archive again with the files themselves"
    if entry.flag_bits & 1:
        yield "ARC_ENCRYPTED", f"the member '{called}' is encrypted", "make the archive again without a password"
    if entry.file_size > MOST_BYTES and not entry.is_dir():
        yield "ARC_BOMB", f"the member '{called}' unpacks to {entry.file_size >> 20:,} MB", "leave it out"
    if entry.file_size > BOMB_BYTES and entry.file_size > BOMB_RATIO * max(entry.compress_size, 1):
        yield "ARC_BOMB", f"the member '{called}' unpacks to more than {BOMB_RATIO} times its size", "leave it out"


def _refuse_overlaps(entries: list[zipfile.ZipInfo], source: str) -> None:
    """Entries that share bytes are how a small archive holds a large one many times."""
    ordered = sorted(entries, key=lambda e: e.header_offset)
    for one, other in pairwise(ordered):
        if one.header_offset + one.compress_size > other.header_offset:
            said = f"the members '{shown(one.filename)}' and '{shown(other.filename)}' share bytes"
            raise BadInput("ARC_OVERLAP", said, fix="make the archive again", where=source)
