"""From a table with groups to a bundle that answers by examples, through the Python names and on the command line."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sartor import training
from sartor.bundle import Bundle
from sartor.data.hints import Hints
from sartor.data.rows import Rows
from sartor.errors import BadInput
from sartor.verbs.check import check
from sartor.verbs.compare import compare
from sartor.verbs.evaluate import evaluate
from sartor.verbs.finetune import finetune
from sartor.verbs.predict import predict
from text_samples import families, personal, sensors

PLAN = {"max_steps": 4, "eval_steps": 2, "precision": "fp32", "early_stopping_patience": None, "learning_rate": 1e-3}


@pytest.fixture(autouse=True)
def short_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "measure", functools.partial(_measure, training.measure))


def _measure(ruler: Any, subjects: Any, rows: Any, seconds: float) -> Any:
    return ruler(subjects, rows, seconds=0.05)


def frame(rows: Rows) -> pd.DataFrame:
    made = pd.DataFrame({name: list(values) for name, values in rows.columns.items()})
    made["text"] = [f"{text} {i}" for i, text in enumerate(made["text"])]
    return made


def run(encoder: Path, out: Path, rows: Rows, objective: str, task: str, **given: Any) -> Any:
    backbone = f"encoder:path={encoder},pooling=mean"
    usual: dict[str, Any] = {"target": "label", "backbone": backbone, "plan": PLAN}
    return finetune(frame(rows), objective=objective, task=task, out=out, **(usual | given))


@pytest.mark.parametrize("objective", ["prototypes", "anil", "reptile:inner_steps=2", "maml", "maml:first_order=true"])
def test_a_bundle_says_what_the_run_measured(objective: str, tiny_encoder: Path, tmp_path: Path) -> None:
    rows = families(144)
    made = run(tiny_encoder, tmp_path / "run", rows, objective, "few_shot:ways=2,trials=12")
    report = json.loads((tmp_path / "run/report.json").read_text("utf-8"))
    assert (report["steps"], report["task"]) == (4, "few_shot")
    assert report["test"]["accuracy"]["n"] == report["intervals"]["accuracy"]["n"] == 12
    assert report["test"]["accuracy"]["unit"] == "episodes"
    test = frame(rows).iloc[json.loads((tmp_path / "run/data.json").read_text("utf-8"))["rows"]["test"]]
    said = evaluate(str(tmp_path / "run/bundle"), test)
    assert said.metrics["accuracy"] == pytest.approx(report["test"]["accuracy"]["value"])
    assert said.metrics["log_loss"] == pytest.approx(report["test"]["log_loss"]["value"], rel=1e-3)
    assert "episodes." in (made.bundle.path / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("rows", "group", "task", "metric"),
    [
        (personal(144), "reader", "few_shot:shots=2,queries=2,trials=8", "accuracy"),
        (sensors(144), "place", "few_shot:shots=3,queries=3,trials=8", "mse"),
    ],
    ids=["labels", "numbers"],
)
def test_groups_are_parted_and_asked_apart(
    rows: Rows, group: str, task: str, metric: str, tiny_encoder: Path, tmp_path: Path
) -> None:
    hints = Hints(group=group, kinds={"label": rows.schema.kind("label")})
    run(tiny_encoder, tmp_path / "run", rows, "maml:first_order=true", task, hints=hints)
    report = json.loads((tmp_path / "run/report.json").read_text("utf-8"))
    assert next(iter(report["test"])) == metric
    kept = json.loads((tmp_path / "run/data.json").read_text("utf-8"))["rows"]
    homes = [{rows.columns[group][i] for i in kept[part]} for part in ("train", "validation", "test")]
    assert sum(map(len, homes)) == len(set.union(*homes)) == 6


def test_rows_with_a_label_are_the_examples(tiny_encoder: Path, tmp_path: Path) -> None:
    run(tiny_encoder, tmp_path / "run", families(144), "prototypes", "few_shot:ways=2,trials=4")
    rows = [{"text": "the cat", "label": "one"}, {"text": "some soup", "label": "two"}]
    rows += [{"text": "the cat", "label": None}, {"text": "some soup", "label": None}, {"text": "soup", "label": None}]
    said = predict(str(tmp_path / "run/bundle"), rows).predictions
    assert [p["prediction"] for p in said[:4]] == ["one", "two", "one", "two"]
    assert set(said[4]["probabilities"]) == {"one", "two"}
    more = [{"text": "a hammer", "label": "three"}, {"text": "the cat", "label": "four"}, *rows]
    assert set(predict(str(tmp_path / "run/bundle"), more).predictions[0]["probabilities"]) == {
        "four",
        "one",
        "three",
        "two",
    }
    with pytest.raises(BadInput, match=r"error\[FEWSHOT_EXAMPLES\]"):
        predict(str(tmp_path / "run/bundle"), ["the cat"])


def test_gradients_cannot_learn_more_classes_than_there_are_outputs(tiny_encoder: Path, tmp_path: Path) -> None:
    run(tiny_encoder, tmp_path / "run", families(144), "anil", "few_shot:ways=2,trials=4")
    rows = [{"text": word, "label": word} for word in ("cat", "soup", "hammer")]
    with pytest.raises(BadInput) as raised:
        Bundle.load(tmp_path / "run/bundle").predict(rows)
    assert str(raised.value) == (
        "error[FEWSHOT_WIDTH]: the examples are of 3 classes and the network tells 2 apart. "
        "Fix: give examples of at most 2, or train with more ways."
    )


def test_two_bundles_are_compared_on_the_same_episodes(tiny_encoder: Path, tmp_path: Path) -> None:
    rows = families(144)
    for name, objective in (("a", "prototypes"), ("b", "anil")):
        run(tiny_encoder, tmp_path / name, rows, objective, "few_shot:ways=2,trials=12")
    found = compare(str(tmp_path / "a/bundle"), str(tmp_path / "b/bundle"), frame(rows))
    assert found.comparison["metric"] == "accuracy"
    again = compare(str(tmp_path / "a/bundle"), str(tmp_path / "a/bundle"), frame(rows))
    assert again.comparison["difference"] == 0


def test_a_method_that_holds_weights_still_is_refused_by_what_moves_them_all(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput) as raised:
        run(tiny_encoder, tmp_path / "run", families(144), "maml", "few_shot:ways=2", method="bitfit")
    assert str(raised.value) == (
        "error[OBJECTIVE_METHOD]: maml lets every weight learn from examples, and the method holds some still. "
        "Fix: use --method full, or --objective anil or prototypes."
    )
    assert not (tmp_path / "run").exists()


def test_check_says_how_it_would_be_parted() -> None:
    found = check(frame(families(144)), target="label", task="few_shot:ways=2")
    assert found.ok
    assert found.how == "each 'label' in one part, seed 0"
    few = check(frame(families(144)), target="label", task="few_shot")
    assert [p.code for p in few.problems if p.severity == "error"] == ["FEWSHOT_WAYS"]


def test_on_the_command_line(sartor: Any, tiny_encoder: Path, tmp_path: Path) -> None:
    frame(personal(144)).to_csv(tmp_path / "likes.csv", index=False)
    backbone = f"encoder:path={tiny_encoder},pooling=mean"
    words = ["finetune", "likes.csv", "--target", "label", "--group", "reader", "--backbone", backbone]
    words += ["--objective", "maml:inner_steps=2,first_order=true", "--set", "plan.max_steps=2"]
    done = sartor(*words, "--task", "few_shot:trials=12", "--out", "run")
    assert done.code == 0, done.err
    assert "Accuracy" in done.out
    refused = sartor(*words, "--task", "few_shot:shots=90", "--out", "other")
    assert refused.code == 2
    assert refused.err.strip() == (
        "error[FEWSHOT_ROWS]: likes.csv: an episode shows 90 and asks 5 of each class, and none in the train part has "
        "more than 12 rows. Fix: ask for fewer shots or queries."
    )
    assert not (tmp_path / "other").exists()
