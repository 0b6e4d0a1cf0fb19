"""What users take next through every verb, from a table of interactions and from lists."""

from __future__ import annotations

import csv
import functools
import json
from pathlib import Path
from typing import Any

import pytest

from item_samples import wandering
from sartor import training
from sartor.errors import BadInput
from sartor.verbs.check import check
from sartor.verbs.compare import compare
from sartor.verbs.evaluate import evaluate
from sartor.verbs.finetune import finetune
from sartor.verbs.init import init
from sartor.verbs.position import position
from sartor.verbs.predict import predict

PLAN = {"max_steps": 6, "per_device_train_batch_size": 20}


@pytest.fixture(autouse=True)
def short_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    ruler = training.measure
    monkeypatch.setattr(training, "measure", functools.partial(_measure, ruler))


def _measure(ruler: Any, subjects: Any, rows: Any, seconds: float) -> Any:
    return ruler(subjects, rows, seconds=0.05)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Interactions of 60 users, in no order."""
    rows, path = wandering(60), tmp_path_factory.mktemp("data") / "taken.csv"
    lines = [
        (user.removeprefix("user "), item.replace(" ", "-"), 3 + k % 3, 1000 + k)
        for user, had, then in zip(*(rows.columns[n] for n in ("user", "items", "next_item")), strict=True)
        for k, item in enumerate([*had, *then])
    ]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("user_id", "item_id", "rating", "timestamp"), *lines[::-1]])
    return str(path)


@pytest.fixture(scope="module")
def made(table: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return finetune(table, plan=PLAN, out=tmp_path_factory.mktemp("run") / "one")


def test_finetune_needs_no_flag(made: Any) -> None:
    assert made.result["task"] == "next_item"
    assert made.result["recipe"]["backbone"]["kind"] == "sasrec"
    assert list(made.result["metrics"]) == ["ndcg_at_10", "hit_rate_at_10", "mrr", "log_loss"]
    assert made.result["test"]["mrr"]["unit"] == "users"
    assert "MASK and NONE" in (made.folder / "bundle/README.md").read_text("utf-8")


def test_every_user_of_a_table_is_answered(made: Any, table: str, tmp_path: Path) -> None:
    out = tmp_path / "next.jsonl"
    predict(made.folder / "bundle", table, out=out)
    answers = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert {row["user_id"] for row in answers} == {str(u) for u in range(60)}
    assert all(len(row["prediction"]) >= 5 and row["prediction"][0].startswith("item-") for row in answers)


def test_histories_are_answered_as_they_come(made: Any) -> None:
    bundle = made.bundle
    plain = bundle.predict([["item-01", "item-02"], ["one that nobody had"]])
    named = bundle.predict([{"item_id": ["item-01", "item-02"]}, {"item_id": []}])
    single = bundle.predict([{"user_id": "a", "item_id": "item-01", "timestamp": 5}])
    assert plain[0] == named[0]
    assert plain[1] == named[1] | {"unknown": ["one that nobody had"]}
    assert single[0]["user_id"] == "a"
    with pytest.raises(BadInput, match=r"DATA_COLUMN_MISSING\]: .*the time column 'timestamp' is missing"):
        bundle.predict([{"user_id": "a", "item_id": "item-01"}])


def test_evaluate_asks_the_last_item_of_each_user(made: Any, table: str, tmp_path: Path) -> None:
    found = evaluate(made.folder / "bundle", table)
    assert found.rows == 60
    assert found.intervals["mrr"]["unit"] == "users"
    alone = tmp_path / "alone.csv"
    alone.write_text("user_id,item_id,timestamp\na,item-01,5\n", "utf-8")
    with pytest.raises(BadInput, match=r"LABEL_EMPTY\]: .*alone.csv:2: the target is missing"):
        evaluate(made.folder / "bundle", alone)


def test_two_bundles_are_compared_user_by_user(made: Any, table: str, tmp_path: Path) -> None:
    other = finetune(table, backbone="items:kind=bert4rec,width=16", plan=PLAN, out=tmp_path / "other")
    against = compare(made.bundle, other.bundle, table)
    assert (against.comparison["metric"], against.comparison["n"]) == ("ndcg_at_10", 60)


def test_a_draft_keeps_the_names_that_were_said(tmp_path: Path) -> None:
    from sartor.data.hints import Hints

    path = tmp_path / "lists.jsonl"
    rows = wandering(30, length=7)
    path.write_text(
        "".join(json.dumps({"user": f"u{i}", "items": had}) + "\n" for i, had in enumerate(rows.columns["items"]))
    )
    assert init(str(path), dry_run=True).settings["task"] == "next_item"
    assert check(str(path)).parts == {"train": 30, "validation": 30, "test": 30}
    assert init(str(path), hints=Hints(target="items"), dry_run=True).settings["target"] == "items"


def test_position_races_the_network_against_what_knows_no_order(table: str, tmp_path: Path) -> None:
    wanted = ["popularity", "markov", "item_knn", "ease", "items:width=16+full"]
    found = position(table, candidates=wanted, budget=25, plan={"max_steps": 8}, out=tmp_path / "run")
    names = {entry["name"] for entry in found.result["candidates"]}
    assert {"popularity", "markov", "item_knn", "ease"} < names
    assert found.pick
    assert found.bundle.predict([["item-01"]])[0]["prediction"]
    assert "item-" in (tmp_path / "run" / "report.html").read_text("utf-8")
