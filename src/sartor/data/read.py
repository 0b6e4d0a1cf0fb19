"""A source -> rows: files, the Hub, examples and Python objects, under one schema."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sartor.data import arrays, boxes, coco, conll, delimited, files, folders, frames, hub, jsonl, parquet, prose, sets
from sartor.data.beside import at_home
from sartor.data.hints import Hints, refuse_contradictions
from sartor.data.media_checks import sifted
from sartor.data.rows import Column, Kind, Rows, Schema
from sartor.data.schema import infer, refuse_unknown
from sartor.data.table import Table, numbered, refuse_mixed
from sartor.data.values import convert
from sartor.errors import BadInput, did_you_mean, nearest

EXAMPLES = ("docstrings",)


def read(source: Any, hints: Hints = Hints(), *, serving: bool = False, like: Schema | None = None) -> Rows:  # noqa: B008
    """Every row of `source`, or one `BadInput`.

    source   a table, a path (CSV, TSV, JSONL, Parquet, CoNLL, COCO, each plain or gzip; .npz; a folder or a zip archive
             of images or sounds by class), `hf:owner/name`, `example:docstrings`, a pandas, pyarrow or `datasets`
             table, or a list of dicts
    serving  the target column may be absent
    like     the schema of the training part or a bundle, imposed on these rows; the target is kept only if it is
             there, and of the hints only `skip_bad` counts
    """
    table = open_table(source)
    if like is not None:
        return sifted(_imposed(table, like, serving), hints.skip_bad)
    refuse_contradictions(hints)
    refuse_unknown(table.columns, hints, table.source, serving)
    refuse_mixed(table.without(hints.ignore))
    schema = infer(table.columns, hints, table.source, serving=serving)
    return sifted(_rows(table, schema), hints.skip_bad)


def open_table(source: Any) -> Table:
    """Raw cells under their columns' names, before anything is guessed about them."""
    if isinstance(source, Table):
        return source
    if not isinstance(source, str | os.PathLike):
        return boxes.gathered(frames.read(source))
    name = os.fspath(source)
    if isinstance(source, str) and name.startswith("hf:"):
        return hub.read(name)
    if isinstance(source, str) and name.startswith("example:"):
        return _example(name)
    return _file(Path(name).expanduser(), name)


def _file(path: Path, source: str) -> Table:
    if not source.strip():
        raise BadInput("DATA_NOT_FOUND", "the path is empty", fix="give the path of a file")
    annotated = coco.inside(path) if os.path.isdir(path) else None
    if annotated is not None:
        path, source = annotated, os.path.join(source, annotated.name)
    if os.path.isdir(path) and folders.has_media(path):
        return folders.of_folder(path, source)
    name, colon, part = source.rpartition(":")
    if colon and name.lower().endswith(".npz"):
        path, source = Path(name).expanduser(), name
    else:
        part = ""
    files.refuse_path(path, source)
    if folders.is_media(path.name):
        return folders.of_file(path, source)
    if conll.recognised(path, source):
        return conll.read(path, source)
    if coco.recognised(path, source):
        return at_home(coco.read(path, source), path)
    kind = files.format_of(path, source)
    if kind == "npz":
        return arrays.read(path, source, part)
    if kind == "zip":
        return folders.of_archive(path, source)
    if kind == "conll":
        return conll.read(path, source)
    if kind == "txt":
        return prose.read(path, source)
    return at_home(boxes.gathered(_delimited(path, source, kind)), path)


def _delimited(path: Path, source: str, kind: str) -> Table:
    if kind == "parquet":
        return parquet.read(path, source)
    return jsonl.read(path, source) if kind == "jsonl" else delimited.read(path, source, "," if kind == "csv" else "\t")


def _example(source: str) -> Table:
    from sartor.data.example import docstrings

    name = source.removeprefix("example:")
    if name not in EXAMPLES:
        raise BadInput("DATA_EXAMPLE", f"no example is called '{name}'", fix=did_you_mean(name, EXAMPLES))
    texts, labels = docstrings()
    return numbered(source, {"text": list(texts), "label": list(labels)})


def _rows(table: Table, schema: Schema) -> Rows:
    columns: dict[str, Sequence[Any]] = {c.name: convert(table, c.name, c.kind, schema.labels) for c in schema.columns}
    numbers = np.arange(len(table), dtype=np.int64)
    return Rows(schema, columns, numbers, table.lines, table.source, notes=table.notes)


def _imposed(table: Table, like: Schema, serving: bool = False) -> Rows:
    """The rows of a table under a schema that other rows gave; columns it does not use are left out. Serving, what is
    read is not at the same time what is to be said."""
    if like.members:
        return _imposed_on_each(table, like)
    for name in like.inputs:
        if name not in table.columns:
            close = nearest(name, table.columns)
            fix = (
                f"rename '{close}' to '{name}'"
                if close
                else f"add it; the columns here are: {', '.join(table.columns)}"
            )
            raise BadInput("DATA_COLUMN_MISSING", f"the input column '{name}' is missing", fix=fix, where=table.source)
    roles = {name: name if name in table.columns else None for name in (like.target, like.group, like.time) if name}
    if serving and like.target in like.inputs:
        like = replace(like, target=None)
    used = [c for c in like.columns if c.name in like.inputs or roles.get(c.name)]
    table = replace(table, columns={c.name: table.columns[c.name] for c in used})
    refuse_mixed(table)
    columns = tuple(_counted(c.name, c.kind, c.why, table) for c in used)
    target, group, time = (roles.get(name) if name else None for name in (like.target, like.group, like.time))
    return _rows(table, Schema(columns, target, like.inputs, group, time, like.labels))


def _imposed_on_each(table: Table, like: Schema) -> Rows:
    """Rows of several tasks, each under the schema of its own, in the order of the table."""
    sets.refuse_unknown(table, list(like.members))
    found = sets.apart(table)
    joined = sets.join({name: _asked(_imposed(part, like.members[name])) for name, (_, part) in found.items()})
    order = np.argsort(np.concatenate([where for where, _ in found.values()]))
    return replace(joined.take(order), numbers=np.arange(len(table), dtype=np.int64))


def _asked(rows: Rows) -> Rows:
    """The rows, without a target column that only other tasks' rows fill in."""
    return rows.untargeted() if all(value is None for value in rows.targets() or ()) else rows


def _counted(name: str, kind: Kind, why: str, table: Table) -> Column:
    values = table.columns[name]
    present = [v for v in values if v is not None and v != ""]
    distinct = len({v if v.__hash__ else repr(v) for v in present})
    return Column(name, kind, why, len(values) - len(present), distinct)
