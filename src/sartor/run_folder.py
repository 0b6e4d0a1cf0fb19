"""A run's folder: what was asked, on what, what happened, and what was found.

config.json environment.json data.json     what was asked, on which machine, on which rows (fingerprints, split)
events.jsonl                               what happened, in order
predictions/                               every finished candidate's answers on the validation part, Parquet
candidates/                                finished candidates as bundles, while the run goes on
report.json report.html bundle/            what was found
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sartor.errors import BadInput


@dataclass(frozen=True)
class RunFolder:
    """Where one run keeps what it finds. Every file appears whole or not at all, except the growing `events.jsonl`."""

    path: Path
    writes: bool = True
    """Of several processes that train together one writes; in the others every writing word does nothing."""

    @classmethod
    def claim(cls, out: str | Path, *, resume: bool = False, overwrite: bool = False, writes: bool = True) -> RunFolder:
        """The folder for a new run, or for one that goes on. Raises `BadInput` where another run's results lie."""
        if not writes:
            return cls(Path(out), writes=False)
        path = cls.free(out, resume=resume, overwrite=overwrite)
        if path.is_dir() and not resume:
            for name in ("events.jsonl", "state.json", "report.json", "report.html"):
                (path / name).unlink(missing_ok=True)
            for name in ("predictions", "candidates", "checkpoints", "bundle"):
                shutil.rmtree(path / name, ignore_errors=True)
        path.mkdir(parents=True, exist_ok=True)
        return cls(path)

    @staticmethod
    def free(out: str | Path, *, resume: bool = False, overwrite: bool = False) -> Path:
        """The path, if a run may write there; nothing is touched."""
        path = Path(out)
        if path.exists() and not path.is_dir():
            raise BadInput("OUT_NOT_DIR", "this is a file, not a folder", fix="choose another folder", where=str(out))
        if path.is_dir() and any(path.iterdir()) and not (resume or overwrite):
            fix = "choose another folder, or pass overwrite or resume"
            raise BadInput("OUT_EXISTS", "the output folder exists and is not empty", fix=fix, where=str(out))
        return path

    def write_json(self, name: str, value: Any) -> None:
        self.write_text(name, json.dumps(value, ensure_ascii=False, indent=1, default=str) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Written beside, synced, renamed."""
        if not self.writes:
            return
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
        try:
            with beside.open("w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            beside.rename(target)
        finally:
            beside.unlink(missing_ok=True)

    def read_json(self, name: str) -> Any:
        """What `write_json` wrote, or None where there is nothing."""
        try:
            return json.loads((self.path / name).read_text("utf-8"))
        except FileNotFoundError:
            return None

    def record(self, event: dict[str, Any]) -> None:
        """One line more in `events.jsonl`."""
        if not self.writes:
            return
        line = json.dumps({"time": round(time.time(), 3), **event}, ensure_ascii=False, default=str)
        with (self.path / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def drop_events(self, unwanted: Callable[[dict[str, Any]], bool]) -> int | None:
        """Take what is `unwanted`, and torn lines, out of `events.jsonl`; how many, or None where there is no file."""
        file = self.path / "events.jsonl"
        if not file.is_file():
            return None
        lines = file.read_text("utf-8", errors="replace").splitlines()
        kept = [line for line in lines if (event := _parsed(line)) is not None and not unwanted(event)]
        self.write_text(file.name, "".join(line + "\n" for line in kept))
        return len(lines) - len(kept)

    def place(self, shelf: str, name: str, ending: str = "") -> Path:
        """A path for one candidate's file: its name with what file systems dislike replaced."""
        folder = self.path / shelf
        folder.mkdir(parents=True, exist_ok=True)
        return folder / (re.sub(r"[^A-Za-z0-9._@=-]+", "_", name).strip("_") + ending)


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
