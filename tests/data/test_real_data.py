"""Real data sets, where they are at hand: nothing clean is called an error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sartor.data.checks import check
from sartor.data.hints import Hints
from sartor.data.read import read
from sartor.data.split import split

SHARED = Path(os.environ.get("SARTOR_SHARED", Path(__file__).parents[2].parent / "shared")) / "data"

SETS = [
    ("sst2/train.jsonl.gz", Hints(), "category", 1),
    ("banking77/train.jsonl.gz", Hints(), "category", 1),
    ("trec6/train.jsonl.gz", Hints(), "category", 1),
    ("sick/train.jsonl.gz", Hints(target="relatedness"), "number", 2),
    ("sick/train.jsonl.gz", Hints(text=("sentence1", "sentence2")), "category", 2),
    ("german_credit/train.csv", Hints(), "category", 0),
    ("taiwan_default/train.csv.gz", Hints(target="default"), "category", 0),
    ("warfarin_iwpc/train.csv.gz", Hints(target="Therapeutic Dose of Warfarin"), "number", 2),
    ("chnsenticorp/train.jsonl.gz", Hints(), "category", 1),
    ("movielens100k/ratings_u1_base.csv.gz", Hints(time="timestamp"), "category", 0),
]


@pytest.mark.parametrize(("name", "hints", "kind", "texts"), SETS)
def test_no_false_error(name: str, hints: Hints, kind: str, texts: int) -> None:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"the development data set {name} is not on this machine (SARTOR_SHARED names its folder)")
    rows = read(path, hints)
    assert rows.schema.target is not None
    assert rows.schema.kind(rows.schema.target) == kind
    assert len(rows.schema.reading("text")) == texts
    assert [p.sentence() for p in check(rows) if p.severity == "error"] == []
    sizes = split(rows).sizes()
    assert min(sizes.values()) >= 0.099 * len(rows)
