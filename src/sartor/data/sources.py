"""Sources: several data sets as a user gives them, each under a name, with what is said of it alone."""

from __future__ import annotations

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sartor.data.hints import Hints
from sartor.errors import BadInput, did_you_mean


@dataclass(frozen=True)
class Source:
    """One data set: where its rows are, what is said of their columns, its task (none: guessed), and given parts."""

    data: Any
    hints: Hints = field(default_factory=Hints)
    task: str | None = None
    validation: Any = None
    test: Any = None


def sources(data: Any, hints: Hints) -> dict[str, Source]:
    """Name -> data set, where `data` are several: a list of paths, or a dict of name to path, table, `Source` or the
    fields of one (its hints as fields too). Empty where they are one. `hints` hold where a set has none of its own.

    Raises `BadInput` for names that cannot tell the sets apart, or where there is only one.
    """
    if type(data) is dict:
        found = {str(name): _source(value, hints, str(name)) for name, value in data.items()}
    elif isinstance(data, list | tuple) and data and all(isinstance(one, str | os.PathLike) for one in data):
        found = {name: Source(path, hints) for name, path in named([os.fspath(one) for one in data]).items()}
    else:
        return {}
    for name in found:
        if not name.strip() or "/" in name or not name.isprintable():
            raise BadInput("TASKS_NAME", f"a data set is called {name!r}", fix="give it a plain name without a slash")
    if len(found) < 2:
        fix = "give another one, or this one by itself"
        raise BadInput("TASKS_FEW", f"{len(found) or 'no'} data set is given where several are learned from", fix=fix)
    return found


def named(paths: Sequence[str]) -> dict[str, str]:
    """Name -> path. `NAME=PATH` gives the name; else it is the file's, or its folder's where files are called alike."""
    given = [_parted(path) for path in paths]
    stems = Counter(_stem(path) for name, path in given if name is None)
    found: dict[str, str] = {}
    for name, path in given:
        alike = name is None and stems[_stem(path)] > 1
        said = name or (Path(path).parent.name if alike else _stem(path)) or _stem(path)
        if said in found:
            fix = f"name them, such as {said}_2={path}"
            raise BadInput("TASKS_NAME", f"two data sets are called '{said}'", fix=fix, where=path)
        found[said] = path
    return found


def _parted(path: str) -> tuple[str | None, str]:
    """`sst2=train.jsonl` -> its name and its path; a path that holds an equals sign stays one."""
    found = re.fullmatch(r"([\w.-]+)=(.+)", path)
    return (None, path) if found is None or Path(path).exists() else (found[1], found[2])


def _stem(path: str) -> str:
    """`data/reviews.jsonl.gz` -> reviews, `hf:owner/name` -> name, `example:docstrings` -> docstrings."""
    return Path(path).name.split(":")[-1].split(".")[0]


def _source(value: Any, hints: Hints, name: str) -> Source:
    if isinstance(value, Source):
        return value
    if type(value) is not dict:
        return Source(value, hints)
    own = {f.name for f in dataclasses.fields(Source)} - {"hints"}
    said = {f.name for f in dataclasses.fields(Hints)}
    for key in value:
        if key not in own | said:
            fix = did_you_mean(str(key), own | said)
            raise BadInput("TASKS_SETTING", f"the data set '{name}' has no setting '{key}'", fix=fix)
    if "data" not in value:
        raise BadInput("TASKS_DATA", f"the data set '{name}' has no data", fix="give its path under 'data'")
    changed = {key: _listed(key, one) for key, one in value.items() if key in said}
    return Source(hints=dataclasses.replace(hints, **changed), **{key: value[key] for key in own & value.keys()})


def _listed(key: str, value: Any) -> Any:
    """A single column where the hint holds several."""
    several: Mapping[str, Any] = {f.name: f.default for f in dataclasses.fields(Hints)}
    return (value,) if isinstance(several[key], tuple) and isinstance(value, str) else value
