"""Images or sounds in folders by class, on the disk or in a zip archive, -> a table: `CLASS/x.png` says its label."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from sartor.data.archive import Archive, is_litter, shared
from sartor.data.kinds import IMAGES, SOUNDS
from sartor.data.media import Folder, Source
from sartor.data.table import Table
from sartor.errors import BadInput

PARTS = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing"})
"""Folders of these names are parts of one data set, not classes."""


def is_media(name: str) -> bool:
    return name.lower().endswith(IMAGES + SOUNDS)


def of_folder(path: Path, source: str) -> Table:
    """The images or sounds below a folder."""
    return _table(sorted(filter(is_media, _below(path))), source, Folder(path))


def of_file(path: Path, source: str) -> Table:
    """One image or sound alone, to be answered."""
    return _table([path.name], source, Folder(path.parent))


def of_archive(path: Path, source: str) -> Table:
    """The images or sounds in a zip archive."""
    archive = Archive(path, source)
    return _table(sorted(filter(is_media, archive.members)), source, archive)


def has_media(path: Path) -> bool:
    """Whether anything below the folder is an image or a sound."""
    return any(map(is_media, _below(path)))


def _below(path: Path) -> Iterator[str]:
    """Names below `path`, links to folders not followed, what systems leave behind left out."""
    for folder, inner, files in os.walk(path):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        names = ((Path(folder) / name).relative_to(path).as_posix() for name in files)
        yield from (name for name in names if not is_litter(name))


def _table(names: list[str], source: str, home: Source) -> Table:
    if not names:
        fix = "give a folder or archive of .jpg or .wav files in a folder for each class, or a table that names them"
        raise BadInput("MEDIA_NONE", "there is no image and no sound in it", fix=fix, where=source)
    kind = _one_kind(names, source)
    above = [PurePosixPath(name).parts[:-1] for name in names]
    same = shared(above)
    labels = ["/".join(parts[same:]) for parts in above]
    _refuse_parts(labels, source)
    columns: dict[str, list[str | None]] = {kind: list(names)}
    if any(labels):
        columns["label"] = [label or None for label in labels]
    return Table(source, columns, np.arange(1, len(names) + 1), home)


def _one_kind(names: list[str], source: str) -> str:
    images = [name for name in names if name.lower().endswith(IMAGES)]
    if len(images) not in (0, len(names)):
        sound = next(name for name in names if not name.lower().endswith(IMAGES))
        said = f"it holds images ('{images[0]}') and sounds ('{sound}')"
        raise BadInput("MEDIA_MIXED", said, fix="keep them apart, or give a table that names both", where=source)
    return "image" if images else "audio"


def _refuse_parts(labels: list[str], source: str) -> None:
    """Raise `BadInput` where the topmost folders are the parts of a data set."""
    top = sorted({label.partition("/")[0] for label in labels})
    if len(top) > 1 and all(name.casefold() in PARTS for name in top):
        given = "".join(f" --{_role(name)} {source}/{name}" for name in top if not name.startswith("train"))
        said = f"its folders are parts, not classes: {', '.join(top)}"
        raise BadInput("DATA_PARTS", said, fix=f"give each one by itself: {source}/train{given}", where=source)


def _role(name: str) -> str:
    return "test" if name.casefold().startswith("test") else "validation"
