"""Python objects, Parquet and the Hub as sources."""

from __future__ import annotations

import datetime
import gzip
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sartor.data import hub
from sartor.data.hints import Hints
from sartor.data.read import read
from sartor.errors import BadEnvironment, BadInput

Refusal = Callable[..., str]
ACCEPTED = (
    "give a path, 'hf:owner/name', 'example:docstrings', a pandas or pyarrow table, "
    "a datasets.Dataset or a list of dicts"
)
COLUMNS = {
    "text": ["one two", "three", None],
    "label": ["a", "b", "a"],
    "n": [1.5, None, 2.0],
    "tags": [["x"], [], ["x", "y"]],
}


def test_every_table_gives_the_same_rows(tmp_path: Path) -> None:
    table = pa.table(COLUMNS)
    pq.write_table(table, tmp_path / "d.parquet")
    (tmp_path / "d.parquet.gz").write_bytes(gzip.compress((tmp_path / "d.parquet").read_bytes()))
    dicts = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]
    sources = [table, dicts, pd.DataFrame(COLUMNS), tmp_path / "d.parquet", str(tmp_path / "d.parquet.gz")]
    for source in sources:
        rows = read(source)
        assert rows.columns == COLUMNS
        assert rows.lines.tolist() == [1, 2, 3]
        assert rows.schema.target == "label"
        assert rows.schema.kind("tags") == "labels"
    assert read(table).source == "Table"
    assert read(dicts).place(2) == "rows:3"


def test_a_dataset_gives_its_class_names() -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    made = datasets.Dataset.from_dict({"text": ["a b", "c"], "label": [1, 0]}, features=features)
    assert read(made).columns == {"text": ["a b", "c"], "label": ["yes", "no"]}
    assert read(datasets.DatasetDict({"train": made})).columns["label"] == ["yes", "no"]


def test_dates_and_numpy_numbers_become_plain_values() -> None:
    frame = pd.DataFrame({"text": ["a b", "c d"], "label": [1, 0], "day": pd.to_datetime(["2024-01-02", "2024-01-03"])})
    rows = read(frame)
    assert rows.columns["label"] == ["1", "0"]
    assert rows.columns["day"] == ["2024-01-02T00:00:00", "2024-01-03T00:00:00"]
    assert rows.schema.kind("day") == "date"
    assert read([{"text": "a b", "label": "x", "day": datetime.date(2024, 1, 2)}]).columns["day"] == ["2024-01-02"]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (None, f"error[DATA_FORMAT]: the data have the type NoneType. Fix: {ACCEPTED}."),
        (5, f"error[DATA_FORMAT]: the data have the type int. Fix: {ACCEPTED}."),
        (b"x", f"error[DATA_FORMAT]: the data have the type bytes. Fix: {ACCEPTED}."),
        ([], "error[DATA_NO_ROWS]: rows: the list has no rows. Fix: add rows."),
        (
            [1],
            "error[DATA_FORMAT]: rows:1: the row has the type int, not dict. Fix: give dicts of column name to value.",
        ),
        (pd.DataFrame(), "error[DATA_NO_ROWS]: DataFrame: the DataFrame has no rows. Fix: add rows."),
        (pd.Series([1]), "error[DATA_FORMAT]: the data are of the pandas type Series. Fix: give a DataFrame."),
        (pa.table({"a": []}), "error[DATA_NO_ROWS]: Table: the table has no rows. Fix: add rows."),
        (
            pd.DataFrame([[1, 2]], columns=["a", "a"]),
            "error[DATA_COLUMN_DUPLICATE]: DataFrame: the name 'a' stands over columns 1 and 2. "
            "Fix: rename one of them.",
        ),
        (
            [{"text": b"\x80\x04", "label": "x"}],
            "error[PQ_PICKLE]: column 'text' holds bytes that are neither an image nor a sound. "
            "Fix: write texts or numbers, or leave it out with --ignore text.",
        ),
        ("hf:a b", "error[DATA_HUB_NAME]: 'hf:a b' is no dataset's name. Fix: write hf:owner/name."),
        (
            "example:docstring",
            "error[DATA_EXAMPLE]: no example is called 'docstring'. Fix: did you mean 'docstrings'? Known: docstrings.",
        ),
    ],
)
def test_refused_in_one_sentence(source: object, sentence: str, refusal: Refusal) -> None:
    assert refusal(source) == sentence


def test_a_hub_name_without_a_network_says_what_to_give(monkeypatch: pytest.MonkeyPatch, refusal: Refusal) -> None:
    datasets = pytest.importorskip("datasets")

    def unreachable(_: str) -> None:
        assert datasets.config.HF_HUB_OFFLINE
        raise ConnectionError("no route")

    monkeypatch.setattr(hub, "reachable", lambda _: False)
    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    before = datasets.config.HF_HUB_OFFLINE
    assert refusal("hf:owner/name") == (
        "error[DATA_HUB]: hf:owner/name: the dataset could not be loaded (ConnectionError). "
        "Fix: export it to Parquet or JSONL where there is a network (Dataset.to_parquet) and give that file's path."
    )
    assert before == datasets.config.HF_HUB_OFFLINE


def test_a_hub_name_is_read_through_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_dict({"text": ["a b", "c"], "label": ["x", "y"]})
    monkeypatch.setattr(hub, "reachable", lambda _: False)
    monkeypatch.setattr(datasets, "load_dataset", lambda name: {"train": made} if name == "owner/name" else None)
    rows = read("hf:owner/name")
    assert rows.columns == {"text": ["a b", "c"], "label": ["x", "y"]}
    assert rows.source == "hf:owner/name"


def test_a_hub_name_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(BadEnvironment) as caught:
        read("hf:owner/name")
    assert caught.value.sentence() == (
        "error[EXTRA_MISSING]: reading 'hf:owner/name' needs the package 'datasets', which is not installed. "
        'Fix: pip install "sartor[datasets]".'
    )


def test_nothing_answers_at_a_closed_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.getproxies", dict)
    assert not hub.reachable("http://localhost:9")
    monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": "proxy"})
    assert hub.reachable("http://localhost:9")


def test_images_and_sounds_are_known_by_their_first_bytes() -> None:
    rows = read([{"picture": {"bytes": b"\x89PNG..", "path": None}, "clip": b"RIFF....", "label": "x"}])
    assert (rows.schema.kind("picture"), rows.schema.kind("clip")) == ("image", "audio")


def test_an_arrow_object_of_another_library() -> None:
    batch = pa.RecordBatch.from_pydict({"text": ["a b"], "label": ["x"]})
    assert read(pa.RecordBatchReader.from_batches(batch.schema, [batch])).columns == {"text": ["a b"], "label": ["x"]}


def test_the_ignored_column_may_hold_bytes() -> None:
    rows = read([{"text": "a b", "label": "x", "raw": b"\x80"}], Hints(ignore=("raw",)))
    assert rows.schema.inputs == ("text",)


def test_pictures_that_a_program_made_are_images() -> None:
    from PIL import Image

    from sartor.data.pictures import opened

    made = [np.full((6, 5, 3), i, dtype=np.uint8) for i in range(4)]
    given = {"arrays": made, "Pillow": [Image.fromarray(p) for p in made], "grey": [p[:, :, 0] for p in made]}
    for pictures in given.values():
        rows = read([{"image": p, "label": "ab"[i % 2]} for i, p in enumerate(pictures)])
        assert rows.schema.kind("image") == "image"
        assert [np.asarray(opened(m)).tolist() for m in rows.column("image")] == [p.tolist() for p in made]
    with pytest.raises(BadInput) as raised:
        read([{"image": np.zeros((6, 5)), "label": "a"}, {"image": np.zeros((6, 5)), "label": "b"}])
    assert str(raised.value) == (
        "error[IMG_ARRAY]: 'image 1' is a picture of shape (6, 5) and type float64. "
        "Fix: give bytes (uint8), (height, width) or (height, width, 3)."
    )


def test_images_of_a_dataset_stay_as_they_are_stored() -> None:
    datasets = pytest.importorskip("datasets")
    from image_samples import SHAPES, encoded, picture

    stored = [encoded(picture(s, np.random.default_rng(0))) for s in SHAPES]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(SHAPES))})
    held = {"image": [{"bytes": b, "path": None} for b in stored], "label": [0, 1, 2]}
    rows = read(datasets.Dataset.from_dict(held, features=features))
    assert [m.read() for m in rows.column("image")] == stored
    assert rows.column("label") == list(SHAPES)
