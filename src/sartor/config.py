"""A configuration file, read strictly: every value is kept as the text that stands there, with its line.

YAML's own guesses (`no` is false, `012` is ten, `1e-4` is text, the last of two equal keys wins) are not made: the
setting that receives a value decides what its text means. Tags, anchors, aliases and second documents are refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sartor.errors import BadInput, nearest

MAX_BYTES = 256_000
MAX_DEPTH = 20
SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class Entry:
    """A value in a file: text, None, a tuple of entries or a mapping to entries; and the place, `file:line`."""

    value: Any
    where: str


def read_config(path: Path) -> dict[str, Entry]:
    """The file's top level. Raises `BadInput` with a CFG code and `file:line`."""
    text = _text(path)
    if path.suffix.lower() == ".json":
        _check_json(text, path)
        text = text.replace("\t", " ")  # outside strings by now, where JSON allows a tab and YAML does not
    root = _Reader(path, text).root()
    if root.value is None:
        raise BadInput(
            "CFG_EMPTY", "the file has no settings", fix="`sartor init DATA` writes a draft", where=str(path)
        )
    if not isinstance(root.value, dict):
        raise BadInput("CFG_SHAPE", "the top level is no mapping", fix="write `key: value` lines", where=root.where)
    return root.value


def _text(path: Path) -> str:
    where = str(path)
    if path.suffix.lower() not in SUFFIXES:
        raise BadInput("CFG_FORMAT", "the file is neither YAML nor JSON", fix="name it .yaml or .json", where=where)
    if path.is_dir():
        raise BadInput("CFG_IS_DIR", "this is a folder", fix="name the file inside it", where=where)
    if not path.is_file():
        raise BadInput("CFG_NOT_FOUND", "there is no such file", fix=_other_file(path), where=where)
    if path.stat().st_size > MAX_BYTES:
        raise BadInput(
            "CFG_SIZE", f"the file is larger than {MAX_BYTES} bytes", fix="give a configuration file", where=where
        )
    return _decoded(path.read_bytes(), where)


def _other_file(path: Path) -> str:
    there = [p.name for p in path.parent.iterdir() if p.suffix in SUFFIXES] if path.parent.is_dir() else []
    close = nearest(path.name, there)
    return f"did you mean '{path.parent / close}'?" if close else "`sartor init DATA` writes a draft"


def _decoded(raw: bytes, where: str) -> str:
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise BadInput("CFG_ENCODING", "the file is UTF-16", fix="save it as UTF-8", where=where)
    if b"\0" in raw:
        raise BadInput("CFG_NOT_TEXT", "the file holds NUL bytes", fix="give a UTF-8 text file", where=where)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        message = f"byte {error.start} is not UTF-8"
        raise BadInput("CFG_ENCODING", message, fix="save it as UTF-8", where=f"{where}:{line}") from None
    if "\ufeff" in text:
        line = text.count("\n", 0, text.index("\ufeff")) + 1
        raise BadInput("CFG_ENCODING", "a byte order mark stands here", fix="remove it", where=f"{where}:{line}")
    return text


def _check_json(text: str, path: Path) -> None:
    def refuse(name: str) -> None:
        raise BadInput("CFG_SYNTAX", f"{name} is no JSON", fix="write a finite number", where=str(path))

    if not text.strip():
        return
    try:
        json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        place = f"{path}:{error.lineno}:{error.colno}"
        raise BadInput("CFG_SYNTAX", f"this is not JSON ({error.msg})", fix="correct it here", where=place) from None
    except RecursionError:
        raise _too_deep(str(path)) from None


def _too_deep(where: str) -> BadInput:
    return BadInput("CFG_DEPTH", f"values are nested deeper than {MAX_DEPTH} levels", fix="write it flat", where=where)


class _Reader:
    """YAML events -> entries. PyYAML only splits the text; nothing is constructed by it."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.text = text
        self.events = self._events()

    def root(self) -> Entry:
        import yaml

        root = Entry(None, str(self.path))
        documents = 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._bad("CFG_MULTIDOC", event, "a second document begins", "keep one document")
                root = self._entry(next(self.events), 0)
        return root

    def _events(self) -> Iterator[Any]:
        """Every event, with all that is refused refused. Raises `BadInput`."""
        import yaml

        try:
            for event in yaml.parse(self.text, Loader=yaml.SafeLoader):
                if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                    raise self._bad("CFG_ALIAS", event, "anchors and aliases are not allowed", "write the value out")
                if tag := getattr(event, "tag", None):
                    raise self._bad("CFG_TAG", event, "tags are not allowed", f"remove '{tag}'")
                yield event
        except yaml.reader.ReaderError:
            fix = "give a UTF-8 text file"
            raise BadInput("CFG_NOT_TEXT", "the file holds control characters", fix=fix, where=str(self.path)) from None
        except yaml.MarkedYAMLError as error:
            raise self._syntax(error) from None

    def _syntax(self, error: Any) -> BadInput:
        mark = error.problem_mark or error.context_mark
        place = f"{self.path}:{mark.line + 1}:{mark.column + 1}" if mark else str(self.path)
        tab = "'\\t'" in str(error.problem)
        above = error.context_mark is not None and mark is not None and error.context_mark.line < mark.line
        opened = f"; what is open began in line {error.context_mark.line + 1}" if above else ""
        fix = "indent with spaces, not tabs" if tab else "close every quote and bracket, and write `key: value`"
        return BadInput("CFG_SYNTAX", f"this is not YAML ({error.problem}{opened})", fix=fix, where=place)

    def _entry(self, event: Any, depth: int) -> Entry:
        import yaml

        where = self._place(event)
        if depth > MAX_DEPTH:
            raise _too_deep(where)
        if isinstance(event, yaml.ScalarEvent):
            return Entry(_scalar(event), where)
        if isinstance(event, yaml.SequenceStartEvent):
            items = iter(lambda: next(self.events), None)
            return Entry(tuple(self._entry(e, depth + 1) for e in _until(items, yaml.SequenceEndEvent)), where)
        return Entry(self._mapping(depth), where)

    def _mapping(self, depth: int) -> dict[str, Entry]:
        import yaml

        found: dict[str, Entry] = {}
        for event in _until(iter(lambda: next(self.events), None), yaml.MappingEndEvent):
            key = self._key(event)
            value = self._entry(next(self.events), depth + 1)
            if key in found:
                message = f"'{key}' stands twice, first at {found[key].where}"
                raise self._bad("CFG_DUPLICATE", event, message, "keep one")
            found[key] = Entry(value.value, self._place(event))
        return found

    def _key(self, event: Any) -> str:
        import yaml

        if not isinstance(event, yaml.ScalarEvent):
            raise self._bad("CFG_KEY_TYPE", event, "a list or mapping is no key", "write a plain name before the colon")
        if event.value == "<<":
            raise self._bad("CFG_ALIAS", event, "merge keys are not allowed", "write the keys out")
        return _whole(event.value)

    def _place(self, event: Any) -> str:
        return f"{self.path}:{event.start_mark.line + 1}"

    def _bad(self, code: str, event: Any, message: str, fix: str) -> BadInput:
        return BadInput(code, message, fix=fix, where=self._place(event))


def _until(events: Iterator[Any], end: type) -> Iterator[Any]:
    for event in events:
        if isinstance(event, end):
            return
        yield event


def _scalar(event: Any) -> str | None:
    if event.style is None and event.value in ("", "~", "null"):
        return None
    return _whole(event.value)


def _whole(text: str) -> str:
    """JSON writes a character beyond 16 bits as two escapes, which YAML reads one by one."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
