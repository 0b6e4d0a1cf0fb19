"""finetune, then evaluate, compare and predict, on a tiny encoder: through the Python names, as a user calls them."""

from __future__ import annotations

import functools
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sartor import training
from sartor.bundle import Bundle
from sartor.engine.progress import Progress
from sartor.errors import BadInput, GateFailed, Interrupted
from sartor.verbs.compare import compare
from sartor.verbs.evaluate import evaluate
from sartor.verbs.finetune import finetune
from sartor.verbs.predict import predict
from text_samples import labelled, measured, paired, tagged

SAMPLES = {"one": labelled, "several": tagged, "number": measured, "pairs": paired}
PLAN = {"max_steps": 6, "eval_steps": 2, "precision": "fp32", "early_stopping_patience": None, "learning_rate": 1e-3}


@pytest.fixture(autouse=True)
def short_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "measure", functools.partial(_measure, training.measure))


def _measure(ruler: Any, subjects: Any, rows: Any, seconds: float) -> Any:
    return ruler(subjects, rows, seconds=0.05)


def frame(kind: str = "one", count: int = 90, seed: int = 0) -> pd.DataFrame:
    rows = SAMPLES[kind](count, seed)
    made = pd.DataFrame({name: list(values) for name, values in rows.columns.items()})
    made["text"] = [f"{text} {i}" for i, text in enumerate(made["text"])]
    return made


def backbone(folder: Path) -> str:
    return f"encoder:path={folder},pooling=mean"


def run(encoder: Path, out: Path, data: Any = None, **given: Any) -> Any:
    usual: dict[str, Any] = {"target": "label", "backbone": backbone(encoder), "method": "lora:r=2", "plan": PLAN}
    return finetune(frame() if data is None else data, out=out, **(usual | given))


@pytest.fixture(scope="module")
def folder(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "measure", functools.partial(_measure, training.measure))
        out = tmp_path_factory.mktemp("runs") / "run"
        run(tiny_encoder, out)
    return out


def sentence(call: Any) -> str:
    with pytest.raises(BadInput) as raised:
        call()
    return str(raised.value)


def test_a_run_leaves_its_whole_story(folder: Path) -> None:
    assert {f.name for f in folder.iterdir()} == {
        "config.json",
        "environment.json",
        "data.json",
        "events.jsonl",
        "bundle",
        "report.json",
    }
    report = json.loads((folder / "report.json").read_text("utf-8"))
    assert report["steps"] == 6
    assert [step for step, _ in report["losses"]] == [0, 2, 4, 6]
    for part in ("intervals", "test"):
        for metric in ("accuracy", "macro_f1", "log_loss"):
            found = report[part][metric]
            assert found["low"] <= found["value"] <= found["high"]
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text("utf-8").splitlines()]
    assert [e["number"] for e in events if e["event"] == "step"] == [1, 2, 3, 4, 5, 6]
    [told] = [e for e in events if e["event"] == "engine"]
    assert (told["rows"], told["prefix_blocks"]) == ("packed", 0)
    assert report["engine"].items() <= told.items()
    numbers = json.loads((folder / "data.json").read_text("utf-8"))["rows"]
    assert sorted(numbers["train"] + numbers["validation"] + numbers["test"]) == list(range(90))


def test_its_bundle_answers_with_the_reported_score(folder: Path) -> None:
    numbers = json.loads((folder / "data.json").read_text("utf-8"))["rows"]
    report = json.loads((folder / "report.json").read_text("utf-8"))
    found = evaluate(folder / "bundle", frame().iloc[numbers["test"]])
    assert found.rows == len(numbers["test"])
    for metric, said in report["test"].items():
        assert found.metrics[metric] == pytest.approx(said["value"], abs=1e-5), metric


def test_its_figures_are_what_was_measured(folder: Path) -> None:
    report = json.loads((folder / "report.json").read_text("utf-8"))
    moved = 2 * 2 * (4 * 2 * 32 + 2 * (32 + 64)) + 3 * 32 + 3
    assert report["parameters"]["trained"] == moved
    assert report["parameters"]["all"] > moved
    assert report["effort"]["updates"] == 6
    step = report["effort"]["step_seconds"]
    assert 0 < step["low"] <= step["value"] <= step["high"]
    assert report["effort"]["peak_bytes"] > 50e6
    weights = folder / "bundle" / "model.safetensors"
    assert report["stored"] == {"form": "merged", "bytes": weights.stat().st_size, "files": ["model.safetensors"]}
    card = (folder / "bundle" / "README.md").read_text("utf-8")
    assert f"| Weights trained | {moved:,} of {report['parameters']['all']:,} (" in card
    assert f"| Bytes of weights stored | {weights.stat().st_size:,} |" in card
    assert "| One update, median | not measured |" not in card
    size = sum(f.stat().st_size for f in (folder / "bundle").rglob("*")) / 1e6
    assert report["costs"]["size_mb"]["value"] == pytest.approx(size, rel=0.1)


def test_only_what_changed_is_saved_where_that_is_asked_for(tiny_encoder: Path, tmp_path: Path, folder: Path) -> None:
    result = run(tiny_encoder, tmp_path / "run", save="changed")
    bundle = tmp_path / "run" / "bundle"
    assert not (bundle / "model.safetensors").exists()
    stored = result.to_json()["stored"]
    assert stored["files"] == ["adapter_model.safetensors", "sartor/changed.safetensors"]
    assert stored["bytes"] == sum((bundle / name).stat().st_size for name in stored["files"])
    assert stored["lent"]["bytes"] > stored["bytes"] / 2
    texts = frame(count=8, seed=3)["text"].tolist()
    whole = Bundle.load(folder / "bundle").predict(texts)
    for one, other in zip(result.bundle.predict(texts), whole, strict=True):
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)
    assert "Plain PEFT on the same backbone" in (bundle / "README.md").read_text("utf-8")


def test_what_does_not_fold_is_saved_as_what_changed_and_never_as_merged(tiny_encoder: Path, tmp_path: Path) -> None:
    assert sentence(lambda: run(tiny_encoder, tmp_path / "no", method="adapter", save="merged")) == (
        "error[SAVE_MERGED]: adapter does not fold into the backbone. Fix: leave --save out, or write --save changed."
    )
    assert list(tmp_path.iterdir()) == []
    result = run(tiny_encoder, tmp_path / "run", method="adapter")
    assert result.to_json()["stored"]["form"] == "changed"
    assert result.to_json()["stored"]["files"] == ["sartor/changed.safetensors"]
    numbers = json.loads((tmp_path / "run" / "data.json").read_text("utf-8"))["rows"]
    found = evaluate(tmp_path / "run" / "bundle", frame().iloc[numbers["test"]])
    for metric, said in result.to_json()["test"].items():
        assert found.metrics[metric] == pytest.approx(said["value"], abs=1e-5), metric


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("method", ["full", "probe"])
def test_every_kind_of_target(kind: str, method: str, tiny_encoder: Path, tmp_path: Path) -> None:
    result = run(tiny_encoder, tmp_path / "run", frame(kind), method=method)
    headline = {"one": "accuracy", "several": "micro_f1", "number": "mae", "pairs": "accuracy"}[kind]
    assert next(iter(result.to_json()["test"])) == headline
    answers = result.bundle.predict(frame(kind, 5, 1).drop(columns="label"))
    assert len(answers) == 5
    shown = {"accuracy": "Accuracy", "micro_f1": "Micro F1", "mae": "Mean absolute error"}
    assert shown[headline] in repr(result)


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_an_interrupted_run_goes_on_and_ends_with_the_same_bits(
    tiny_encoder: Path, tmp_path: Path, folder: Path, stop: int
) -> None:
    def signal(seen: Progress) -> None:
        if seen.stage == "train" and seen.done == stop:
            raise Interrupted(2, kept="go on")

    with pytest.raises(Interrupted):
        run(tiny_encoder, tmp_path / "run", progress=signal)
    assert not (tmp_path / "run" / "bundle").exists()
    assert [f.name for f in (tmp_path / "run" / "checkpoints").iterdir()] == [f"{-(-stop // 2):06d}-step-{stop}"]
    run(tiny_encoder, tmp_path / "run", resume=True)
    whole, resumed = (f / "bundle" / "model.safetensors" for f in (folder, tmp_path / "run"))
    assert resumed.read_bytes() == whole.read_bytes()
    reports = [json.loads((f / "report.json").read_text("utf-8")) for f in (folder, tmp_path / "run")]
    assert reports[0]["losses"] == reports[1]["losses"]


def test_a_run_goes_on_only_with_the_same_words_and_rows(tiny_encoder: Path, tmp_path: Path) -> None:
    def signal(seen: Progress) -> None:
        if seen.stage == "train":
            raise Interrupted(15, kept="go on")

    out = tmp_path / "run"
    with pytest.raises(Interrupted):
        run(tiny_encoder, out, progress=signal)
    other = {**PLAN, "learning_rate": 5e-4}
    assert "error[CKPT_MISMATCH]" in sentence(lambda: run(tiny_encoder, out, plan=other, resume=True))
    assert sentence(lambda: run(tiny_encoder, out, frame(count=80), resume=True)) == (
        f"error[RESUME_DATA]: {out}: the run in this folder was on other rows. "
        "Fix: give the same data as before, or another --out."
    )


def test_a_run_that_diverges_fails_its_gate(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sartor.tasks.classification import Classification

    loss = Classification.loss
    monkeypatch.setattr(Classification, "loss", lambda self, outputs, batch: loss(self, outputs, batch) * float("nan"))
    with pytest.raises(GateFailed) as raised:
        run(tiny_encoder, tmp_path / "run", plan={**PLAN, "max_steps": 20})
    assert re.sub(r"rows [\d, ]+", "rows ...", str(raised.value)) == (
        "error[DIVERGED]: the loss or its gradient was no number in 10 updates in a row, "
        "at last at step 10 (rows ...). "
        "Fix: look at these rows, or give a lower rate, such as --set plan.learning_rate=1e-5."
    )
    assert not (tmp_path / "run" / "bundle").exists()


def test_another_runs_folder_is_not_touched(tiny_encoder: Path, folder: Path) -> None:
    before = {f: f.stat().st_mtime_ns for f in folder.rglob("*")}
    assert sentence(lambda: run(tiny_encoder, folder)) == (
        f"error[OUT_EXISTS]: {folder}: the output folder exists and is not empty. "
        "Fix: choose another folder, or pass overwrite or resume."
    )
    assert {f: f.stat().st_mtime_ns for f in folder.rglob("*")} == before


def test_bad_input_writes_nothing(tiny_encoder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert "LORA_TARGET" in sentence(lambda: run(tiny_encoder, out, method="lora:target_modules=nothing"))
    assert "PART_SETTING" in sentence(lambda: run(tiny_encoder, out, plan={"learning_rat": 1}))
    assert "MODEL_NOT_FOUND" in sentence(lambda: run(tmp_path / "none", out))
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_writes_nothing(tiny_encoder: Path, tmp_path: Path) -> None:
    told = run(tiny_encoder, tmp_path / "run", dry_run=True).to_json()
    assert told["dry_run"] is True
    assert told["steps"] == 6
    assert told["recipe"]["method"]["r"] == 2
    assert list(tmp_path.iterdir()) == []


def test_evaluate_refuses_rows_without_labels_or_with_unknown_ones(folder: Path) -> None:
    opened = Bundle.load(folder / "bundle")
    bare = frame(count=6).drop(columns="label")
    assert sentence(lambda: evaluate(opened, bare)) == (
        "error[EVAL_NO_LABELS]: DataFrame: the rows have no column 'label'. "
        "Fix: add the column 'label', or use `sartor predict` for rows without labels."
    )
    holes = frame(count=6)
    holes.loc[2, "label"] = None
    assert sentence(lambda: evaluate(opened, holes)) == (
        "error[LABEL_EMPTY]: DataFrame:3: the target is missing. Fix: fill it in, or remove the row."
    )
    strange = frame(count=6)
    strange.loc[1, "label"] = "stone"
    assert sentence(lambda: evaluate(opened, strange)) == (
        'error[LABEL_UNKNOWN]: DataFrame:2: label "stone" is not one of: animal, food, tool. '
        "Fix: correct the row, or train with rows that have this label."
    )


def test_evaluate_is_the_same_for_a_folder_and_an_opened_bundle(folder: Path) -> None:
    rows = frame(count=30, seed=2)
    one, other = evaluate(folder / "bundle", rows), evaluate(Bundle.load(folder / "bundle"), rows)
    assert one.to_json() == other.to_json()
    assert json.loads(json.dumps(one.to_json(), allow_nan=False))["rows"] == 30


def test_a_bundle_compared_with_itself_is_tied(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder / "bundle", tmp_path / "copy"))
    found = compare(folder / "bundle", copy, frame(count=40, seed=3)).to_json()
    assert found["difference"] == 0.0
    assert found["verdict"] in ("tied", "undecided")
    assert found["rows"] == 40
    assert set(found["metrics"]) == {str(folder / "bundle"), str(copy)}
    assert json.dumps(found, allow_nan=False)


def test_bundles_of_different_labels_cannot_be_compared(tiny_encoder: Path, folder: Path, tmp_path: Path) -> None:
    other = run(tiny_encoder, tmp_path / "run", frame("pairs"), method="probe").folder / "bundle"
    assert sentence(lambda: compare(folder / "bundle", other, frame(count=10))) == (
        f"error[COMPARE_TASK]: {other}: the two bundles do not predict the same thing. "
        "Fix: compare bundles that were trained on the same target and labels."
    )


def test_an_unknown_metric_is_answered_with_the_nearest(folder: Path) -> None:
    bundle = folder / "bundle"
    assert sentence(lambda: compare(bundle, bundle, frame(count=10), metric="accurcy")) == (
        "error[METRIC_TASK]: classification has no metric 'accurcy'. "
        "Fix: did you mean 'accuracy'? Known: accuracy, brier, log_loss, macro_f1."
    )


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
def test_predictions_are_written_whole(folder: Path, tmp_path: Path, ending: str) -> None:
    rows = frame(count=7, seed=4).drop(columns="label")
    out = tmp_path / f"said{ending}"
    result = predict(folder / "bundle", rows, out=out)
    reader = {".jsonl": lambda f: pd.read_json(f, lines=True), ".csv": pd.read_csv, ".parquet": pd.read_parquet}
    read = reader[ending](out)
    assert list(read["prediction"]) == [a["prediction"] for a in result.predictions]
    expected = [a["probabilities"]["food"] for a in result.predictions]
    found = read["probability food"] if ending == ".csv" else [p["food"] for p in read["probabilities"]]
    assert list(found) == pytest.approx(expected)
    assert [f.name for f in tmp_path.iterdir()] == [out.name]
    assert result.to_json() == {"bundle": str(folder / "bundle"), "rows": 7, "out": str(out)}


def test_predictions_do_not_replace_a_file_unless_told(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "said.csv"
    out.write_text("mine")
    assert sentence(lambda: predict(folder / "bundle", ["a cat"], out=out)) == (
        f"error[OUT_EXISTS]: {out}: the output file exists. Fix: choose another, or pass overwrite."
    )
    assert out.read_text() == "mine"
    predict(folder / "bundle", [{"text": "a cat"}], out=out, overwrite=True)
    assert out.read_text().startswith("prediction,")


def test_predictions_need_an_ending_that_says_the_format(folder: Path, tmp_path: Path) -> None:
    assert sentence(lambda: predict(folder / "bundle", ["a cat"], out=tmp_path / "said.xlsx")) == (
        "error[OUT_FORMAT]: 'said.xlsx' has no ending that says its format. Fix: end it in .jsonl, .csv, .parquet."
    )


def test_plain_texts_are_answered(folder: Path) -> None:
    opened = Bundle.load(folder / "bundle")
    assert list(predict(opened, ["a cat", "bread"]).predictions) == opened.predict(["a cat", "bread"])


def test_a_dry_prediction_answers_and_writes_nothing(folder: Path, tmp_path: Path) -> None:
    result = predict(folder / "bundle", [{"text": "a cat"}], out=tmp_path / "x.csv", dry_run=True)
    assert result.predictions == ()
    assert list(tmp_path.iterdir()) == []


def test_hints_may_only_repeat_what_the_bundle_knows(folder: Path) -> None:
    from sartor.data.hints import Hints

    assert sentence(lambda: evaluate(folder / "bundle", frame(count=5), hints=Hints(target="stars"))) == (
        "error[BUNDLE_TARGET]: the bundle predicts 'label', not 'stars'. "
        "Fix: leave --target out, or rename the column to 'label'."
    )
