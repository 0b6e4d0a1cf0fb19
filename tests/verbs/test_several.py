"""Several data sets, one body: trained, saved, asked, each task by itself; through Python and the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from sartor import training
from sartor.bundle import Bundle
from sartor.errors import BadInput
from sartor.verbs.compare import compare
from sartor.verbs.evaluate import evaluate
from sartor.verbs.finetune import finetune
from sartor.verbs.predict import predict
from text_samples import labelled, measured
from tiny_models import POSITIONS

PLAN = {"max_steps": 6, "eval_steps": 3, "precision": "fp32", "early_stopping_patience": None, "learning_rate": 1e-3}
Run = Callable[..., Any]


@pytest.fixture(scope="module", autouse=True)
def _short_measuring() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        ruler = training.measure
        patch.setattr(training, "measure", lambda subjects, rows, seconds: ruler(subjects, rows, seconds=0.05))
        yield


def topic(count: int = 90, seed: int = 0) -> pd.DataFrame:
    return pd.DataFrame(_with_numbers(labelled(count, seed), "t"))


def cost(count: int = 60, seed: int = 1) -> pd.DataFrame:
    """The target is called otherwise, and so is the text."""
    return pd.DataFrame(_with_numbers(measured(count, seed), "c")).rename(columns={"label": "price", "text": "item"})


def _with_numbers(rows: Any, mark: str) -> dict[str, Any]:
    made = {name: list(values) for name, values in rows.columns.items()}
    return {**made, "text": [f"{text} {mark}{i}" for i, text in enumerate(made["text"])]}


def data() -> dict[str, Any]:
    return {"topic": topic(), "cost": {"data": cost(), "target": "price"}}


def run(encoder: Path, out: Path, given: Any = None, **more: Any) -> Any:
    usual = {"backbone": f"encoder:path={encoder},pooling=mean", "method": "lora:r=2", "plan": PLAN, "out": out}
    return finetune(data() if given is None else given, **(usual | more))


@pytest.fixture(scope="module")
def folder(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    run(tiny_encoder, out, objective="uncertainty")
    return out


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    return Bundle.load(folder / "bundle")


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(BadInput) as raised:
        call()
    return str(raised.value)


def logits(folder: Path, texts: list[str]) -> torch.Tensor:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    inputs = AutoTokenizer.from_pretrained(folder)(
        texts, padding=True, truncation=True, max_length=POSITIONS, return_tensors="pt"
    )
    with torch.no_grad():
        return model(**inputs).logits.double()


TEXTS = ["a cat near the dog", "one hammer", "bread with cheese", "the tiger"]


def test_the_report_has_every_tasks_scores_with_intervals(folder: Path) -> None:
    report = json.loads((folder / "report.json").read_text("utf-8"))
    assert list(report["tasks"]) == ["topic", "cost"]
    for name, metric, rows in (("topic", "accuracy", 18), ("cost", "mae", 12)):
        told = report["tasks"][name]
        assert told["rows"] == rows
        assert told["intervals"][metric]["low"] <= told["metrics"][metric] <= told["intervals"][metric]["high"]
        assert told["test"][metric]["n"] == rows
    assert set(report["objective"]["weights"]) == {"topic", "cost"}
    assert report["labels"] == []
    assert report["data"]["sets"]["cost"]["parts"] == {"train": 36, "validation": 12, "test": 12}
    page = (folder / "bundle" / "README.md").read_text("utf-8")
    assert "## Task topic" in page
    assert "## Task cost" in page
    looks = [json.loads(line) for line in (folder / "events.jsonl").read_text("utf-8").splitlines()]
    assert {"mean_loss", "topic/accuracy", "cost/mae"} <= {key for event in looks for key in event}


def test_each_data_set_is_parted_as_it_is_alone(folder: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    alone = run(tiny_encoder, tmp_path / "alone", topic(), method="probe").result
    report = json.loads((folder / "report.json").read_text("utf-8"))
    assert report["data"]["sets"]["topic"]["parts"] == alone["data"]["parts"]
    rows = json.loads((folder / "data.json").read_text("utf-8"))["rows"]["test"]
    own = json.loads((tmp_path / "alone" / "data.json").read_text("utf-8"))["rows"]["test"]
    assert [number for number in rows if number < 1_000_000_000] == own


def test_all_outputs_are_one_layer_in_plain_transformers(bundle: Bundle) -> None:
    found = logits(bundle.path, TEXTS)
    assert found.shape == (4, 4)
    said = bundle.predict([{"task": "topic", "text": text} for text in TEXTS])
    for answer, row in zip(said, found[:, :3].softmax(-1), strict=True):
        assert list(answer["probabilities"]) == ["animal", "food", "tool"]
        assert list(answer["probabilities"].values()) == pytest.approx(row.tolist(), abs=1e-5)
    numbers = [a["prediction"] for a in bundle.predict([{"task": "cost", "item": text} for text in TEXTS])]
    assert numbers == pytest.approx(found[:, 3].tolist(), rel=1e-5)


def test_rows_of_several_tasks_are_answered_in_their_order(bundle: Bundle) -> None:
    rows = [{"task": "cost", "item": "a saw"}, {"task": "topic", "text": "a cat"}, {"task": "cost", "item": "bread"}]
    said = bundle.predict(rows)
    assert [a["task"] for a in said] == ["cost", "topic", "cost"]
    assert [set(a) for a in said] == [
        {"task", "prediction"},
        {"task", "prediction", "probabilities"},
        {"task", "prediction"},
    ]
    assert said[2] == bundle.predict(rows[2:])[0]


def test_one_task_alone_is_a_bundle_like_any_other(bundle: Bundle, tmp_path: Path) -> None:
    view, saved = bundle.only("topic"), bundle.only("topic", tmp_path / "topic")
    expected = [a["probabilities"] for a in view.predict(TEXTS)]
    assert expected == [a["probabilities"] for a in bundle.predict([{"task": "topic", "text": t} for t in TEXTS])]
    for answer, row, known in zip(saved.predict(TEXTS), logits(saved.path, TEXTS).softmax(-1), expected, strict=True):
        assert answer["probabilities"] == pytest.approx(known, abs=1e-6)
        assert list(answer["probabilities"].values()) == pytest.approx(row.tolist(), abs=1e-5)
    assert Bundle.load(saved.path).schema.inputs == ("text",)
    assert saved.card["only"] == "topic"
    assert saved.card["labels"] == ["animal", "food", "tool"]
    number = bundle.only("cost", tmp_path / "cost")
    assert [a["prediction"] for a in number.predict(TEXTS)] == pytest.approx(logits(number.path, TEXTS)[:, 0].tolist())


def test_evaluating_rows_of_all_tasks_gives_what_each_gives_alone(bundle: Bundle) -> None:
    both = [{"task": "topic", **row} for row in topic(30, 5).to_dict("records")]
    both += [{"task": "cost", **row} for row in cost(24, 6).to_dict("records")]
    mixed = [both[i] for i in np.random.default_rng(0).permutation(len(both))]
    found = evaluate(bundle, mixed)
    assert found.rows == 54
    for name, rows in (("topic", topic(30, 5)), ("cost", cost(24, 6))):
        alone = evaluate(bundle, rows, task_name=name)
        assert {m: v["value"] for m, v in found.tasks[name]["intervals"].items()} == pytest.approx(alone.metrics)
        assert alone.tasks == {}
    assert "topic on 30 rows" in repr(found)


def test_a_task_is_compared_with_a_bundle_of_its_own(bundle: Bundle, tmp_path: Path) -> None:
    saved = bundle.only("topic", tmp_path / "topic")
    found = compare(bundle, saved, topic(30, 5), task_name="topic")
    assert found.comparison["difference"] == pytest.approx(0, abs=1e-6)
    assert refusal(lambda: compare(bundle, saved, topic(30, 5))) == (
        f"error[COMPARE_TASK]: {saved.path}: the two bundles do not predict the same thing. Fix: compare bundles that "
        "were trained on the same target and labels; of a bundle of several tasks name one with --task-name."
    )


def test_predictions_of_several_tasks_go_to_a_file(bundle: Bundle, tmp_path: Path) -> None:
    rows = [{"task": "cost", "item": "a saw"}, {"task": "topic", "text": "a cat"}]
    out = tmp_path / "said.csv"
    predict(bundle, rows, out=out)
    read = pd.read_csv(out)
    assert list(read.columns) == ["task", "prediction", "probability animal", "probability food", "probability tool"]
    assert read["probability food"].isna().tolist() == [True, False]


def test_what_a_bundle_of_several_tasks_cannot_answer(bundle: Bundle) -> None:
    assert refusal(lambda: bundle.predict(["a cat"])) == (
        "error[PREDICT_ROWS]: plain texts do not say which task they are for. "
        "Fix: ask for one of them: bundle.only('topic').predict(...)."
    )
    assert refusal(lambda: bundle.only("topics")) == (
        f"error[TASK_UNKNOWN]: {bundle.path}: the bundle has no task called 'topics'. "
        "Fix: did you mean 'topic'? Known: cost, topic."
    )
    assert refusal(lambda: bundle.only("topic").only("topic")) == (
        f"error[TASK_UNKNOWN]: {bundle.path}: the bundle has no task called 'topic', for it has only one. "
        "Fix: leave the name out."
    )
    bare = [{"task": "topic", "text": "a cat"}]
    assert refusal(lambda: evaluate(bundle, bare)) == (
        "error[EVAL_NO_LABELS]: rows: the rows have no column 'label'. "
        "Fix: add the column 'label', or use `sartor predict` for rows without labels."
    )


def test_what_changed_alone_is_kept_and_each_task_leaves_it(tiny_encoder: Path, tmp_path: Path) -> None:
    done = run(tiny_encoder, tmp_path / "run", save="changed")
    bundle = Bundle.load(done.result["bundle"])
    assert (bundle.path / "adapter_model.safetensors").is_file()
    expected = bundle.only("topic").predict(TEXTS)
    saved = bundle.only("topic", tmp_path / "topic")
    assert (saved.path / "adapter_model.safetensors").is_file()
    for answer, known in zip(saved.predict(TEXTS), expected, strict=True):
        assert answer["probabilities"] == pytest.approx(known["probabilities"], abs=1e-6)


def test_a_bundle_of_several_tasks_is_shown_in_a_few_lines(folder: Path) -> None:
    from sartor.verbs.show import show

    told = show(str(folder / "bundle"))
    assert "task        multitask (alpha=1.0, names=['topic', 'cost'], tasks=classification+regression)" in told.text
    assert max(len(line) for line in told.text.splitlines()) < 200


def test_candidates_for_several_tasks_are_raced(tiny_encoder: Path, tmp_path: Path) -> None:
    from sartor.verbs.position import position

    rows = [{"task": "topic", **row} for row in topic().to_dict("records")]
    rows += [{"task": "cost", "label": row["price"], "text": row["item"]} for row in cost().to_dict("records")]
    racing = [f"encoder:path={tiny_encoder},pooling=mean+{method}" for method in ("probe", "lora:r=2@1e-3")]
    done = position(
        rows,
        task="multitask",
        target="label",
        budget=15.0,
        candidates=racing,
        plan={"max_steps": 6},
        out=tmp_path / "run",
    )
    assert done.result["headline"] == "mean_loss"
    assert len([c for c in done.result["candidates"] if c["status"] == "finished"]) >= 1
    assert {a["task"] for a in done.bundle.predict([{"task": "cost", "text": "a saw"}])} == {"cost"}


def test_one_table_whose_rows_name_their_task_is_several_data_sets(tiny_encoder: Path, tmp_path: Path) -> None:
    rows = [{"task": "topic", **row} for row in topic().to_dict("records")]
    rows += [{"task": "cost", "label": row["price"], "text": row["item"]} for row in cost().to_dict("records")]
    done = run(tiny_encoder, tmp_path / "run", rows, task="multitask:alpha=0.5", method="probe", target="label")
    assert {name: told["task"] for name, told in done.result["tasks"].items()} == {
        "topic": "classification",
        "cost": "regression",
    }
    assert done.result["recipe"]["task"]["alpha"] == 0.5


def test_two_targets_of_one_table_are_parted_alike(tiny_encoder: Path, tmp_path: Path) -> None:
    frame = topic()
    frame["price"] = np.random.default_rng(0).normal(size=len(frame)).round(3)
    asked = {"topic": {"data": frame, "target": "label", "ignore": "price"}}
    asked |= {"cost": {"data": frame, "target": "price", "ignore": "label"}}
    done = run(tiny_encoder, tmp_path / "run", asked, method="probe")
    rows = json.loads((tmp_path / "run" / "data.json").read_text("utf-8"))["rows"]
    for part in rows.values():
        own = [number for number in part if number < 1_000_000_000]
        assert own == [number - 1_000_000_000 for number in part if number >= 1_000_000_000]
    assert done.result["warnings"] == []
    assert "cost: as for 'label' of the same rows" in done.result["data"]["how"]


def test_a_run_that_goes_on_ends_as_one_that_was_not_stopped(tiny_encoder: Path, tmp_path: Path) -> None:
    from sartor.engine.progress import Progress

    more = {"objective": "pcgrad:of=uncertainty", "task": "multitask:alpha=0.3"}
    whole = run(tiny_encoder, tmp_path / "whole", **more)

    def stop(seen: Progress) -> None:
        if seen.stage == "train" and seen.done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tiny_encoder, tmp_path / "stopped", progress=stop, **more)
    resumed = run(tiny_encoder, tmp_path / "stopped", resume=True, **more)
    assert resumed.result["losses"] == whole.result["losses"]
    assert resumed.result["objective"] == whole.result["objective"]
    weights = [(out / "bundle" / "model.safetensors").read_bytes() for out in (resumed.folder, whole.folder)]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("given", "more", "said"),
    [
        (data, {"task": "classification"}, "error[TASKS_SEVERAL]: classification learns from one data set, and 2 are "
        "given. Fix: leave --task out, or give each data set a task of its own."),
        (topic, {"task": "multitask"}, "error[TASKS_COLUMN]: DataFrame: multitask learns from several data sets, or "
        "from one with a column 'task'. Fix: give several data sets."),
        (data, {"validation": topic()}, "error[TASKS_PARTS]: one validation part is given for 2 data sets. "
        "Fix: give each data set its own validation part, under tasks: in a configuration."),
        (lambda: {"a": topic(), "b": cost()}, {"hints": None}, "error[LABEL_COLUMN]: DataFrame: nothing says which "
        "column to predict; the columns are: item, price. Fix: pass --target NAME."),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(
    tiny_encoder: Path, tmp_path: Path, given: Any, more: dict[str, Any], said: str
) -> None:
    more = {key: value for key, value in more.items() if value is not None}
    assert refusal(lambda: run(tiny_encoder, tmp_path / "run", given(), **more)) == said
    assert list(tmp_path.iterdir()) == []


# the command line


@pytest.fixture
def files(tmp_path: Path) -> Path:
    topic().to_csv(tmp_path / "topic.csv", index=False)
    cost().to_csv(tmp_path / "cost.csv", index=False)
    (tmp_path / "run.yaml").write_text(
        "tasks:\n  topic: topic.csv\n  cost: {data: cost.csv, target: price}\n"
        "plan: {max_steps: 3, precision: fp32}\nmethod: probe\n"
    )
    return tmp_path


def words(encoder: Path, *more: str) -> list[str]:
    return ["finetune", f"--backbone=encoder:path={encoder},pooling=mean", "--out=runs/x", *more]


def test_several_files_on_the_command_line(sartor: Run, files: Path, tiny_encoder: Path) -> None:
    asked = words(tiny_encoder, "topic.csv", "price=cost.csv", "--set=tasks.price.target=price", "--method=probe")
    done = sartor(*asked)
    assert done.code == 0, done.err
    assert "topic on 18 rows" in done.out
    assert "price on 12 rows" in done.out
    cost(20, 9).to_csv(files / "new.csv", index=False)
    scored = sartor("evaluate", "runs/x/bundle", "new.csv", "--task-name", "price", "--json")
    assert set(json.loads(scored.out)["result"]["metrics"]) == {"mae", "rmse", "r2", "spearman"}
    said = sartor("predict", "runs/x/bundle", "new.csv", "--task-name", "price")
    assert len(said.out.splitlines()) == 20
    lost = sartor("predict", "runs/x/bundle", "new.csv")
    assert (lost.code, lost.err) == (
        2,
        "error[TASK_COLUMN]: new.csv: the rows do not say which task they are for. Fix: add a column 'task' that holds "
        "one of: topic, price; or name one task for all with --task-name.\n",
    )


def test_a_configuration_names_the_data_sets(sartor: Run, files: Path, tiny_encoder: Path) -> None:
    done = sartor(*words(tiny_encoder, "--config=run.yaml", "--dry-run"))
    assert done.code == 0, done.err
    assert "topic.csv + cost.csv: train 90" in done.out
    assert "task         multitask" in done.out
    assert not (files / "runs").exists()


SENTENCES = {
    (
        "--config=run.yaml",
        "--set=tasks.cost.traget=price",
    ): "error[CFG_KEY_UNKNOWN]: --set tasks.cost.traget: tasks.cost "
    "has no setting 'traget'. Fix: did you mean 'target'? Known: ",
    (
        "--config=run.yaml",
        "--set=tasks.other.target=price",
    ): "error[TASKS_DATA]: tasks.other: the data set 'other' has no data. Fix: add tasks.other.data.",
    ("topic.csv", "cost.csv", "--set=tasks.costs.target=x"): "error[TASKS_NAME]: tasks.costs: no data set is called "
    "'costs'. Fix: did you mean 'cost'? Known: cost, topic; or leave the paths out and give each its own with "
    "tasks.NAME.data.",
    ("topic.csv", "topic.csv"): "error[TASKS_NAME]: topic.csv: two data sets are called 'topic'. "
    "Fix: name them, such as topic_2=topic.csv.",
    ("topic.csv", "none.csv"): "error[DATA_NOT_FOUND]: none.csv: ",
    ("topic.csv", "cost.csv", "--validation=topic.csv"): "error[TASKS_PARTS]: one validation part is given for 2 data "
    "sets. Fix: give each data set its own validation part, under tasks: in a configuration.",
    ("--set=tasks.a.data=topic.csv",): "error[TASKS_FEW]: 1 data set is given where several are learned from. "
    "Fix: give another one, or this one by itself.",
}


@pytest.mark.parametrize("more", SENTENCES, ids=" ".join)
def test_a_mistake_on_the_command_line_is_one_sentence(
    sartor: Run, files: Path, tree: Run, tiny_encoder: Path, more: tuple[str, ...]
) -> None:
    before = tree()
    done = sartor(*words(tiny_encoder, *more))
    assert done.err.startswith(SENTENCES[more]), done.err
    assert (done.code, done.err.count("\n"), tree()) == (2, 1, before)


def test_tasks_must_be_a_mapping(sartor: Run, files: Path, tiny_encoder: Path) -> None:
    (files / "bad.yaml").write_text("tasks: topic.csv\n")
    done = sartor(*words(tiny_encoder, "--config=bad.yaml"))
    assert done.err == (
        "error[CFG_TYPE]: bad.yaml:1: tasks is no mapping. "
        "Fix: write `tasks:` and indented lines such as `reviews: reviews.csv`.\n"
    )


def test_checking_several_data_sets_is_one_by_one(sartor: Run, files: Path) -> None:
    done = sartor("check", "topic.csv", "--task", "multitask")
    assert done.code == 2
    assert done.err == (
        "error[TASKS_APART]: the data sets of multitask are read one by one. "
        "Fix: give each alone, without --task multitask.\n"
    )


def test_a_bundle_is_the_backbone_of_the_next_run(sartor: Run, files: Path, folder: Path) -> None:
    shutil.copytree(folder / "bundle", files / "first")
    asked = ["finetune", "topic.csv", "--backbone=bundle:path=first", "--method=probe", "--out=runs/next"]
    done = sartor(*asked)
    assert done.code == 0, done.err
    assert Bundle.load("runs/next/bundle").recipe["backbone"]["of"]["part"] == "encoder"


def test_a_backbone_that_may_know_what_is_held_out_is_told_of(sartor: Run, files: Path, tiny_encoder: Path) -> None:
    first = ["finetune", "topic.csv", "--method=probe", f"--backbone=encoder:path={tiny_encoder},pooling=mean"]
    assert sartor(*first, "--out=runs/first").code == 0
    again = ["finetune", "topic.csv", "--method=probe", "--backbone=bundle:path=runs/first/bundle", "--json"]
    same = json.loads(sartor(*again, "--out=runs/same").out)["result"]["warnings"]
    other = json.loads(sartor(*again, "--seed=7", "--out=runs/other").out)["result"]["warnings"]
    assert same == []
    assert other == [
        f"bundle:path=runs/first/bundle was trained on rows of {files / 'topic.csv'}, parted otherwise: "
        "it may know what is held out"
    ]
