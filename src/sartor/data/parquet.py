"""Parquet -> a table, through pyarrow."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from sartor.data import files
from sartor.data.frames import named
from sartor.data.table import Table, numbered
from sartor.errors import BadInput


def read(path: Path, source: str) -> Table:
    """The table in a Parquet file, plain or gzip; raises `BadInput` for a damaged one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with files.opened(path, source, "parquet") as stream:
        content: Any = stream
        if path.suffix.lower() == ".gz":  # Parquet is read from its end, which a gzip stream cannot be
            content = io.BytesIO(b"".join(files.blocks(stream, source)))
        try:
            table = pq.ParquetFile(content).read()
            return from_arrow(table, source)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, PermissionError):
                raise
            raise BadInput(
                "PQ_CORRUPT", "the Parquet file is damaged", fix="copy or write it again", where=source
            ) from None


def from_arrow(table: Any, source: str) -> Table:
    """A pyarrow table with its cells as Python values."""
    if table.num_rows == 0:
        raise BadInput("DATA_NO_ROWS", "the table has no rows", fix="add rows", where=source)
    names = [str(name) for name in table.column_names]
    values = [table.column(i).to_pylist() for i in range(len(names))]
    if len(set(names)) < len(names):
        from sartor.data.table import refuse_names

        refuse_names(names, source)
    known = _label_names(table.schema.metadata or {})
    return numbered(source, {n: named(v, known.get(n)) for n, v in zip(names, values, strict=True)})


def _label_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Column -> the names of its numbers, where `datasets` wrote the file and its labels into it."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
        found = {name: kind.get("feature", kind).get("names") for name, kind in features.items()}
    except (ValueError, AttributeError):  # somebody else's note under this name
        return {}
    return {name: names for name, names in found.items() if isinstance(names, list)}
