"""Pairs in a table: their two sides, what is wrong with them, and splits that keep equal sides together."""

from __future__ import annotations

import numpy as np
import pytest

from pair_samples import captioned, matched
from sartor.data import pairs
from sartor.data.rows import Rows
from sartor.errors import BadInput
from text_samples import labelled, table


def pair(left: list[str], right: list[str]) -> Rows:
    return table({"q": left, "a": right}, {"q": "text", "a": "text"}, None)


def test_texts_come_first() -> None:
    assert pairs.sides(captioned(2).schema, "x") == ("caption", "image")


def test_one_column_is_no_pair() -> None:
    with pytest.raises(BadInput) as caught:
        pairs.sides(labelled(4).schema, "a.csv")
    assert str(caught.value) == (
        "error[MATCH_SIDES]: a.csv: a pair has two sides, and only 'text' can be one. Fix: name both: --text FIRST "
        "--text SECOND, or one text and one column of images (--kind NAME=image)."
    )


def test_what_is_wrong_is_said() -> None:
    empty, same = pair(["a", "b"], ["c", " "]), pair(["a", "a"], ["c", "d"])
    (one,), (other,) = pairs.problems(empty), pairs.problems(same)
    assert one.sentence() == (
        "error[MATCH_EMPTY]: sample.csv:9: the side 'a' is empty in 1 row: nothing can be learned from half a pair. "
        "Fix: fill it in, or leave these rows out."
    )
    assert other.code == "MATCH_SAME"
    assert not list(pairs.problems(matched(5)))


def test_rows_that_hang_together_by_equal_sides_stay_together() -> None:
    """Chains of six rows, neighbours equal on one side or the other in turn."""
    left = [f"q{i // 6} {i % 6 // 2}" for i in range(60)]
    right = [f"a{i // 6} {(i % 6 + 1) // 2}" for i in range(60)]
    made = pairs.divided(pair(left, right), 0, None, None)
    parts = {name: getattr(made, name) for name in ("train", "validation", "test")}
    for column in ("q", "a"):
        seen = [set(rows.columns[column]) for rows in parts.values()]
        assert not (seen[0] & seen[1] | seen[0] & seen[2] | seen[1] & seen[2])
    assert "rows with an equal side in one part" in made.how
    assert sum(map(len, parts.values())) == 60
    assert all(rows.schema.group is None and pairs.TOGETHER not in rows.columns for rows in parts.values())


def test_where_all_would_hang_together_the_side_that_repeats_less_decides() -> None:
    left, right = [f"q{i // 3}" for i in range(90)], ["the same"] * 45 + [f"a{i}" for i in range(45)]
    made = pairs.divided(pair(left, right), 0, None, None)
    seen = [set(getattr(made, name).columns["q"]) for name in ("train", "validation", "test")]
    assert not (seen[0] & seen[1] | seen[0] & seen[2] | seen[1] & seen[2])
    assert "rows with an equal 'q' in one part" in made.how


def test_a_split_is_a_function_of_the_seed() -> None:
    one, two, other = (pairs.divided(matched(80), seed, None, None) for seed in (0, 0, 1))
    assert one.fingerprint == two.fingerprint != other.fingerprint


def test_given_parts_stay_as_they_are() -> None:
    made = pairs.divided(matched(60), 0, matched(20, 1), None)
    assert len(made.validation) == 20
    assert len(made.train) + len(made.test) == 60


def test_images_are_told_by_what_they_show() -> None:
    rows = captioned(6)
    twice = rows.take([0, 0, 1])
    assert pairs.codes(pairs.keys(twice, "image")).tolist() == [0, 0, 1]


def test_codes_count_distinct_values() -> None:
    assert pairs.codes(["b", None, "a", "b"]).tolist() == [0, -1, 1, 0]
    assert pairs.codes([None]).dtype == np.int64


def test_both_sides_must_be_read() -> None:
    texts, mixed = matched(3).schema, captioned(3).schema
    assert pairs.covers(frozenset({"text", "tokens"}), texts)
    assert not pairs.covers(frozenset({"text", "tokens"}), mixed)
    assert pairs.covers(frozenset({"text", "image"}), mixed)
    assert not pairs.covers(frozenset({"text", "image"}), texts)
