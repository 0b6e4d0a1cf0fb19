"""Interactions: how they are recognised, brought into order, and parted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sartor.data.hints import Hints
from sartor.data.histories import recognised
from sartor.errors import BadInput
from sartor.opening import open_data, read_for

NONE = Hints()


def interactions(users: int = 25, each: int = 6) -> list[dict[str, Any]]:
    """User u takes the items u, u + 1, ... of a ring, the last first in the table."""
    return [
        {"user_id": u, "item_id": f"i{(u + k) % 9}", "timestamp": 100 + k}
        for u in range(users)
        for k in reversed(range(each))
    ]


def history(rows: Any, i: int = 0) -> tuple[list[str], list[str]]:
    return rows.columns["item_id"][i], rows.columns["next_item"][i]


def whole(line: tuple[list[str], list[str]]) -> list[str]:
    return [*line[0], *line[1]]


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        (("user_id", "item_id", "rating", "timestamp"), True),
        (("user_id:token", "item_id:token", "timestamp:float"), True),
        (("user", "items"), True),
        (("userId", "movieId"), True),
        (("user_id", "item_id", "rating", "timestamp", "review"), False),
        (("item_id", "rating"), False),
        (("text", "label"), False),
    ],
)
def test_interactions_are_recognised_by_their_names_and_by_nothing_else(columns: tuple[str, ...], found: bool) -> None:
    assert recognised(columns, NONE) is found


def test_a_target_that_is_no_item_is_another_task() -> None:
    columns = ("user_id", "item_id", "rating", "timestamp")
    assert not recognised(columns, Hints(target="rating"))
    assert recognised(columns, Hints(target="item_id"))


def test_each_user_is_a_row_in_the_order_of_time() -> None:
    rows, task = read_for(interactions(), NONE, None)
    assert task.name == "next_item"
    assert len(rows) == 25
    assert history(rows, 3) == (["i3", "i4", "i5", "i6", "i7"], ["i8"])
    assert [rows.schema.kind(n) for n in ("user_id", "item_id", "next_item")] == ["id", "items", "items"]


def test_the_last_item_is_for_the_test_and_the_one_before_it_for_validation() -> None:
    made = open_data(interactions(), NONE, None, None, None, 0).split
    assert history(made.train, 3) == (["i3", "i4", "i5"], ["i4", "i5", "i6"])
    assert history(made.validation, 3) == (["i3", "i4", "i5", "i6"], ["i7"])
    assert history(made.test, 3) == (["i3", "i4", "i5", "i6", "i7"], ["i8"])
    assert made.how.startswith("the last item of each user is the test part's and the one before it")


def test_short_users_are_only_learned_from() -> None:
    short = [
        {"user_id": 90, "item_id": "i1", "timestamp": 1},
        {"user_id": 90, "item_id": "i2", "timestamp": 2},
        {"user_id": 91, "item_id": "i3", "timestamp": 1},
        *({"user_id": 92, "item_id": f"i{k}", "timestamp": k} for k in range(3)),
    ]
    opened = open_data([*interactions(), *short], NONE, None, None, None, 0)
    made = opened.split
    assert made.sizes() == {"train": 26, "validation": 26, "test": 26}
    assert "90" in made.train.columns["user_id"]
    assert "90" not in made.test.columns["user_id"]
    assert "92" in made.test.columns["user_id"]  # its one item before both is nothing to learn from
    assert "92" not in made.train.columns["user_id"]
    assert [w.code for w in opened.warnings] == ["ITEMS_ALONE"]
    assert opened.warnings[0].message.startswith("1 user with a single interaction")


def test_a_given_test_part_leaves_one_more_item_to_learn_from() -> None:
    others = [{**row, "user_id": 100 + row["user_id"]} for row in interactions(5)]
    made = open_data(interactions(), NONE, None, None, others, 0).split
    assert history(made.train, 3)[1][-1] == "i7"
    assert history(made.validation, 3)[1] == ["i8"]
    assert len(made.test) == 5


def test_one_moment_is_brought_into_a_drawn_order_that_the_rest_of_the_file_does_not_change() -> None:
    table = [{**row, "timestamp": 7} for row in interactions(40)]
    rows, _ = read_for(table, NONE, None)
    turned, _ = read_for(table[::-1], NONE, None)
    alone, _ = read_for(table[:6], NONE, None)
    lines = {user: whole(history(rows, i)) for i, user in enumerate(rows.columns["user_id"])}
    assert lines == {user: whole(history(turned, i)) for i, user in enumerate(turned.columns["user_id"])}
    assert lines["0"] == whole(history(alone))
    assert sum(line == sorted(line) for line in lines.values()) < 5
    assert rows.notes[0].code == "ITEMS_TIES"
    assert rows.notes[0].count == 240
    other, _ = read_for(table, NONE, "next_item:tie_seed=1")
    assert lines != {user: whole(history(other, i)) for i, user in enumerate(other.columns["user_id"])}


def test_without_times_the_order_of_the_file_counts_and_is_said() -> None:
    table = [{k: v for k, v in row.items() if k != "timestamp"} for row in interactions()]
    rows, _ = read_for(table, NONE, None)
    assert history(rows) == (["i5", "i4", "i3", "i2", "i1"], ["i0"])
    assert [note.code for note in rows.notes] == ["ITEMS_NO_TIME"]


def test_an_item_that_comes_again_counts_once_unless_it_may_repeat() -> None:
    table = [*interactions(), {"user_id": 0, "item_id": "i0", "timestamp": 900}]
    rows, _ = read_for(table, NONE, None)
    assert history(rows) == (["i0", "i1", "i2", "i3", "i4"], ["i5"])
    assert [note.code for note in rows.notes] == ["ITEMS_AGAIN"]
    rows, _ = read_for(table, NONE, "next_item:repeats=true")
    assert history(rows)[1] == ["i0"]


def test_dates_are_times_and_numbers_may_be_texts() -> None:
    table = [{**row, "timestamp": f"2024-05-{row['timestamp'] - 90:02d}"} for row in interactions()]
    assert history(read_for(table, NONE, None)[0], 3) == (["i3", "i4", "i5", "i6", "i7"], ["i8"])
    table = [{**row, "timestamp": str(row["timestamp"])} for row in interactions()]
    assert history(read_for(table, NONE, None)[0], 3) == (["i3", "i4", "i5", "i6", "i7"], ["i8"])


def test_columns_of_other_names_are_said() -> None:
    table = [{"who": r["user_id"], "what": r["item_id"], "when": r["timestamp"]} for r in interactions()]
    rows, _ = read_for(table, Hints(group="who", target="what", time="when"), "next_item")
    assert rows.columns["what"][3] == ["i3", "i4", "i5", "i6", "i7"]


@pytest.mark.parametrize("cell", [["a", "b", "c"], '["a", "b", "c"]', "a b c", "a|b|c", "a, b, c"])
def test_lists_are_read_however_they_are_written(cell: Any) -> None:
    rows, _ = read_for([{"user": u, "items": cell} for u in range(30)], NONE, None)
    assert (rows.columns["items"][0], rows.columns["next_item"][0]) == (["a", "b"], ["c"])


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (
            [{"user_id": 1, "item_id": 2, "timestamp": "yesterday"}],
            r"TIME_ORDER\]: .*:1: the time column 'timestamp' holds 'yesterday', which is no time\. Fix: write numbers",
        ),
        ([{"user_id": 1, "item_id": 2, "timestamp": None}], r"TIME_ORDER\]: .*:1: the time column .* is empty"),
        (
            [{"user_id": 1, "item_id": 2, "timestamp": 5}, {"user_id": 1, "item_id": 3, "timestamp": "2024-05-01"}],
            r"(TIME_ORDER\]: .*:2: the time column 'timestamp' holds numbers and dates)",
        ),
        ([{"user_id": 1, "item_id": "", "timestamp": 5}], r"ITEMS_EMPTY\]: .*:1: the cell of 'item_id' is empty"),
        (
            [{"user_id": u, "item_id": 2, "timestamp": 5} for u in range(30)],
            r"ITEMS_ALONE\]: .* every user has a single interaction, and nothing comes next\. Fix: name the column",
        ),
        ([{"user": 1, "items": [["a"], ["b"]]}], r"DATA_ITEMS\]: .*:1: column 'items' holds no list of items"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_sentence(rows: list[dict[str, Any]], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        read_for(rows, NONE, None)


def test_few_users_are_an_error() -> None:
    with pytest.raises(BadInput, match=r"DATA_TOO_FEW\]: .*there are only 4 users with two interactions or more"):
        open_data(interactions(4), NONE, None, None, None, 0)


def test_no_column_of_users_or_items_is_an_error(tmp_path: Path) -> None:
    table = [{"a": 1, "b": 2, "c": 3}]
    with pytest.raises(BadInput, match=r"ITEMS_COLUMN\]: .*no column of items is among: a, b, c"):
        read_for(table, NONE, "next_item")
    with pytest.raises(BadInput, match=r"ITEMS_USER\]: .*no column of users is among: a, b, c"):
        read_for(table, Hints(target="b"), "next_item")
