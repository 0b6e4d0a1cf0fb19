"""The whole course on a tiny encoder: all stages, limits, tasks, an interruption, going on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import sartor
from sartor.engine.progress import Progress
from sartor.errors import BadInput, Interrupted
from sartor.predictions import Predictions
from text_samples import labelled, measured, paired, tagged

STAGES = ["measure", "floor", "triage", "race", "confirm", "weigh"]


def rows_of(rows: Any) -> list[dict[str, Any]]:
    return list(rows)


def names(encoder: Path) -> list[str]:
    body = f"encoder:path={encoder}"
    rates = ("1e-3", "3e-3", "1e-2")
    return ["majority", "tfidf", f"{body}+probe", *(f"{body}+{m}@{r}" for m in ("full", "lora:r=4") for r in rates)]


def positioned(data: Any, encoder: Path, out: Path, **more: Any) -> dict[str, Any]:
    plan = {"per_device_train_batch_size": "8", "min_steps": "24", "num_train_epochs": "1"}
    given: dict[str, Any] = {
        "budget": 60.0,
        "candidates": names(encoder),
        "plan": plan,
        "target": "label",
        "compress": [],
    }
    return sartor.position(data, out=out, **(given | more)).to_json()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_sentence_encoder: Path) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("position") / "run"
    return out, positioned(rows_of(labelled(240)), tiny_sentence_encoder, out)


def test_every_candidate_is_accounted_for(run: tuple[Path, dict[str, Any]]) -> None:
    _, result = run
    status = {c["name"]: c["status"] for c in result["candidates"]}
    assert len(status) == 9
    assert set(status.values()) <= {"finished", "eliminated"}
    assert all(c["reason"] for c in result["candidates"] if c["status"] == "eliminated")
    assert all(c["costs"]["latency_ms_p50"]["value"] > 0 for c in result["candidates"] if c["status"] == "finished")
    assert {c["engine"]["rows"] for c in result["candidates"] if "backbone" in (c["recipe"] or {})} == {"packed"}
    assert [s["name"] for s in result["stages"]] == STAGES


def test_the_leader_enters_once_more_in_a_smaller_form(tmp_path: Path, tiny_sentence_encoder: Path) -> None:
    """Scored and measured like anybody, from the disk; what does not work is said."""
    shapes = ["quantize:tables=false", "drop_layers:keep=2"]
    chosen = [f"encoder:path={tiny_sentence_encoder}+{m}" for m in ("probe", "full@3e-3")]
    result = positioned(
        rows_of(labelled(240)), tiny_sentence_encoder, tmp_path / "run", candidates=chosen, compress=shapes
    )
    assert [s["name"] for s in result["stages"]] == [*STAGES[:-1], "shrink", STAGES[-1]]
    whole, small = ([c for c in result["candidates"] if ("quantize" in c["name"]) is so] for so in (False, True))
    assert len(whole) == 2
    (form,) = small
    assert form["status"] == "finished"
    assert form["recipe"]["compress"][0]["part"] == "quantize"
    assert form["costs"]["size_mb"]["value"] > 0
    leader = next(c for c in whole if form["name"].startswith(c["name"]))
    assert form["train_seconds"] > leader["train_seconds"]
    assert form["costs"]["size_mb"]["value"] < leader["costs"]["size_mb"]["value"]
    assert any("drop_layers" in w and "2 blocks" in w for w in result["warnings"])
    said = Predictions.load(next((tmp_path / "run" / "predictions").glob("*quantize*")))
    assert len(said) == result["data"]["parts"]["validation"]


def test_the_pick_is_tied_with_the_best_and_hands_over_a_bundle(run: tuple[Path, dict[str, Any]]) -> None:
    _, result = run
    pick = result["pick"]
    assert pick["name"] in result["tied"]
    assert pick["test"]["accuracy"]["low"] <= pick["test"]["accuracy"]["value"] <= pick["test"]["accuracy"]["high"]
    answers = sartor.Bundle.load(pick["bundle"]).predict(["the cat and a dog near this tiger"])
    assert answers[0]["prediction"] in {"animal", "food", "tool"}
    best = max(c["metrics"]["accuracy"] for c in result["candidates"] if c["status"] == "finished")
    tied = [c for c in result["candidates"] if c["tied"]]
    assert any(c["metrics"]["accuracy"] == best for c in tied)


def test_predictions_are_kept_and_the_scores_are_theirs(run: tuple[Path, dict[str, Any]]) -> None:
    out, result = run
    validation = json.loads((out / "data.json").read_text("utf-8"))["rows"]["validation"]
    truth = [row["label"] for row in rows_of(labelled(240))]
    for candidate in (c for c in result["candidates"] if c["status"] == "finished"):
        files = [f for f in (out / "predictions").iterdir() if _alike(f.stem, candidate["name"])]
        said = Predictions.load(files[0])
        assert said.rows.tolist() == validation
        right = sum(truth[row] == value for row, value in zip(said.rows, said.values, strict=True))
        assert right / len(said) == pytest.approx(candidate["metrics"]["accuracy"])


def test_the_run_folder_says_everything(run: tuple[Path, dict[str, Any]]) -> None:
    out, result = run
    assert {f.name for f in out.iterdir()} == {
        *("config.json", "environment.json", "data.json", "events.jsonl", "state.json", "report.json", "report.html"),
        *("predictions", "bundle"),
    }
    assert json.loads((out / "report.json").read_text("utf-8"))["pick"] == json.loads(json.dumps(result["pick"]))
    assert result["pick"]["name"] in (out / "report.html").read_text("utf-8").replace("&#43;", "+")


def test_eliminations_are_in_the_rungs_with_their_evidence(run: tuple[Path, dict[str, Any]]) -> None:
    _, result = run
    dropped = [d["name"] for rung in result["race"]["rungs"] for d in rung["dropped"]]
    assert sorted(dropped) == sorted(c["name"] for c in result["candidates"] if c["status"] == "eliminated")
    assert dropped
    assert all("95 % interval" in d["reason"] for rung in result["race"]["rungs"] for d in rung["dropped"])


@pytest.mark.parametrize("sample", [tagged, measured, paired], ids=["several labels", "a number", "text pairs"])
def test_other_targets(sample: Callable[[int], Any], tmp_path: Path, tiny_sentence_encoder: Path) -> None:
    body = f"encoder:path={tiny_sentence_encoder}"
    wanted = ["majority", "tfidf", f"{body}+probe", f"{body}+full@1e-3", f"{body}+lora:r=4@1e-3"]
    data = rows_of(sample(160))
    result = positioned(data, tiny_sentence_encoder, tmp_path / "run", candidates=wanted, budget=30.0)
    assert result["pick"]["name"] in {c["name"] for c in result["candidates"]}
    asked = {k: v for k, v in data[0].items() if k != "label"}
    assert "prediction" in sartor.Bundle.load(result["pick"]["bundle"]).predict([asked])[0]


def test_what_does_not_fold_is_weighed_with_its_backbone(tmp_path: Path, tiny_sentence_encoder: Path) -> None:
    body = f"encoder:path={tiny_sentence_encoder}"
    wanted = [f"{body}+adapter:reduction_factor=8@1e-2", f"{body}+lora:r=4@1e-2"]
    result = positioned(rows_of(labelled(160)), tiny_sentence_encoder, tmp_path / "run", candidates=wanted, budget=30.0)
    sizes = [c["costs"]["size_mb"]["value"] for c in result["candidates"]]
    weights = (tiny_sentence_encoder / "model.safetensors").stat().st_size / 1e6
    assert sizes[0] != sizes[1]
    assert all(size > 0.9 * weights for size in sizes)
    card = sartor.Bundle.load(result["pick"]["bundle"]).card
    form = "changed" if "adapter" in result["pick"]["name"] else "merged"
    assert card["stored"]["form"] == form
    assert 0 < card["parameters"]["trained"] < card["parameters"]["all"]


def test_a_limit_no_network_can_keep_leaves_the_baselines(tmp_path: Path, tiny_sentence_encoder: Path) -> None:
    data = rows_of(labelled(160))
    result = positioned(data, tiny_sentence_encoder, tmp_path / "run", max_size_mb=0.1, budget=30.0)
    status = {c["name"]: (c["status"], c["reason"]) for c in result["candidates"]}
    networks = [name for name in status if "+" in name]
    assert all(status[name][0] == "over limit" for name in networks)
    assert all("size" in str(status[name][1]) and "limit of 0.1" in str(status[name][1]) for name in networks)
    assert result["pick"]["name"] in {"majority", "tfidf"}


def test_a_limit_nobody_can_keep_is_one_sentence(tmp_path: Path, tiny_sentence_encoder: Path) -> None:
    data = rows_of(labelled(160))
    with pytest.raises(BadInput) as caught:
        positioned(
            data, tiny_sentence_encoder, tmp_path / "run", max_size_mb=1e-6, candidates=["majority"], budget=20.0
        )
    assert "no candidate was finished within the limits" in caught.value.sentence()
    assert caught.value.sentence().endswith("Fix: give more time or wider limits.")


def test_interrupted_it_gives_the_verdict_so_far_and_goes_on(tmp_path: Path, tiny_sentence_encoder: Path) -> None:
    data, out = rows_of(labelled(200)), tmp_path / "run"

    def stop_in_the_race(step: Progress) -> None:
        if step.stage == "race" and "rung 1" in step.message:
            raise Interrupted(15, kept="run it again with --resume")

    first = positioned(data, tiny_sentence_encoder, out, progress=stop_in_the_race)
    assert first["complete"] is False
    before = {c["name"]: c["metrics"] for c in first["candidates"] if c["status"] == "finished"}
    assert {"majority", "tfidf"} < set(before)
    assert (out / "report.html").is_file()
    assert sartor.Bundle.load(first["pick"]["bundle"]).predict(["one cat"])
    second = positioned(data, tiny_sentence_encoder, out, resume=True)
    after = {c["name"]: c["metrics"] for c in second["candidates"] if c["status"] == "finished"}
    assert second["complete"] is True
    assert {name: after[name] for name in before} == before
    assert len(after) > len(before)
    assert second["seconds"] > first["seconds"]


@pytest.mark.parametrize(
    ("change", "said"), [({"seed": 1}, "had other seed"), ({"metric": "macro_f1"}, "had other metric")]
)
def test_going_on_with_other_words_is_refused(
    change: dict[str, Any], said: str, run: tuple[Path, dict[str, Any]], tiny_sentence_encoder: Path
) -> None:
    out, _ = run
    with pytest.raises(BadInput) as caught:
        positioned(rows_of(labelled(240)), tiny_sentence_encoder, out, resume=True, **change)
    assert caught.value.code == "RESUME_OTHER"
    assert said in caught.value.sentence()


def test_a_metric_that_is_no_mean_decides_too(tmp_path: Path, tiny_sentence_encoder: Path) -> None:
    wanted = ["majority", "tfidf"]
    data = rows_of(labelled(160))
    result = positioned(data, tiny_sentence_encoder, tmp_path / "r", metric="macro_f1", candidates=wanted, budget=20.0)
    assert result["headline"] == "macro_f1"
    assert result["pick"]["name"] == "tfidf"
    assert result["candidates"][0]["against_best"]["metric"] == "macro_f1"


def test_the_same_seed_gives_the_same_probe(tmp_path: Path, tiny_sentence_encoder: Path) -> None:
    wanted = [f"encoder:path={tiny_sentence_encoder}+probe"]
    found = [
        positioned(rows_of(labelled(160)), tiny_sentence_encoder, tmp_path / name, candidates=wanted, budget=20.0)
        for name in ("a", "b")
    ]
    assert found[0]["pick"]["metrics"] == found[1]["pick"]["metrics"]


def test_the_pick_answers_the_same_in_plain_transformers(
    run: tuple[Path, dict[str, Any]], tiny_sentence_encoder: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    wanted = [f"encoder:path={tiny_sentence_encoder}+probe"]
    result = positioned(rows_of(labelled(160)), tiny_sentence_encoder, tmp_path / "r", candidates=wanted, budget=20.0)
    texts = ["the cat", "a plum with bread and some soup near this table"]
    folder = result["pick"]["bundle"]
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    batch = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        plain = torch.softmax(model(**batch).logits.double(), -1)
    ours = [list(a["probabilities"].values()) for a in sartor.Bundle.load(folder).predict(texts)]
    assert torch.allclose(plain, torch.tensor(ours, dtype=torch.float64), atol=1e-5)


def _alike(stem: str, name: str) -> bool:
    import re

    return stem == re.sub(r"[^A-Za-z0-9._@=-]+", "_", name).strip("_")
