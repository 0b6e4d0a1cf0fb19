"""Splits: sizes, shares, what stays together, and purity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sartor.data.hints import Hints
from sartor.data.read import read
from sartor.data.rows import Rows
from sartor.data.split import Split, aim, split
from sartor.errors import BadInput

Table = Callable[..., Rows]


def labelled(count: int, labels: str = "ab", seed: int = 0) -> Rows:
    """Rows with different texts and random labels."""
    chosen = np.random.default_rng(seed).choice(list(labels), count)
    return read([{"text": f"a text with number {i}", "label": str(c)} for i, c in enumerate(chosen)])


def everywhere(made: Split) -> list[int]:
    return sorted(n for part in (made.train, made.validation, made.test) for n in part.numbers.tolist())


@pytest.mark.parametrize(
    ("rows", "each"), [(20, 4), (100, 20), (3000, 600), (6920, 1000), (10_000, 1000), (20_000, 2000)]
)
def test_a_part_aims_at_a_thousand_rows_within_a_tenth_and_a_fifth(rows: int, each: int) -> None:
    assert aim(rows) == each


def test_every_row_is_in_one_part_and_classes_keep_their_shares() -> None:
    rows = labelled(2000, "aaaabbc")
    made = split(rows)
    assert made.sizes() == {"train": 1200, "validation": 400, "test": 400}
    assert everywhere(made) == list(range(2000))
    whole = Counter(rows.column("label"))
    for part in (made.train, made.validation, made.test):
        for label, count in Counter(part.column("label")).items():
            assert abs(count / len(part) - whole[label] / 2000) < 0.005
    assert made.how == "stratified by 'label', equal inputs on one side, seed 0"


def test_a_pure_function_of_data_and_seed() -> None:
    rows = labelled(300)
    one, again, other = split(rows, seed=1), split(labelled(300), seed=1), split(rows, seed=2)
    assert one.fingerprint == again.fingerprint != other.fingerprint
    assert one.test.numbers.tolist() == again.test.numbers.tolist() != other.test.numbers.tolist()
    changed = labelled(300, seed=5)
    assert split(changed, seed=1).fingerprint != one.fingerprint


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 15), st.sampled_from("abcde")), min_size=30, max_size=150),
    st.integers(0, 3),
)
def test_equal_texts_never_cross_a_border_and_every_class_is_in_train(cells: list[tuple[int, str]], seed: int) -> None:
    rows = read(
        [{"text": f"this is text {n if n < 8 else i}", "label": c} for i, (n, c) in enumerate(cells)]
        + [{"text": f"a text of its own {i}", "label": "a"} for i in range(20)]
    )
    made = split(rows, seed=seed)
    assert everywhere(made) == list(range(len(cells) + 20))
    parts = [set(p.column("text")) for p in (made.train, made.validation, made.test)]
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert set(made.train.column("label")) == set(rows.column("label"))


def test_spaces_make_no_text_another() -> None:
    rows = read([{"text": f"text {i // 2}" + "  " * (i % 2), "label": "ab"[i % 2]} for i in range(100)])
    made = split(rows)
    sides = [{t.strip() for t in p.column("text")} for p in (made.train, made.validation, made.test)]
    assert sum(map(len, sides)) == 50


def test_groups_stay_on_one_side(table: Table) -> None:
    rng = np.random.default_rng(0)
    who = [f"g{n}" for n in rng.integers(0, 40, 800)]
    label = rng.choice(["a", "b", "c"], 800, p=[0.6, 0.3, 0.1]).tolist()
    rows = table({"text": [f"a text {i}" for i in range(800)], "who": who, "label": label}, Hints(group="who"))
    made = split(rows)
    parts = [made.train, made.validation, made.test]
    homes = [set(p.column("who")) for p in parts]
    assert sum(map(len, homes)) == 40
    assert everywhere(made) == list(range(800))
    for part, wanted in zip(parts, (480, 160, 160), strict=True):
        assert abs(len(part) - wanted) < 40
        assert abs(Counter(part.column("label"))["c"] / len(part) - 0.1) < 0.05
    assert made.how == "stratified by 'label', each 'who' on one side, equal inputs on one side, seed 0"


def test_groups_that_share_a_text_stay_together(table: Table) -> None:
    texts = [f"text {i}" for i in range(60)]
    texts[1] = texts[0]
    rows = table({"text": texts, "who": list(range(60)), "label": ["a", "b"] * 30}, Hints(group="who"))
    made = split(rows)
    homes = [n for n, p in enumerate((made.train, made.validation, made.test)) for i in p.numbers if i in (0, 1)]
    assert len(set(homes)) == 1


def test_two_groups_cannot_fill_three_parts(table: Table) -> None:
    rows = table(
        {"text": [f"t {i}" for i in range(40)], "who": ["x", "y"] * 20, "label": ["a", "b"] * 20}, Hints(group="who")
    )
    with pytest.raises(BadInput) as caught:
        split(rows)
    assert caught.value.sentence().startswith("error[SPLIT_EMPTY]: rows: no row is left for the ")
    assert caught.value.sentence().endswith("Fix: give more rows or groups, or give the parts as files of their own.")


def test_time_is_cut_in_order_and_equal_times_stay_together(table: Table) -> None:
    days = [f"2024-01-{1 + (i * 5) % 28:02d}" for i in range(280)]
    rows = table({"text": [f"text {i}" for i in range(280)], "day": days, "label": ["a", "b"] * 140}, Hints(time="day"))
    made = split(rows)
    train, validation, test = (sorted(p.column("day")) for p in (made.train, made.validation, made.test))
    assert train[-1] < validation[0] <= validation[-1] < test[0]
    assert everywhere(made) == list(range(280))
    assert abs(len(test) - 56) <= 10
    assert made.how == "in the order of 'day'"


def test_later_copies_are_left_out_of_a_split_by_time(table: Table) -> None:
    texts = [f"text {i}" for i in range(100)]
    texts[95] = texts[3]
    rows = table({"text": texts, "t": list(range(1000, 1300, 3)), "label": ["a", "b"] * 50}, Hints(time="t"))
    made = split(rows)
    assert 95 not in everywhere(made)
    assert made.how == "in the order of 't'; left out, since an earlier part has the text: 1 row"


def test_a_time_that_is_none(table: Table) -> None:
    columns = {"text": ["a b"] * 30, "day": ["2024-01-02"] * 29 + ["soon"], "label": ["a", "b"] * 15}
    with pytest.raises(BadInput) as caught:
        split(table(columns, Hints(time="day")))
    assert caught.value.sentence() == (
        "error[TIME_ORDER]: rows:30: the time column 'day' holds 'soon', which is no time. "
        "Fix: write numbers, or dates such as 2024-05-31 or 2024-05-31T10:00:00."
    )


def test_a_group_across_a_cut_in_time(table: Table) -> None:
    columns = {
        "text": [f"t {i}" for i in range(30)],
        "t": list(range(0, 90, 3)),
        "who": ["x"] * 30,
        "label": ["a", "b"] * 15,
    }
    with pytest.raises(BadInput) as caught:
        split(table(columns, Hints(time="t", group="who")))
    assert caught.value.sentence() == (
        "error[SPLIT_GROUP]: rows:19: the 'who' 'x' has rows on both sides of a cut by 't'. "
        "Fix: split by only one of the two, or give the parts as files of their own."
    )


def test_given_parts_are_kept_and_the_missing_one_is_cut() -> None:
    rows, given = labelled(200), labelled(50, seed=9)
    both = split(rows, validation=given, test=given)
    assert both.how == "validation and test as given"
    assert (both.train.numbers.tolist(), both.test) == (list(range(200)), given)
    one = split(rows, test=given)
    assert one.sizes() == {"train": 160, "validation": 40, "test": 50}
    assert one.how == "test as given; stratified by 'label', equal inputs on one side, seed 0"
    assert one.fingerprint != both.fingerprint


def test_a_quantity_is_stratified_by_its_quantiles(table: Table) -> None:
    y = np.random.default_rng(0).lognormal(size=1000)
    made = split(table({"text": [f"text {i}" for i in range(1000)], "y": y.tolist()}))
    for part in (made.validation, made.test):
        assert np.allclose(
            np.quantile(part.column("y"), [0.25, 0.5, 0.75]), np.quantile(y, [0.25, 0.5, 0.75]), rtol=0.12
        )
    assert made.how.startswith("stratified by 'y' in 10 bins")


def test_sets_of_labels_are_spread(table: Table) -> None:
    rng = np.random.default_rng(0)
    sets = [[c for c, p in zip("abcd", (0.5, 0.3, 0.2, 0.05), strict=True) if rng.random() < p] for _ in range(1000)]
    made = split(table({"text": [f"text {i}" for i in range(1000)], "labels": sets}))
    for part in (made.train, made.validation, made.test):
        share = sum("d" in s for s in part.column("labels")) / len(part)
        assert 0.02 < share < 0.08


def test_coarse_tables_are_not_tied_together_by_equal_rows() -> None:
    rows = read([{"a": i % 2, "b": i % 3, "label": "xy"[i % 5 == 0]} for i in range(300)])
    assert split(rows).sizes() == {"train": 180, "validation": 60, "test": 60}
