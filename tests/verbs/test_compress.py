"""`sartor compress` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import sartor
from sartor.bundle import Bundle
from sartor.cli import run
from sartor.errors import BadInput
from sartor.verbs import compress as verb
from text_samples import labelled


@pytest.fixture(autouse=True)
def short_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "SECONDS", 0.3)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in labelled(160)), "utf-8")
    return file


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, rows: Path, tiny_encoder: Path) -> Path:
    out = tmp_path_factory.mktemp("tuned") / "run"
    plan = {"max_steps": 40, "learning_rate": 1e-3}
    made = sartor.finetune(rows, target="label", backbone=f"encoder:path={tiny_encoder}", plan=plan, out=out)
    return Path(str(made.result["bundle"]))


def test_before_and_after_stand_side_by_side(
    bundle: Path, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "small"
    words = ["compress", str(bundle), str(rows), "--with", "narrow:epochs=1", "--with", "quantize", "--out", str(out)]
    assert run([*words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)["result"]
    for side in ("before", "after"):
        assert 0 <= result[side]["metrics"]["accuracy"]["low"] <= result[side]["metrics"]["accuracy"]["high"] <= 1
        assert result[side]["costs"]["latency_ms_p50"]["value"] > 0
        assert result[side]["costs"]["peak_memory_mb"]["value"] > 50
    assert result["after"]["costs"]["size_mb"]["value"] < result["before"]["costs"]["size_mb"]["value"]
    assert result["comparison"]["metric"] == "accuracy"
    assert list(result["made"]) == ["narrow:epochs=1", "quantize"]
    readme = (out / "bundle" / "README.md").read_text("utf-8")
    assert "What was cut away" in readme and "int8" in readme
    assert json.loads((out / "report.json").read_text("utf-8"))["bundle"] == result["bundle"]
    answers = Bundle.load(out / "bundle").predict(["the cat and a dog near this tiger"])
    assert answers[0]["prediction"] in {"animal", "food", "tool"}
    assert run([*words[:-1], str(tmp_path / "again")]) == 0
    told = capsys.readouterr().out
    assert "after - before" in told and "Size on disk" in told


def test_the_score_is_that_of_the_bundle_that_is_served(bundle: Path, rows: Path, tmp_path: Path) -> None:
    made = sartor.compress(bundle, rows, ["quantize"], out=tmp_path / "small")
    split = made.bundle.task.reading.divide(made.bundle.rows(str(rows)), 0, None, None)
    said = made.bundle.answer(split.test)
    assert made.bundle.task.score(said, split.test).metrics["accuracy"] == pytest.approx(
        made.result["after"]["metrics"]["accuracy"]["value"]
    )


def test_a_dry_run_writes_nothing(bundle: Path, rows: Path, tmp_path: Path) -> None:
    made = sartor.compress(bundle, rows, ["quantize"], out=tmp_path / "small", dry_run=True)
    assert made.result["dry_run"]
    assert not (tmp_path / "small").exists()


@pytest.mark.parametrize(
    ("chain", "code"),
    [
        ([], "COMPRESS_NONE"),
        (["quantize", "prune"], "COMPRESS_ORDER"),
        (["drop_layers:keep=7"], "DROP_LAYERS"),
        (["prune:amount=1.0"], "PRUNE_AMOUNT"),
        (["quantise"], "PART_UNKNOWN"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(
    chain: list[str], code: str, bundle: Path, rows: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput) as raised:
        sartor.compress(bundle, rows, chain, out=tmp_path / "small")
    assert raised.value.code == code
    assert not (tmp_path / "small" / "bundle").exists()


def test_a_bundle_in_8_bits_is_at_its_end(bundle: Path, rows: Path, tmp_path: Path) -> None:
    made = sartor.compress(bundle, rows, ["quantize"], out=tmp_path / "small")
    with pytest.raises(BadInput, match="nothing can be cut after quantize"):
        sartor.compress(made.bundle, rows, ["prune"], out=tmp_path / "smaller")


def test_a_baseline_has_no_weights_to_cut(rows: Path, tmp_path: Path) -> None:
    found: Any = sartor.position(rows, target="label", candidates=["tfidf"], budget=20.0, out=tmp_path / "run")
    with pytest.raises(BadInput, match="baseline 'tfidf'"):
        sartor.compress(found.result["pick"]["bundle"], rows, ["quantize"], out=tmp_path / "small")


def test_rows_of_another_shape_are_refused(bundle: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("words,label\nhello,cat\n", "utf-8")
    assert run(["compress", str(bundle), str(other), "--with", "quantize", "--out", str(tmp_path / "small")]) == 2
    assert not (tmp_path / "small").exists()
