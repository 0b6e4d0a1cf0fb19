"""A table of columns through the verbs: from check to predict, with cells as people write them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Sartor = Callable[..., Any]
FAST = ("--set", "plan.max_steps=40", "--set", "plan.learning_rate=1e-2")


@pytest.fixture
def loans(tmp_path: Path) -> Path:
    """Amounts with commas, per cents, dates, gaps, an empty column, one that never varies, a number of the row."""
    draw = np.random.default_rng(0)
    path = tmp_path / "loans.csv"
    with path.open("w", encoding="utf-8", newline="") as handle:
        out = csv.writer(handle)
        out.writerow(["loan_id", "amount", "rate", "opened", "purpose", "gone", "same", "paid"])
        for i in range(160):
            amount, purpose = draw.uniform(500, 9000), draw.choice(["car", "house", "travel"])
            paid = amount / 4000 + (purpose == "house") + draw.normal(0, 0.3) < 1.6
            cell = "n/a" if i % 11 == 0 else f"{amount:,.2f}"
            day = f"{1 + i % 28:02d}/{1 + i % 12:02d}/2021"
            out.writerow([i, cell, f"{draw.integers(2, 9)}%", day, purpose, "", "x", "yes" if paid else "no"])
    return path


def test_check_tells_of_the_columns(sartor: Sartor, loans: Path) -> None:
    done = sartor("check", "loans.csv", "--target", "paid", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)["result"]
    kinds = {c["name"]: c["kind"] for c in found["schema"]["columns"]}
    assert kinds == {
        "loan_id": "id",
        "amount": "number",
        "rate": "number",
        "opened": "date",
        "purpose": "category",
        "gone": "category",
        "same": "category",
        "paid": "category",
    }
    assert found["schema"]["inputs"] == ["amount", "rate", "opened", "purpose", "same"]
    said = {p["code"]: p["message"] for p in found["problems"]}
    assert said["DATA_COLUMN_BLANK"] == "every cell is empty in 'gone'; it is left out"
    assert said["DATA_CONSTANT"] == "the same value stands in every row of 'same'"
    assert said["DATA_ID"].startswith("'loan_id' looks like an identifier")
    assert said["DATA_VALUE_MISSING"] == "values are missing: 'amount' in 15 rows"


def test_a_network_is_trained_saved_and_asked(sartor: Sartor, loans: Path) -> None:
    done = sartor("finetune", "loans.csv", "--target", "paid", "--out", "run", *FAST, "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)["result"]
    assert result["recipe"]["backbone"]["part"] == "columns"
    assert next(iter(result["metrics"])) == "auc"
    assert result["metrics"]["auc"] > 0.7
    Path("new.csv").write_text(
        'amount,rate,opened,purpose,same\n"1,200.5",3%,01/02/2022,boat,x\n,,,,\n9000,8%,someday,house,y\n', "utf-8"
    )
    asked = sartor("predict", "run/bundle", "new.csv", "--json")
    assert asked.code == 0, asked.err
    answers = json.loads(asked.out)["result"]["predictions"]
    assert [set(a["probabilities"]) for a in answers] == [{"no", "yes"}] * 3
    assert sum(answers[0]["probabilities"].values()) == pytest.approx(1)


def test_without_candidates_everything_that_fits_columns_enters(sartor: Sartor, loans: Path) -> None:
    done = sartor("position", "loans.csv", "--target", "paid", "--out", "run", "--dry-run", "--json")
    names = {c["name"].split(" @")[0] for c in json.loads(done.out)["result"]["candidates"]}
    networks = {"columns + full", "row_text + probe"}
    assert names == networks | {"boosted_trees", "logistic", "majority", "random_forest"}


def test_position_races_them_and_hands_one_over(sartor: Sartor, loans: Path) -> None:
    words = [w for name in ("majority", "logistic", "columns+full@1e-2") for w in ("--candidates", name)]
    done = sartor("position", "loans.csv", "--target", "paid", "--out", "run", "--budget", "20s", *words, "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)["result"]
    assert result["headline"] == "auc"
    assert {c["status"] for c in result["candidates"]} <= {"finished", "eliminated", "out of time"}
    assert all("amount: " in row["text"] for row in result["pick"]["wrong"])
    assert sartor("evaluate", "run/bundle", "loans.csv").code == 0


def test_a_number_is_predicted_too(sartor: Sartor, loans: Path) -> None:
    done = sartor("finetune", "loans.csv", "--target", "rate", "--task", "regression", "--out", "run", *FAST, "--json")
    assert done.code == 0, done.err
    assert next(iter(json.loads(done.out)["result"]["metrics"])) == "mae"
