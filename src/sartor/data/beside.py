"""What lies beside a table: the images and sounds that its cells name, as files or inside zip archives."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from sartor.data.archive import Archive
from sartor.data.folders import is_media
from sartor.data.kinds import IMAGES
from sartor.data.media import Folder
from sartor.data.table import Table
from sartor.errors import BadInput

MOST_ARCHIVES = 100
"""Zip archives beside a table that are looked into."""


@dataclass(frozen=True)
class Beside:
    """Files in the table's folder, and members of the archives there; those with a name like the table's come first."""

    path: Path

    def read(self, name: str) -> bytes:
        if (self._folder.root / name).is_file():
            return self._folder.read(name)
        refused: BadInput | None = None
        for archive in self.archives:
            try:
                if archive.find(name) is not None:
                    return archive.read(name)
            except BadInput as error:
                refused = refused or error
        if refused is not None:
            raise refused
        return self._folder.read(name)

    @functools.cached_property
    def archives(self) -> list[Archive]:
        """The zip archives beside the table, the likeliest first."""
        there = sorted(self.path.parent.glob("*.zip"), key=lambda p: (-_alike(p.name, self.path.name), p.name))
        return [Archive(path, str(path)) for path in there[:MOST_ARCHIVES]]

    @functools.cached_property
    def _folder(self) -> Folder:
        return Folder(self.path.parent)


def _alike(one: str, other: str) -> int:
    """How many letters two names begin with alike."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def at_home(table: Table, path: Path) -> Table:
    """The table with the place that its cells' names lead to, and with the images or sounds that its archive has for
    each of its rows, where no cell names them."""
    home = Beside(path)
    table = replace(table, home=home)
    stem = path.name.split(".")[0]
    own = [a for a in home.archives if a.path.stem in (stem, f"{stem}_images", f"{stem}_audio", "images", "audio")]
    if not own or any(_names_media(values) for values in table.columns.values()):
        return table
    return _joined(table, own[0])


def _names_media(values: Sequence[object]) -> bool:
    first = next((v for v in values if v is not None and v != ""), None)
    return isinstance(first, bytes | dict) or (isinstance(first, str) and is_media(first))


def _joined(table: Table, archive: Archive) -> Table:
    """The table and, for each row, the member that is called as one of its cells says (`17026` is `17026.jpg`)."""
    members = {PurePosixPath(name).stem: name for name in archive.members if is_media(name)}
    for values in table.columns.values():
        found = [members.get(str(v)) for v in values]
        if members and None not in found and len(set(found)) == len(found):
            kind = "image" if str(found[0]).lower().endswith(IMAGES) else "audio"
            return table if kind in table.columns else replace(table, columns={**table.columns, kind: found})
    return table
