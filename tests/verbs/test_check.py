"""The check verb as a function."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sartor.data.hints import Hints
from sartor.errors import BadInput
from sartor.verbs.check import check


def rows(count: int, first: int = 0) -> list[dict[str, object]]:
    return [{"text": f"row {i} says something", "label": "yes" if i % 3 else "no"} for i in range(first, first + count)]


def test_a_clean_table() -> None:
    result = check(rows(100))
    assert (result.ok, result.rows, result.problems) == (True, 100, ())
    assert result.classes == {"yes": 66, "no": 34}
    assert result.parts == {"train": 60, "validation": 20, "test": 20}
    assert result.how == "stratified by 'label', equal inputs on one side, seed 0"
    said = json.loads(json.dumps(result.to_json()))
    assert said["ok"] is True
    assert said["split"] == {"how": result.how, "parts": result.parts}
    assert said["schema"]["target"] == "label"


def test_every_problem_at_once() -> None:
    data = [*rows(12), {"text": "", "label": None}, {"text": "row 1 says something", "label": "maybe"}]
    result = check(data, hints=Hints(labels=("no", "yes")))
    assert not result.ok
    assert [p.code for p in result.problems] == [
        "DATA_TOO_FEW", "LABEL_EMPTY", "LABEL_RARE", "LABEL_UNKNOWN",
        "DATA_VALUE_EMPTY", "DATA_DUPLICATE", "LABEL_CONFLICT", "LABEL_RARE",
    ]  # fmt: skip
    assert (result.parts, result.how) == ({}, "not split: the errors come first")
    assert result.to_json()["problems"][1]["places"] == ("rows:13",)


def test_given_parts_are_checked_and_counted() -> None:
    result = check(rows(100), validation=rows(30, 200), test=rows(30, 99))
    assert result.parts == {"train": 100, "validation": 30, "test": 30}
    assert [p.code for p in result.problems] == ["SPLIT_LEAK"]


def test_a_split_that_cannot_be_made_is_a_problem() -> None:
    data = [{**row, "who": i % 2} for i, row in enumerate(rows(60))]
    result = check(data, hints=Hints(group="who"))
    assert not result.ok
    assert [p.code for p in result.problems] == ["SPLIT_EMPTY"]


def test_a_quantity_has_no_classes() -> None:
    result = check([{"text": f"row {i} says something", "y": i * 0.37 % 11} for i in range(100)])
    assert (result.classes, result.ok) == ({}, True)


def test_what_cannot_be_read_is_raised(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^error\[DATA_NOT_FOUND\]: "):
        check(tmp_path / "none.csv")


def test_neither_torch_nor_transformers_is_imported(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("text,label\n" + "".join(f"row {i} says,{'ab'[i % 2]}\n" for i in range(60)))
    ask = (
        "import sys; from sartor.verbs.check import check; check(sys.argv[1]); "
        "print(sorted({'torch', 'transformers', 'sklearn', 'pandas', 'pyarrow', 'datasets'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", ask, str(path)], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_spans_are_counted_where_tags_are_predicted() -> None:
    data = [{"tokens": ["Ada", "Lovelace", f"n{i}"], "tags": ["B-PER", "I-PER", "O"]} for i in range(60)]
    result = check(data)
    assert (result.ok, result.classes) == (True, {"PER": 60})
    assert result.how.startswith("stratified by the types of span in 'tags'")


def test_every_problem_of_tags_at_once() -> None:
    data = [{"tokens": ["Ada", f"n{i}"], "tags": ["B-PER", "O"]} for i in range(60)]
    data[3]["tags"], data[4]["tags"], data[5] = ["B-PER"], ["PER", "O"], {"tokens": [], "tags": []}
    result = check(data)
    assert [p.code for p in result.problems] == ["TAG_LENGTH", "TAG_FORM", "TOKENS_NONE"]
    assert not result.ok
