"""Every kind of bad input, through the command line: one sentence with a fix, exit code 2, nothing written."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

WORDS = ("plain", "bright", "slow", "warm", "early", "quiet", "green", "broad", "late", "heavy", "light", "small")


def rows(count: int, labels: tuple[str, ...] = ("good", "bad")) -> list[tuple[str, str]]:
    """Different texts, the labels in turn."""
    n = len(WORDS)
    texts = [f"the {WORDS[i % n]} {WORDS[(i // n) % n]} word number {i} of the book" for i in range(count)]
    return [(text, labels[i % len(labels)]) for i, text in enumerate(texts)]


def table(count: int = 60, labels: tuple[str, ...] = ("good", "bad")) -> str:
    return "text,label\n" + "".join(f"{text},{label}\n" for text, label in rows(count, labels))


def parquet() -> bytes:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    texts, labels = zip(*rows(60), strict=True)
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": texts, "label": labels}), sink)
    return sink.getvalue()


def lines(count: int = 60) -> str:
    return "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows(count))


UNREADABLE: dict[str, tuple[str, bytes | Callable[[], bytes], str]] = {
    "empty": ("d.csv", b"", "DATA_EMPTY"),
    "blank lines": ("d.csv", b"\n\n\n", "DATA_EMPTY"),
    "header only": ("d.csv", b"text,label\n", "DATA_NO_ROWS"),
    "Latin-1": ("d.csv", table().replace("word", "größe").encode("latin-1"), "DATA_ENCODING"),
    "UTF-16": ("d.csv", table().encode("utf-16"), "DATA_ENCODING"),
    "NUL byte": ("d.csv", table().replace("warm", "wa\0rm", 1).encode(), "DATA_NUL"),
    "too few cells": ("d.csv", (table() + "only a text\n").encode(), "DATA_RAGGED"),
    "too many cells": ("d.csv", (table() + "a,b,c\n").encode(), "DATA_RAGGED"),
    "open quote": ("d.csv", (table() + '"open,good\n').encode(), "DATA_QUOTE"),
    "same column twice": ("d.csv", table().replace("text,label", "label,label", 1).encode(), "DATA_COLUMN_DUPLICATE"),
    "column without a name": ("d.csv", table().replace("text,label", ",label", 1).encode(), "DATA_COLUMN_EMPTY"),
    "semicolons": ("d.csv", table().replace(",", ";").encode(), "DATA_DELIMITER"),
    "10 MB cell": ("d.csv", (table() + f"{'x' * 10_000_000},good\n").encode(), "DATA_FIELD_SIZE"),
    "binary": ("d.csv", bytes(range(256)) * 40, "DATA_(BINARY|NUL|ENCODING)"),
    "picture": ("d.csv", b"\x89PNG\r\n\x1a\n" + bytes(200), "DATA_(BINARY|FORMAT_MISMATCH|NUL|ENCODING)"),
    "gzip named csv": ("d.csv", gzip.compress(table().encode()), "DATA_COMPRESSED"),
    "zip named csv": ("d.csv", b"PK\x03\x04" + bytes(100), "DATA_COMPRESSED"),
    "truncated gzip": ("d.csv.gz", gzip.compress(table(600).encode())[:-40], "DATA_TRUNCATED"),
    "parquet named csv": ("d.csv", parquet, "DATA_FORMAT_MISMATCH"),
    "csv named parquet": ("d.parquet", table().encode(), "PQ_MAGIC|DATA_FORMAT_MISMATCH"),
    "truncated parquet": ("d.parquet", lambda: parquet()[:-100], "PQ_(CORRUPT|TRUNCATED|MAGIC)"),
    "pickle": ("d.pkl", b"\x80\x04.", "DATA_PICKLE"),
    "unknown ending": ("d.docx", b"text", "DATA_FORMAT"),
    "jsonl syntax": ("d.jsonl", (lines() + '{"text": "a", \n').encode(), "JSON_SYNTAX|JSON_NOT_LINES"),
    "json array": ("d.jsonl", json.dumps([{"text": t} for t, _ in rows(60)]).encode(), "JSON_ARRAY"),
    "json number": ("d.jsonl", b"3\n4\n", "JSON_SHAPE"),
    "json NaN": ("d.jsonl", (lines() + '{"text": "a", "label": NaN}\n').encode(), "JSON_NAN"),
    "json deep": ("d.jsonl", b'{"text": ' + b"[" * 100_000 + b"\n", "JSON_DEPTH|JSON_SYNTAX"),
    "json same key twice": ("d.jsonl", (lines() + '{"text": "a", "text": "b"}\n').encode(), "JSON_DUPLICATE"),
}
UNTRAINABLE: dict[str, tuple[str, str]] = {
    "ten rows": (table(10), "DATA_TOO_FEW"),
    "one row": (table(1), "DATA_TOO_FEW|LABEL_SINGLE"),
    "one class": (table(60, ("good",)), "LABEL_SINGLE"),
    "no texts": (re.sub(r"the [^,]*,", ",", table()), "DATA_COLUMN_BLANK"),
    "every label empty": (re.sub(r",(good|bad)\n", ",\n", table()), "LABEL_EMPTY|LABEL_SINGLE|LABEL_COLUMN"),
}
WRONG_WORDS: dict[tuple[str, ...], str] = {
    ("d.csv", "--target", "lable"): "LABEL_COLUMN",
    ("d.csv", "--text", "txet"): "DATA_COLUMN_MISSING",
    ("d.csv", "--group", "author"): "DATA_COLUMN_MISSING",
    ("d.csv", "--time", "date"): "DATA_COLUMN_MISSING",
    ("d.csv", "--kind", "age=number"): "DATA_COLUMN_MISSING",
    ("d.csv", "--kind", "text=number"): "DATA_NUMBER|DATA_TYPE",
    ("d.csv", "--text", "label", "--target", "label"): "HINT_CONFLICT",
    ("none.csv",): "DATA_NOT_FOUND",
    ("folder",): "DATA_DIRECTORY",
    ("example:nothing",): "DATA_EXAMPLE",
    ("hf:", "--target", "x"): "DATA_HUB_NAME",
}


def refused(done: Any, codes: str) -> None:
    """The contract: exit code 2, one sentence on stderr that starts with the code and has a fix, and silence."""
    assert done.code == 2, done.err
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert re.match(rf"error\[({codes})\]: \S", done.err), done.err
    assert re.search(r"\. Fix: \S.*\.\n$", done.err)
    assert len(done.err) < 1000


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bundle: the majority baseline on good rows."""
    from sartor import part as parts
    from sartor.bundle import save_baseline
    from sartor.data.read import read

    folder = tmp_path_factory.mktemp("made")
    (folder / "d.csv").write_text(table(), "utf-8")
    data = read(str(folder / "d.csv"))
    task: Any = parts.part("tasks", "classification")
    learned = task.learn(data)
    baseline: Any = parts.part("baselines", "majority")
    fitted = baseline.fit(learned, data)
    return save_baseline(folder / "bundle", learned, baseline, fitted, data.schema, {}, "# A bundle\n")


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> str:
    shutil.copytree(made, tmp_path / "bundle")
    return "bundle"


TRAINING = {"finetune": (), "position": ("--budget", "5s"), "init": ()}
ANSWERING = {"evaluate": ("bundle",), "predict": ("bundle",), "compare": ("bundle", "bundle")}
VERBS = (*TRAINING, "check", *ANSWERING)


def words_of(verb: str, data: str) -> tuple[str, ...]:
    return (verb, *ANSWERING.get(verb, ()), data, *TRAINING.get(verb, ()))


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", UNREADABLE)
def test_unreadable_data(sartor: Run, tree: Run, bundle: str, verb: str, name: str) -> None:
    file, content, codes = UNREADABLE[name]
    Path(file).write_bytes(content() if callable(content) else content)
    before = tree()
    refused(sartor(*words_of(verb, file)), codes)
    assert tree() == before


@pytest.mark.parametrize("verb", ["finetune", "position"])
@pytest.mark.parametrize("name", UNTRAINABLE)
def test_untrainable_data(sartor: Run, tree: Run, verb: str, name: str) -> None:
    text, codes = UNTRAINABLE[name]
    Path("d.csv").write_text(text, "utf-8")
    before = tree()
    refused(sartor(verb, "d.csv", "--target", "label", "--text", "text"), codes)
    assert tree() == before


@pytest.mark.parametrize("name", UNTRAINABLE)
def test_check_reports_untrainable_data_and_exits_2(sartor: Run, tree: Run, name: str) -> None:
    text, codes = UNTRAINABLE[name]
    Path("d.csv").write_text(text, "utf-8")
    before = tree()
    words = ("check", "d.csv", "--target", "label", "--text", "text")
    told, shown = sartor(*words, "--json"), sartor(*words)
    assert (told.code, shown.code, told.err, shown.err) == (2, 2, "", "")
    report = json.loads(told.out)
    assert (report["ok"], report["result"]["ok"]) == (True, False)
    found = [p["code"] for p in report["result"]["problems"]]
    assert any(re.fullmatch(codes, code) for code in found), found
    assert any(code in shown.out for code in found)
    assert tree() == before


@pytest.mark.parametrize("verb", ["finetune", "position", "check", "init"])
@pytest.mark.parametrize("words", WRONG_WORDS, ids=" ".join)
def test_wrong_words_about_the_data(sartor: Run, tree: Run, verb: str, words: tuple[str, ...]) -> None:
    Path("d.csv").write_text(table(), "utf-8")
    Path("folder").mkdir()
    before = tree()
    refused(sartor(verb, *words), WRONG_WORDS[words])
    assert tree() == before


def test_a_missing_column_is_answered_with_the_nearest(sartor: Run) -> None:
    Path("d.csv").write_text(table(), "utf-8")
    done = sartor("check", "d.csv", "--target", "lable")
    assert done.err == (
        "error[LABEL_COLUMN]: d.csv: there is no column 'lable'. Fix: did you mean 'label'? Known: label, text.\n"
    )


def test_a_missing_file_is_answered_with_the_nearest(sartor: Run) -> None:
    Path("reviews.csv").write_text(table(), "utf-8")
    done = sartor("check", "review.csv")
    refused(done, "DATA_NOT_FOUND")
    assert "reviews.csv" in done.err


def test_a_pipe_is_no_data_file(sartor: Run) -> None:
    os.mkfifo("pipe.csv")
    refused(sartor("check", "pipe.csv"), "DATA_SPECIAL")


@pytest.mark.parametrize("part", ["--validation", "--test"])
@pytest.mark.parametrize("verb", ["finetune", "position", "check"])
def test_a_given_part_must_be_readable_too(sartor: Run, tree: Run, verb: str, part: str) -> None:
    Path("d.csv").write_text(table(), "utf-8")
    Path("ragged.csv").write_text(table() + "a,b,c\n", "utf-8")
    before = tree()
    refused(sartor(verb, "d.csv", part, "ragged.csv"), "DATA_RAGGED")
    refused(sartor(verb, "d.csv", part, "none.csv"), "DATA_NOT_FOUND")
    assert tree() == before


# words only one verb has


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        (("--candidates", "minilm+lroa"), "PART_UNKNOWN|CANDIDATE.*"),
        (("--candidates", "nosuchlist"), "PART_UNKNOWN|CANDIDATE.*"),
        (("--candidates", "minilm+lora:r=x"), "VALUE|CANDIDATE.*"),
        (("--candidates", "minilm+probe", "--candidates", "minilm+probe"), "CLI_DUPLICATE"),
        (("--metric", "acuracy"), "METRIC.*"),
        (("--task", "regression"), "LABEL_TYPE|DATA_TYPE|TASK.*|LABEL.*"),
        (("--set", "plan.num_train_epoch=3"), "CFG_KEY_UNKNOWN"),
        (("--set", "plan.dropout=1.5"), "CLI_RANGE"),
        (("--config", "none.yaml"), "CFG_NOT_FOUND"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else "",
)
def test_position_refuses(sartor: Run, tree: Run, words: tuple[str, ...], codes: str) -> None:
    Path("d.csv").write_text(table(), "utf-8")
    before = tree()
    refused(sartor("position", "d.csv", "--budget", "5s", *words), codes)
    assert tree() == before


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        (("--method", "lora:r=0"), "VALUE_RANGE"),
        (("--method", "lora:target_modules=nosuch"), ".*TARGET.*|PART_.*|VALUE.*"),
        (("--backbone", "encoder:path=nosuchfolder"), "MODEL_NOT_FOUND|BACKBONE.*|MODEL.*|PART_SETTING"),
        (("--task", "regression"), "LABEL_TYPE|DATA_TYPE|TASK.*|LABEL.*"),
        (("--set", "plan.learning_rate=0"), "CLI_RANGE"),
        (("--set", "plan.lr_scheduler_type=lineer"), "CLI_TYPE"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else "",
)
def test_finetune_refuses(sartor: Run, tree: Run, words: tuple[str, ...], codes: str) -> None:
    Path("d.csv").write_text(table(), "utf-8")
    before = tree()
    refused(sartor("finetune", "d.csv", *words), codes)
    assert tree() == before


# bundles


def _tampered(folder: Path) -> None:
    recipe = folder / "sartor/recipe.json"
    recipe.write_text(recipe.read_text("utf-8").replace("majority", "tfidf"), "utf-8")


def _newer(folder: Path) -> None:
    manifest = folder / "sartor/manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text("utf-8")) | {"format": 99}), "utf-8")


CORRUPT: dict[str, tuple[Callable[[Path], object], str]] = {
    "tampered file": (_tampered, "BUNDLE_HASH"),
    "missing file": (lambda f: (f / "sartor/schema.json").unlink(), "BUNDLE_FILE"),
    "missing manifest": (lambda f: (f / "sartor/manifest.json").unlink(), "BUNDLE_NONE"),
    "manifest is no JSON": (lambda f: (f / "sartor/manifest.json").write_text("{"), "BUNDLE_FILE"),
    "newer format": (_newer, "BUNDLE_NEW"),
    "empty folder": (lambda f: (shutil.rmtree(f), f.mkdir()), "BUNDLE_NONE"),
    "no folder": (shutil.rmtree, "BUNDLE_NONE|BUNDLE_NOT_FOUND|SHOW_UNKNOWN"),
    "a file": (lambda f: (shutil.rmtree(f), f.write_text("x")), "BUNDLE_NONE"),
    "program code inside": (lambda f: (f / "modeling.py").write_text("boom"), "BUNDLE_EXTRA"),
    "a pickle inside": (lambda f: (f / "pytorch_model.bin").write_bytes(b"\x80\x04."), "BUNDLE_EXTRA"),
    "a link inside": (lambda f: (f / "extra").symlink_to("/etc/hostname"), "BUNDLE_EXTRA"),
}


@pytest.mark.parametrize("verb", ["evaluate", "predict", "compare", "show"])
@pytest.mark.parametrize("name", CORRUPT)
def test_a_corrupt_bundle(sartor: Run, tree: Run, bundle: str, verb: str, name: str) -> None:
    spoil, codes = CORRUPT[name]
    spoil(Path(bundle))
    Path("d.csv").write_text(table(), "utf-8")
    before = tree()
    refused(sartor(*(("show", f"./{bundle}") if verb == "show" else words_of(verb, "d.csv"))), codes)
    assert tree() == before


def test_labels_that_a_bundle_never_saw(sartor: Run, bundle: str) -> None:
    Path("d.csv").write_text(table(60, ("good", "awful")), "utf-8")
    refused(sartor("evaluate", bundle, "d.csv"), "LABEL_UNKNOWN")


def test_evaluating_without_labels(sartor: Run, bundle: str) -> None:
    Path("d.csv").write_text("text\n" + "".join(f"{text}\n" for text, _ in rows(30)), "utf-8")
    refused(sartor("evaluate", bundle, "d.csv"), "EVAL_NO_LABELS|LABEL_COLUMN")


def test_answering_without_the_columns(sartor: Run, tree: Run, bundle: str) -> None:
    Path("d.csv").write_text(table().replace("text,", "txt,", 1), "utf-8")
    before = tree()
    refused(sartor("predict", bundle, "d.csv", "--out", "answers.csv"), "DATA_COLUMN_MISSING")
    assert tree() == before


def test_predictions_do_not_replace_a_file(sartor: Run, tree: Run, bundle: str) -> None:
    Path("d.csv").write_text(table(), "utf-8")
    Path("answers.csv").write_text("mine", "utf-8")
    before = tree()
    refused(sartor("predict", bundle, "d.csv", "--out", "answers.csv"), "OUT_EXISTS")
    refused(sartor("predict", bundle, "d.csv", "--out", "d.csv", "--overwrite"), "OUT_IS_DATA")
    assert tree() == before


@pytest.mark.parametrize("verb", ["finetune", "position", "init"])
def test_a_dry_run_writes_nothing(sartor: Run, tree: Run, verb: str) -> None:
    Path("d.csv").write_text(table(), "utf-8")
    before = tree()
    done = sartor(verb, "d.csv", "--dry-run", "--json")
    assert (done.code, done.err, json.loads(done.out)["ok"]) == (0, "", True)
    told = sartor(verb, "d.csv", "--dry-run")
    assert (told.code, told.err) == (0, "")
    assert ("target: label" if verb == "init" else "would write  runs/d\n") in told.out
    assert tree() == before


# the same through real processes

PROCESSES = [
    (("adpat", "d.csv"), "CLI_VERB_UNKNOWN"),
    (("position", "d.csv", "--budget", "10"), "CLI_DURATION"),
    (("position", "none.csv"), "DATA_NOT_FOUND"),
    (("finetune", "d.csv", "--method", "lroa"), "PART_UNKNOWN"),
    (("finetune", "d.csv", "--target", "lable"), "LABEL_COLUMN"),
    (("finetune", "ragged.csv"), "DATA_RAGGED"),
    (("position", "few.csv"), "DATA_TOO_FEW"),
    (("check", "binary.csv"), "DATA_(BINARY|NUL|ENCODING)"),
    (("evaluate", "folder", "d.csv"), "BUNDLE_NONE"),
    (("finetune", "d.csv", "--out", "full"), "OUT_EXISTS"),
]


@pytest.mark.parametrize(("words", "codes"), PROCESSES, ids=[" ".join(w) for w, _ in PROCESSES])
def test_in_a_process_of_its_own(tmp_path: Path, tree: Run, words: tuple[str, ...], codes: str) -> None:
    (tmp_path / "d.csv").write_text(table(), "utf-8")
    (tmp_path / "few.csv").write_text(table(10), "utf-8")
    (tmp_path / "ragged.csv").write_text(table() + "a,b,c\n", "utf-8")
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "folder").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine", "utf-8")
    before = tree()
    start = [sys.executable, "-m", "sartor", *words]
    done = subprocess.run(start, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert re.fullmatch(rf"error\[({codes})\]: [^\n]+\. Fix: [^\n]+\.\n", done.stderr), done.stderr
    assert tree() == before
