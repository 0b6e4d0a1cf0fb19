"""Objects that already hold rows (pandas, pyarrow, `datasets`, lists of dicts) -> a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sartor.data import sounds
from sartor.data.table import Table, numbered
from sartor.errors import BadInput

ACCEPTED = (
    "a path, 'hf:owner/name', 'example:docstrings', a pandas or pyarrow table, a datasets.Dataset or a list of dicts"
)


def read(value: Any) -> Table:
    """The table in a Python object; which library made it is asked of its type, so none is imported for nothing."""
    library = type(value).__module__.split(".")[0]
    name = type(value).__name__
    if library == "pandas":
        return _from_pandas(value)
    if library == "datasets":
        return from_dataset(value, "Dataset")
    if library == "pyarrow" or hasattr(value, "__arrow_c_stream__"):
        import pyarrow as pa

        from sartor.data.parquet import from_arrow

        return from_arrow(value if isinstance(value, pa.Table) else pa.table(value), name)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return _from_dicts(value)
    raise BadInput("DATA_FORMAT", f"the data have the type {name}", fix=f"give {ACCEPTED}")


def _from_pandas(frame: Any) -> Table:
    if type(frame).__name__ != "DataFrame":
        raise BadInput("DATA_FORMAT", f"the data are of the pandas type {type(frame).__name__}", fix="give a DataFrame")
    if len(frame) == 0:
        raise BadInput("DATA_NO_ROWS", "the DataFrame has no rows", fix="add rows", where="DataFrame")
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        from sartor.data.table import refuse_names

        refuse_names(names, "DataFrame")
    columns = {}
    for i, name in enumerate(names):
        column = frame.iloc[:, i]
        present = column.notna().tolist()
        columns[name] = [v if there else None for v, there in zip(column.tolist(), present, strict=True)]
    return numbered("DataFrame", {name: _held(name, values) for name, values in columns.items()})


def _held(name: str, values: list[Any]) -> list[Any]:
    """A column of pictures (Pillow's or arrays of bytes) or sounds (samples and their rate) that a program made as
    media; any other as it is."""
    first = next((v for v in values if v is not None), None)
    if isinstance(first, Mapping) and {"array", "sampling_rate"} <= set(first):
        return [None if v is None else sounds.recorded(v, f"{name} {i + 1}") for i, v in enumerate(values)]
    made = type(first).__module__.split(".")[0]
    if made != "PIL" and not (made == "numpy" and getattr(first, "ndim", 0) > 1):
        return values
    from sartor.data.arrays import drawn

    return [None if v is None else drawn(v, f"{name} {i + 1}") for i, v in enumerate(values)]


def from_dataset(dataset: Any, source: str) -> Table:
    """A `datasets.Dataset`; of several splits, the one called train."""
    if isinstance(dataset, Mapping):
        if "train" not in dataset:
            raise BadInput(
                "DATA_SPLIT", f"the dataset has the splits {', '.join(dataset)}", fix="pass one of them", where=source
            )
        dataset = dataset["train"]
    if not hasattr(dataset, "column_names") or not hasattr(dataset, "__len__"):
        raise BadInput("DATA_FORMAT", "the dataset is a stream", fix="load it without streaming=True", where=source)
    if len(dataset) == 0:
        raise BadInput("DATA_NO_ROWS", "the dataset has no rows", fix="add rows", where=source)
    plain = dataset.with_format(None)
    for name, feature in plain.features.items():
        if getattr(feature, "decode", False):  # images and sounds come as they are stored, and are read here
            plain = plain.cast_column(name, type(feature)(decode=False))
    names = {c: _names_of(plain.features[c]) for c in plain.column_names}
    columns = {c: list(plain[c]) for c in plain.column_names}
    return numbered(source, {c: named(values, names[c]) for c, values in columns.items()})


def _names_of(feature: Any) -> Sequence[str] | None:
    """The names of a ClassLabel, or of a list of them."""
    return getattr(getattr(feature, "feature", feature), "names", None)


def named(values: list[Any], names: Sequence[str] | None) -> list[Any]:
    """A ClassLabel column by its names, or one of lists of them; -1 is how `datasets` writes an unknown label."""
    if names is None:
        return values
    if all(v is None or isinstance(v, list) for v in values):
        return [None if v is None else named(v, names) for v in values]
    if not all(v is None or isinstance(v, int) for v in values):
        return values
    return [None if v is None or v < 0 else names[v] for v in values]


def _from_dicts(rows: Sequence[Any]) -> Table:
    if not rows:
        raise BadInput("DATA_NO_ROWS", "the list has no rows", fix="add rows", where="rows")
    names: dict[str, None] = {}
    for i, row in enumerate(rows):
        if not isinstance(row, Mapping):
            message = f"the row has the type {type(row).__name__}, not dict"
            raise BadInput("DATA_FORMAT", message, fix="give dicts of column name to value", where=f"rows:{i + 1}")
        names.update(dict.fromkeys(map(str, row)))
    return numbered("rows", {name: _held(name, [row.get(name) for row in rows]) for name in names})
