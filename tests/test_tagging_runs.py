"""Spans through every verb, from a CoNLL file, on a tiny encoder and without one."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest

from sartor import training
from sartor.errors import BadInput
from sartor.verbs.compare import compare
from sartor.verbs.evaluate import evaluate
from sartor.verbs.finetune import finetune
from sartor.verbs.position import position
from sartor.verbs.predict import predict
from text_samples import spanned


@pytest.fixture(autouse=True)
def short_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    ruler = training.measure
    monkeypatch.setattr(training, "measure", functools.partial(_measure, ruler))


def _measure(ruler: Any, subjects: Any, rows: Any, seconds: float) -> Any:
    return ruler(subjects, rows, seconds=0.05)


def conll(path: Path, count: int, seed: int = 0) -> str:
    rows = spanned(count, seed, None)
    lines = [
        "".join(f"{token}\t{tag}\n" for token, tag in zip(tokens, tags, strict=True))
        for tokens, tags in zip(rows.column("tokens"), rows.column("label"), strict=True)
    ]
    path.write_text("\n".join(lines), "utf-8")
    return str(path)


def test_finetune_predict_evaluate_and_compare(tiny_encoder: Path, tmp_path: Path) -> None:
    train, held = conll(tmp_path / "train.conll", 120), conll(tmp_path / "held.conll", 40, 1)
    given: Any = {"backbone": f"encoder:path={tiny_encoder}", "plan": {"max_steps": 4, "precision": "fp32"}}
    one = finetune(train, method="lora:r=2", out=tmp_path / "one", **given)
    other = finetune(train, method="probe", task="token_classification:crf=true", out=tmp_path / "other", **given)
    assert one.result["task"] == "token_classification"
    found = evaluate(tmp_path / "one" / "bundle", held)
    assert list(found.metrics) == ["f1", "precision", "recall", "log_loss"]
    assert found.intervals["f1"]["low"] <= found.metrics["f1"] <= found.intervals["f1"]["high"]
    against = compare(one.bundle, other.bundle, held)
    assert against.comparison["metric"] == "f1"
    assert against.comparison["n"] == 40
    readme = (tmp_path / "other/bundle/README.md").read_text("utf-8")
    assert "pipeline_tag: token-classification" in readme
    assert "chain" in readme


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_answers_are_written_in_every_format(ending: str, tiny_encoder: Path, tmp_path: Path) -> None:
    train = conll(tmp_path / "train.conll", 60)
    (tmp_path / "asked.conll").write_text("the\ncat\n\nbread\n", "utf-8")
    plan = {"max_steps": 30, "precision": "fp32", "learning_rate": 3e-3}
    finetune(train, backbone=f"encoder:path={tiny_encoder}", out=tmp_path / "run", plan=plan)
    out = tmp_path / f"said.{ending}"
    told = predict(tmp_path / "run/bundle", str(tmp_path / "asked.conll"), out=out).predictions
    assert [len(row["tags"]) for row in told] == [2, 1]
    assert told[1]["prediction"][0].keys() == {"entity", "start", "end", "text", "probability"}
    if ending == "jsonl":
        assert [json.loads(line) for line in out.read_text("utf-8").splitlines()] == list(told)
    if ending == "csv":
        lines = out.read_text("utf-8").splitlines()
        assert lines[0] == "prediction,tags"
        assert lines[2].endswith(f",{told[1]['tags'][0]}")


def test_position_without_a_network_gives_a_verdict_and_a_report(tmp_path: Path) -> None:
    data = conll(tmp_path / "train.conll", 300)
    found = position(data, candidates=["majority", "linear_tagger"], budget="20s", out=tmp_path / "run")
    assert found.pick == "linear_tagger"
    result = json.loads((tmp_path / "run/report.json").read_text("utf-8"))
    assert result["headline"] == "f1"
    assert result["data"]["counted"] == "spans"
    assert {c["label"] for c in result["data"]["classes"]} == {"animal", "food", "tool"}
    assert result["pick"]["by_label"]
    compared = {c["name"]: c["against_best"] for c in result["candidates"]}["majority"]
    assert (compared["metric"], compared["verdict"]) == ("f1", "worse")
    page = (tmp_path / "run/report.html").read_text("utf-8")
    assert "Spans of each type" in page
    again = evaluate(tmp_path / "run/bundle", conll(tmp_path / "held.conll", 40, 1))
    assert again.metrics["f1"] > 0.8


def test_rows_of_unknown_types_and_of_broken_tags_are_told(tiny_encoder: Path, tmp_path: Path) -> None:
    data = conll(tmp_path / "train.conll", 200)
    position(data, candidates=["linear_tagger"], budget="20s", out=tmp_path / "run")
    (tmp_path / "bad.conll").write_text("a O\nb B-place\n", "utf-8")
    with pytest.raises(BadInput) as caught:
        evaluate(tmp_path / "run/bundle", str(tmp_path / "bad.conll"))
    assert str(caught.value) == (
        f'error[LABEL_UNKNOWN]: {tmp_path}/bad.conll:1: type "place" is not one of: animal, food, tool. '
        "Fix: correct the row, or train with rows that have this type."
    )
