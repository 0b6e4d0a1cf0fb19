"""What is learned of columns: scales, knots, values, parts of dates; and cells that were never seen."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sartor.classical.columns import MOST, OTHER, Columns
from sartor.data.inputs import CELLS, inputs
from sartor.errors import BadInput
from table_samples import graded
from text_samples import table


def test_numbers_are_standardised_and_cut_at_what_was_seen() -> None:
    values = [1.0, 2.0, 3.0, 4.0, None]
    rows = table({"n": values, "y": ["a"] * 5}, {"n": "number", "y": "category"}, "y")
    columns = Columns.learn(rows)
    x = columns.standardised(columns.read([{"n": v} for v in (1.0, 4.0, 900.0, None)]))
    known = np.array([1.0, 2.0, 3.0, 4.0])
    expected = (np.array([1.0, 4.0, 4.0, 2.5]) - known.mean()) / known.std()
    np.testing.assert_allclose(x[:, 0], expected, rtol=1e-6)
    assert x[:, 1].tolist() == [0, 0, 0, 1]


def test_values_that_were_never_seen_are_none_of_the_known() -> None:
    rows = table({"c": ["a", "b", "a", "b"], "y": ["p"] * 4}, {"c": "category", "y": "category"}, "y")
    columns = Columns.learn(rows)
    read = columns.read([{"c": "a"}, {"c": "z"}, {"c": None}, {}])
    assert read.codes[:, 0].tolist()[:2] == [0, OTHER]
    assert (read.codes[1:] < 0).all()
    assert columns.standardised(read).tolist() == [[1, 0], [0, 0], [0, 0], [0, 0]]


def test_rare_values_beyond_the_most_are_one() -> None:
    values = [f"v{i}" for i in range(MOST + 50)] + ["v0", "v1"]
    rows = table({"c": values, "y": ["p"] * len(values)}, {"c": "category", "y": "category"}, "y")
    (found,) = Columns.learn(rows).categories
    assert len(found.values) == MOST
    assert {"v0", "v1"} <= set(found.values)


def test_columns_that_never_vary_are_left_out() -> None:
    rows = table(
        {"same": ["x"] * 3, "gone": [None] * 3, "one": [1.0] * 3, "n": [1.0, 2.0, 3.0], "y": ["p"] * 3},
        {"same": "category", "gone": "number", "one": "number", "n": "number", "y": "category"},
        "y",
    )
    columns = Columns.learn(rows)
    assert [n.name for n in columns.numbers] == ["n"]
    assert columns.categories == ()
    constant = table({"same": ["x"] * 3, "y": ["p"] * 3}, {"same": "category", "y": "category"}, "y")
    with pytest.raises(BadInput) as caught:
        Columns.learn(constant)
    assert caught.value.sentence() == (
        "error[CELLS_CONSTANT]: sample.csv: no column of the training rows varies. "
        "Fix: give a column of numbers, categories or dates that differs between rows."
    )


@pytest.mark.parametrize(
    ("dates", "month"),
    [
        (["2024-05-31", "2024-06-01"], [5, 6]),
        (["31/05/2024", "01/06/2024"], [5, 6]),
        (["05/31/2024", "06/01/2024"], [5, 6]),
        (["31.05.2024", "01.06.2024"], [5, 6]),
        (["2024-05-31T10:00:00Z", "2024-06-01T10:00:00Z"], [5, 6]),
    ],
)
def test_dates_are_read_in_the_form_that_their_column_has(dates: list[str], month: list[int]) -> None:
    rows = table({"d": dates, "y": ["p", "q"]}, {"d": "date", "y": "category"}, "y")
    columns = Columns.learn(rows)
    place = next(i for i, n in enumerate(columns.numbers) if n.part == "month")
    assert columns.read([{"d": d} for d in dates]).numbers[:, place].tolist() == month


def test_what_is_no_date_is_missing() -> None:
    columns = Columns.learn(graded(40))
    places = [i for i, n in enumerate(columns.numbers) if n.part]
    assert np.isnan(columns.read([{"opened": "someday"}]).numbers[0, places]).all()


def test_it_comes_back_from_json() -> None:
    rows = graded(40)
    columns = Columns.learn(rows)
    again = Columns.from_json(json.loads(json.dumps(columns.to_json())))
    assert again == columns
    cells = inputs(rows, CELLS)["cells"]
    np.testing.assert_array_equal(again.standardised(again.read(cells)), columns.standardised(columns.read(cells)))
