"""Pairs and joined bodies through the verbs, as a user asks for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from image_samples import encoded, picture
from pair_samples import captioned, described, graded, matched
from sartor.bundle import Bundle
from sartor.data.hints import Hints
from sartor.data.rows import Rows
from sartor.errors import BadInput
from sartor.verbs.check import check
from sartor.verbs.compare import compare
from sartor.verbs.compress import compress
from sartor.verbs.evaluate import evaluate
from sartor.verbs.finetune import finetune
from sartor.verbs.init import init
from sartor.verbs.position import position
from sartor.verbs.predict import predict


def lines(path: Path, rows: Rows) -> str:
    names = [*rows.schema.inputs, *([rows.schema.target] if rows.schema.target else [])]
    made = [dict(zip(names, cells, strict=True)) for cells in zip(*(rows.columns[n] for n in names), strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in made), "utf-8")
    return str(path)


def photographed(folder: Path, count: int, seed: int = 0) -> str:
    rows, draw = described(count, seed), np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    made = []
    for i in range(count):
        shape = {"b": "bar", "d": "disc", "f": "frame"}[str(rows.columns["label"][i])[1]]
        (folder / f"{seed}-{i}.png").write_bytes(encoded(picture(shape, draw)))
        made.append({"text": rows.columns["text"][i], "photo": f"{seed}-{i}.png", "label": rows.columns["label"][i]})
    (folder / f"{seed}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made), "utf-8")
    return str(folder / f"{seed}.jsonl")


def test_finetune_predict_evaluate_and_compare(tiny_encoder: Path, tmp_path: Path) -> None:
    train, held = lines(tmp_path / "train.jsonl", matched(120)), lines(tmp_path / "held.jsonl", matched(40, 1))
    given: Any = {
        "backbone": f"encoder:path={tiny_encoder},pooling=mean",
        "plan": {"max_steps": 4, "precision": "fp32"},
    }
    one = finetune(train, method="lora:r=2", out=tmp_path / "one", **given)
    other = finetune(train, method="probe", out=tmp_path / "other", **given)
    assert one.result["task"] == "matching"
    found = evaluate(tmp_path / "one/bundle", held)
    assert found.intervals["recall_at_1"]["unit"] == "queries"
    assert found.intervals["mrr"]["n"] == 80
    against = compare(one.bundle, other.bundle, held)
    assert (against.comparison["metric"], against.comparison["n"]) == ("mrr", 80)
    told = predict(tmp_path / "one/bundle", held, out=tmp_path / "said.csv").predictions
    assert len(told[0]["matches"]) == 5
    assert (tmp_path / "said.csv").read_text("utf-8").startswith("prediction,matches\n")
    assert "compare two of them by their cosine" in (tmp_path / "one/bundle/README.md").read_text("utf-8")


def test_a_bundle_opens_in_plain_transformers_and_gives_the_vectors(tiny_encoder: Path, tmp_path: Path) -> None:
    import torch
    from torch.nn.functional import cosine_similarity
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    train = lines(tmp_path / "train.jsonl", matched(80))
    plan = {"max_steps": 3, "precision": "fp32"}
    finetune(train, backbone=f"encoder:path={tiny_encoder},pooling=mean", out=tmp_path / "run", plan=plan)
    folder = tmp_path / "run/bundle"
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    words = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        a, b = (model(**words(text, return_tensors="pt")).logits for text in ("the cat dog", "dog near cat"))
    ours = Bundle.load(folder).predict([{"query": "the cat dog", "passage": "dog near cat"}])
    assert float(cosine_similarity(a, b)) == pytest.approx(ours[0]["prediction"], abs=1e-4)


def test_position_without_a_network_gives_a_verdict_and_a_report(tmp_path: Path) -> None:
    data = lines(tmp_path / "train.jsonl", matched(200))
    found = position(data, candidates=["chance", "tfidf_cosine"], budget="20s", out=tmp_path / "run")
    assert found.pick == "tfidf_cosine"
    result = json.loads((tmp_path / "run/report.json").read_text("utf-8"))
    assert result["headline"] == "mrr"
    compared = {c["name"]: c["against_best"] for c in result["candidates"]}["chance"]
    assert (compared["metric"], compared["verdict"]) == ("mrr", "worse")
    assert "Recall at 10" in (tmp_path / "run/report.html").read_text("utf-8")
    assert evaluate(tmp_path / "run/bundle", lines(tmp_path / "held.jsonl", matched(40, 1))).metrics["mrr"] > 0.5


def test_a_smaller_form_is_measured_on_the_same_pairs(tiny_encoder: Path, tmp_path: Path) -> None:
    train = lines(tmp_path / "train.jsonl", matched(100))
    plan = {"max_steps": 3, "precision": "fp32"}
    finetune(train, backbone=f"encoder:path={tiny_encoder},pooling=mean", out=tmp_path / "run", plan=plan)
    compress(tmp_path / "run/bundle", train, ["quantize"], out=tmp_path / "small")
    whole, small = (Bundle.load(tmp_path / name / "bundle") for name in ("run", "small"))
    said = [bundle.predict(train)[0]["prediction"] for bundle in (whole, small)]
    assert said[0] == pytest.approx(said[1], abs=0.05)


def test_captions_and_images_are_positioned_without_a_flag(tmp_path: Path) -> None:
    rows, draw = captioned(160), np.random.default_rng(0)
    made = [{"image": f"{i}.png", "caption": text} for i, text in enumerate(rows.columns["caption"])]
    for row in made:
        shape = picture(row["caption"].split()[-1], draw)
        (tmp_path / row["image"]).write_bytes(encoded(shape))
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made), "utf-8")
    given: Any = {"candidates": ["chance", "ridge_cosine"], "budget": "30s", "out": tmp_path / "run"}
    found = position(str(tmp_path / "pairs.jsonl"), **given)
    assert {c["name"] for c in found.result["candidates"]} == {"chance", "ridge_cosine"}
    told = predict(found.bundle, str(tmp_path / "pairs.jsonl")).predictions
    assert told[0]["matches"][0]["image"].endswith(".png")


def test_scored_pairs_are_raced_by_their_correlation(tmp_path: Path) -> None:
    data = lines(tmp_path / "train.jsonl", graded(240))
    words: Any = {"task": "matching", "target": "score", "budget": "20s"}
    found = position(data, candidates=["chance", "tfidf_cosine"], out=tmp_path / "run", **words)
    assert found.pick == "tfidf_cosine"
    assert json.loads((tmp_path / "run/report.json").read_text("utf-8"))["headline"] == "spearman"


def test_a_draft_and_a_check_know_pairs(tmp_path: Path) -> None:
    data = lines(tmp_path / "pairs.jsonl", matched(60))
    assert init(data, out=tmp_path / "pairs.yaml").settings["task"] == "matching"
    found = check(data)
    assert found.ok
    assert "equal side in one part" in found.how


def _row(said: str, i: int) -> dict[str, str]:
    if said == "MATCH_EMPTY":
        return {"query": f"a cat {i}", "passage": "" if i == 3 else f"cats, {i}"}
    return {"query": f"a cat {i}"} if said == "MATCH_SIDES" else {"query": "a cat", "passage": "the cat"}


@pytest.mark.parametrize("said", ["MATCH_EMPTY", "MATCH_SIDES", "MATCH_SAME"])
def test_pairs_that_teach_nothing_end_with_one_sentence(said: str, sartor: Any) -> None:
    Path("pairs.jsonl").write_text("".join(json.dumps(_row(said, i)) + "\n" for i in range(40)), "utf-8")
    one = ("--text", "query") if said == "MATCH_SIDES" else ()
    ran = sartor("finetune", "pairs.jsonl", "--task", "matching", *one, "--out", "run")
    assert ran.code == 2
    assert ran.err.startswith(f"error[{said}]")
    assert not Path("run").exists()


def test_a_joint_network_is_trained_saved_and_answers_with_a_gap(tiny_encoder: Path, tmp_path: Path) -> None:
    train = photographed(tmp_path / "data", 90)
    of = f"(encoder:path={tiny_encoder},pooling=mean)+(convnet:size=tiny,image_size=32)"
    plan = {"max_steps": 3, "precision": "fp32"}
    finetune(train, target="label", backbone=f"fusion:of={of},how=cross,width=16", plan=plan, out=tmp_path / "run")
    folder = tmp_path / "run/bundle"
    assert (folder / "body-0/config.json").is_file()
    asked = [json.loads(line) for line in Path(train).read_text("utf-8").splitlines()[:3]]
    asked[1]["photo"], asked[2]["text"] = None, ""
    Path(train).with_name("asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked), "utf-8")
    said = predict(folder, str(Path(train).with_name("asked.jsonl"))).predictions
    assert all(sum(row["probabilities"].values()) == pytest.approx(1.0) for row in said)
    again = evaluate(folder, train)
    assert again.rows == 90


def test_joined_bundles_keep_what_each_has_learned(tiny_encoder: Path, tmp_path: Path) -> None:
    """A photo that is missing everywhere leaves the text's own features to a head that is fitted on both."""
    train, plan = photographed(tmp_path / "data", 90), {"max_steps": 3, "precision": "fp32"}
    text, photo = f"encoder:path={tiny_encoder},pooling=mean", "convnet:size=tiny,image_size=32"
    for name, backbone, out in (("text", text, "photo"), ("photo", photo, "text")):
        hints = Hints(ignore=(out,))
        finetune(train, target="label", backbone=backbone, hints=hints, plan=plan, out=tmp_path / name)
    of = "+".join(f"(bundle:path={tmp_path / name}/bundle)" for name in ("text", "photo"))
    finetune(train, target="label", backbone=f"fusion:of={of}", method="probe", plan=plan, out=tmp_path / "joint")
    assert Bundle.load(tmp_path / "joint/bundle").recipe["backbone"]["of"][0]["part"] == "bundle"


def test_two_bodies_are_the_towers_of_captions_and_images(tiny_encoder: Path, tmp_path: Path) -> None:
    train = photographed(tmp_path / "data", 80)
    of = f"(encoder:path={tiny_encoder},pooling=mean)+(convnet:size=tiny,image_size=32)"
    words: Any = {"task": "matching", "hints": Hints(ignore=("label",)), "plan": {"max_steps": 3, "precision": "fp32"}}
    done = finetune(train, backbone=f"fusion:of={of},width=16", out=tmp_path / "run", **words)
    assert set(done.result["metrics"]) >= {"mrr", "recall_at_10", "back_recall_at_10"}
    with pytest.raises(BadInput, match="two sides of text"):
        finetune(train, backbone=f"encoder:path={tiny_encoder}", out=tmp_path / "no", **words)
