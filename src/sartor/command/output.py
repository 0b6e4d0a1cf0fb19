"""Where results go: checked before any work begins, so that nothing is lost and nothing is half written."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from sartor.errors import BadInput

OURS = ("sartor/manifest.json", "bundle/sartor/manifest.json", "events.jsonl", "report.json", "environment.json")


def default_folder(data: str) -> str:
    """`runs/NAME`, or the first free `runs/NAME-2`, `runs/NAME-3`, ..."""
    name = re.sub(r"[^\w-]+", "-", Path(data).name.split(":")[-1].split(".")[0]).strip("-") or "data"
    folder, number = Path("runs") / name, 1
    while folder.exists():
        number += 1
        folder = Path("runs") / f"{name}-{number}"
    return str(folder)


def check_folder(out: str, inputs: Iterable[str], *, resume: bool, overwrite: bool) -> None:
    """Raise `BadInput` where a run may not write into the folder `out`."""
    folder = Path(out)
    if os.path.lexists(folder) and not folder.is_dir():
        raise BadInput("OUT_NOT_DIR", "this is a file, not a folder", fix="choose a folder with --out", where=out)
    _check_apart(folder, [Path(p) for p in inputs])
    if folder.is_dir() and any(folder.iterdir()) and not resume:
        if not overwrite:
            fix = "choose another --out, or add --overwrite or --resume"
            raise BadInput("OUT_EXISTS", "the output folder exists and is not empty", fix=fix, where=out)
        if not any((folder / name).exists() for name in OURS):
            raise BadInput("OUT_FOREIGN", "the folder was not written by Sartor", fix="choose another --out", where=out)
    _check_writable(folder)


def check_file(out: str, inputs: Iterable[str], *, overwrite: bool) -> None:
    """Raise `BadInput` where the file `out` may not be written."""
    file = Path(out)
    if file.is_dir():
        raise BadInput("OUT_IS_DIR", "this is a folder", fix="name a file inside it", where=out)
    if any(Path(p).exists() and file.exists() and file.samefile(p) for p in inputs):
        raise BadInput("OUT_IS_DATA", "the output is also an input", fix="choose another --out", where=out)
    if os.path.lexists(file) and not overwrite:
        raise BadInput(
            "OUT_EXISTS", "the output file exists", fix="choose another --out, or add --overwrite", where=out
        )
    _check_writable(file.parent)


def _check_apart(folder: Path, inputs: list[Path]) -> None:
    """Neither lies in the other: a run must not write among the data, nor an overwrite remove them."""
    whole = folder.resolve()
    for given in (p.resolve() for p in inputs if p.exists()):
        if given.is_dir() and whole.is_relative_to(given):
            raise BadInput(
                "OUT_INSIDE_DATA",
                f"the output lies inside the input '{given.name}'",
                fix="choose another --out",
                where=str(folder),
            )
        if given.is_relative_to(whole):
            raise BadInput(
                "OUT_HOLDS_DATA",
                f"the folder holds the input '{given.name}'",
                fix="choose another --out",
                where=str(folder),
            )


def _check_writable(folder: Path) -> None:
    """The folder, or the nearest one above it that exists, takes new files."""
    there = next(p for p in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(p))
    if not there.is_dir():
        raise BadInput(
            "OUT_NOT_DIR", f"'{there.name}' is a file, not a folder", fix="choose another --out", where=str(folder)
        )
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        message = f"nothing can be written here ({error.strerror})"
        raise BadInput(
            "OUT_UNWRITABLE", message, fix="choose another --out, or change its permissions", where=str(folder)
        ) from None
