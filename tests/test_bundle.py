"""Bundles: deployable in plain transformers, whole or not at all, and refused when they were changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from sartor import bundle as bundles
from sartor.bundle import Bundle, save_baseline, save_network, verify, with_card
from sartor.data.rows import Rows
from sartor.errors import BadInput
from sartor.part import names, part
from sartor.saving import is_changed
from text_samples import labelled, measured, paired, served, tagged, task_of
from tiny_models import POSITIONS
from tiny_runs import begun, recipe, steps

SAMPLES = {"one": labelled, "several": tagged, "number": measured, "pairs": paired}


def made(folder: Path, encoder: Path, rows: Rows, method: str = "full", pooling: str = "mean") -> Path:
    run, encoded = begun(recipe(encoder, rows, method, pooling, max_steps=4), rows)
    if run.state is not None:
        list(steps(run, encoded))
    return save_network(folder, run.net, run.recipe, rows.schema, {"scores": 1.5}, "# card\n")


@pytest.fixture(scope="module")
def kept(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("kept") / "bundle", tiny_encoder, labelled(40), "probe")


@pytest.fixture
def folder(kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "bundle"))


def refusal(call: Callable[[], object], folder: Path) -> str:
    with pytest.raises(BadInput) as raised:
        call()
    return str(raised.value).replace(str(folder), "bundle")


def plain(folder: Path, texts: list[str], pairs: list[str] | None = None) -> torch.Tensor:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(texts, pairs, padding=True, truncation=True, max_length=POSITIONS, return_tensors="pt")
    with torch.no_grad():
        return model(**inputs).logits.double()


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("method", names("methods"))
def test_plain_transformers_says_the_same(kind: str, method: str, tiny_encoder: Path, tmp_path: Path) -> None:
    rows = SAMPLES[kind](40, 0)
    if method == "contrastive" and kind == "number":
        pytest.skip("contrastive tuning learns from classes")
    folder = made(tmp_path / "bundle", tiny_encoder, rows, method)
    opened = Bundle.load(folder)
    if is_changed(folder):
        assert not (folder / "model.safetensors").exists()
        return
    held = SAMPLES[kind](20, 1)
    said = opened.answer(held)
    logits = plain(folder, *[list(column) for column in zip(*held.texts(), strict=True)])
    if kind == "number":
        np.testing.assert_allclose(said.values, logits[:, 0], rtol=1e-6, atol=1e-3)
        return
    expected = torch.sigmoid(logits) if kind == "several" else torch.softmax(logits, -1)
    np.testing.assert_allclose(said.probabilities, expected, rtol=0, atol=1e-5)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert [config["id2label"][str(i)] for i in range(len(said.labels))] == list(said.labels)


def test_the_packaged_encoder_in_plain_transformers(tmp_path: Path) -> None:
    """all-MiniLM, mean pooling as one more block: logits to 1e-5 with padding in the batch, by every method."""
    rows = labelled(24)
    texts = ["short", "a longer text about a cat and a dog with some bread", "", "middling words here"]
    for method in names("methods"):
        given = recipe(Path("unused"), rows, method, max_steps=2, head_start="solved")
        given = replace(given, backbone=part("backbones", "minilm:max_length=40"))  # type: ignore[arg-type]
        run, encoded = begun(given, rows)
        if run.state is not None:
            list(steps(run, encoded))
        columns = run.net.body.encode({"text": texts})
        with torch.no_grad():
            expected = run.net(columns).double()
        folder = save_network(tmp_path / method, run.net, given, rows.schema, {}, "# x\n")
        if not is_changed(folder):
            torch.testing.assert_close(plain(folder, texts), expected, rtol=0, atol=1e-5)
        shutil.rmtree(folder)


def test_answers_for_texts_dicts_frames_and_files_are_the_same(kept: Path, tmp_path: Path) -> None:
    opened = Bundle.load(kept)
    texts = ["a cat near the dog", "one bread", 'hammer, saw and "drill"']
    frame = pd.DataFrame({"text": texts, "other": [1, 2, 3]}, index=[7, 7, 7])
    frame.to_csv(tmp_path / "d.csv", index=False)
    answers = opened.predict(texts)
    assert opened.predict(tuple(texts)) == answers
    assert opened.predict([{"text": t} for t in texts]) == answers
    assert opened.predict(frame) == answers
    assert opened.predict(str(tmp_path / "d.csv")) == answers
    assert opened.predict(opened.rows(texts)) == answers
    assert [list(a) for a in answers] == [["prediction", "probabilities"]] * 3
    for answer in answers:
        assert list(answer["probabilities"]) == ["animal", "food", "tool"]
        assert sum(answer["probabilities"].values()) == pytest.approx(1)
        assert answer["prediction"] == max(answer["probabilities"], key=answer["probabilities"].get)
    assert json.loads(json.dumps(answers)) == answers


def test_a_row_is_answered_alone_as_among_others(kept: Path) -> None:
    opened = Bundle.load(kept)
    texts = ["a cat", "the dog near some butter with one plum under a saw", ""]
    for text, together in zip(texts, opened.predict(texts), strict=True):
        [alone] = opened.predict([text])
        assert alone["prediction"] == together["prediction"]
        assert alone["probabilities"] == pytest.approx(together["probabilities"], abs=1e-5)


def test_several_labels_numbers_and_pairs_as_dicts(tiny_encoder: Path, tmp_path: Path) -> None:
    several = Bundle.load(made(tmp_path / "several", tiny_encoder, tagged(40), "probe"))
    [answer] = several.predict(["a cat and bread"])
    assert isinstance(answer["prediction"], list)
    assert answer["prediction"] == [label for label, p in answer["probabilities"].items() if p > 0.5]
    number = Bundle.load(made(tmp_path / "number", tiny_encoder, measured(40), "probe"))
    [answer] = number.predict(["a cat"])
    assert list(answer) == ["prediction"]
    assert isinstance(answer["prediction"], float)
    pairs = Bundle.load(made(tmp_path / "pairs", tiny_encoder, paired(40), "probe"))
    one, other = pairs.predict([{"text": "a cat", "reply": "one bread"}, {"text": "one bread", "reply": "a cat"}])
    assert one["probabilities"] != other["probabilities"]
    assert refusal(lambda: pairs.predict(["a cat"]), tmp_path) == (
        "error[PREDICT_ROWS]: plain texts fit only a bundle that reads one column of texts or of files. "
        "Fix: give dicts with the keys: text, reply."
    )


def test_a_bundle_holds_its_recipe_its_schema_and_its_card(kept: Path) -> None:
    opened = Bundle.load(kept)
    assert opened.path == kept
    assert opened.card == {"scores": 1.5}
    assert opened.schema == labelled(40).schema
    assert opened.task == task_of(labelled(40))
    assert opened.recipe["method"]["part"] == "probe"
    assert (kept / "README.md").read_text("utf-8") == "# card\n"
    assert not [f.name for f in kept.rglob("*") if f.suffix in (".bin", ".pt", ".pkl", ".py")]


def test_its_notebook_form_is_harmless(folder: Path) -> None:
    evil = replace(Bundle.load(folder), recipe={"task": "<script>alert(1)</script>"})
    assert "<script>" not in evil._repr_html_()


COPY = "copy the bundle again from where it was made"


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "tokenizer.json", "sartor/card.json", "README.md"]
)
def test_a_changed_file_is_named(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[-2] ^= 1
    (folder / name).write_bytes(content)
    said = f"error[BUNDLE_HASH]: bundle: '{name}' was changed after the bundle was made. Fix: {COPY}."
    assert refusal(lambda: Bundle.load(folder), folder) == said


@pytest.mark.parametrize("name", ["model.safetensors", "sartor/recipe.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    said = f"error[BUNDLE_FILE]: bundle: '{name}' is missing. Fix: {COPY}."
    assert refusal(lambda: Bundle.load(folder), folder) == said


@pytest.mark.parametrize("name", ["modeling.py", "sub/notes.txt", "pytorch_model.bin", ".hidden"])
def test_an_extra_file_is_named(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("x")
    said = f"error[BUNDLE_EXTRA]: bundle: '{name}' is not in the manifest. Fix: remove it, or {COPY}."
    assert refusal(lambda: Bundle.load(folder), folder) == said


def test_an_extra_link_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / "link").symlink_to(tmp_path)
    assert refusal(lambda: Bundle.load(folder), folder).startswith("error[BUNDLE_EXTRA]: bundle: 'link' is not in")


def manifest(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    file = folder / bundles.MANIFEST
    value = json.loads(file.read_text("utf-8"))
    change(value)
    file.write_text(json.dumps(value), "utf-8")
    return folder


def test_code_is_refused_though_the_manifest_lists_it(folder: Path) -> None:
    (folder / "evil.py").write_text("")
    hashed = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    manifest(folder, lambda m: m["files"].update({"evil.py": hashed}))
    assert refusal(lambda: Bundle.load(folder), folder).startswith("error[BUNDLE_EXTRA]: bundle: 'evil.py'")


def test_a_newer_format_is_refused(folder: Path) -> None:
    manifest(folder, lambda m: m.update(format=2))
    assert refusal(lambda: Bundle.load(folder), folder) == (
        "error[BUNDLE_NEW]: bundle: the bundle has format 2. "
        "Fix: open it with the version of Sartor that wrote it, or a newer one."
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", f"error[BUNDLE_FILE]: bundle: 'manifest.json' cannot be read. Fix: {COPY}."),
        ("[]", f"error[BUNDLE_FILE]: bundle: 'manifest.json' does not hold a JSON object. Fix: {COPY}."),
        (
            '{"format": 1, "files": []}',
            f"error[BUNDLE_FILE]: bundle: 'manifest.json' does not list files and their hashes. Fix: {COPY}.",
        ),
    ],
)
def test_a_manifest_that_is_none(folder: Path, content: str, said: str) -> None:
    (folder / bundles.MANIFEST).write_text(content, "utf-8")
    assert refusal(lambda: Bundle.load(folder), folder) == said


def test_a_folder_that_is_no_bundle(tmp_path: Path) -> None:
    assert refusal(lambda: Bundle.load(tmp_path), tmp_path) == (
        "error[BUNDLE_NONE]: bundle: this is no Sartor bundle: sartor/manifest.json is missing. "
        "Fix: give the folder that `sartor finetune` or `sartor position` wrote, such as runs/NAME/bundle."
    )


def listing(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def majority(folder: Path) -> Path:
    rows = labelled(20)
    baseline: Any = part("baselines", "majority")
    task = task_of(rows)
    return save_baseline(folder, task, baseline, baseline.fit(task, rows), rows.schema, {}, "# x\n")


@pytest.mark.parametrize("place", ["_write_words", "sync"])
def test_a_save_that_fails_leaves_the_old_bundle_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    folder = majority(tmp_path / "bundle")
    before = listing(folder)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundles, place, full)
    with pytest.raises(OSError, match="No space left"):
        majority(folder)
    assert listing(folder) == before
    assert [f.name for f in tmp_path.iterdir()] == ["bundle"]
    with pytest.raises(OSError, match="No space left"):
        majority(tmp_path / "another")
    assert [f.name for f in tmp_path.iterdir()] == ["bundle"]


def test_the_old_bundle_comes_back_where_the_last_rename_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = majority(tmp_path / "bundle")
    before, rename = listing(folder), Path.rename

    def failing(self: Path, target: Path) -> Path:
        if target == folder and ".old." not in self.name:
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="Input/output"):
        majority(folder)
    assert listing(folder) == before
    assert [f.name for f in tmp_path.iterdir()] == ["bundle"]


def test_a_save_replaces_the_old_bundle_whole(kept: Path, folder: Path) -> None:
    majority(folder)
    assert not (folder / "model.safetensors").exists()
    assert [f.name for f in folder.parent.iterdir()] == ["bundle"]
    verify(folder)


def test_a_baseline_answers_from_its_bundle(tmp_path: Path) -> None:
    opened = Bundle.load(majority(tmp_path / "bundle"))
    assert {a["prediction"] for a in opened.predict(["a cat", "x"])} <= {"animal", "food", "tool"}


def test_measurements_are_written_into_a_copy(kept: Path, tmp_path: Path) -> None:
    copied = with_card(kept, tmp_path / "copy", {"scores": 9}, "# new\n")
    opened = Bundle.load(copied)
    assert opened.card == {"scores": 9}
    assert opened.predict(["a cat"]) == Bundle.load(kept).predict(["a cat"])
    assert Bundle.load(kept).card == {"scores": 1.5}
    assert (copied / "README.md").read_text("utf-8") == "# new\n"


def test_a_card_that_is_no_json_writes_nothing(tiny_encoder: Path, tmp_path: Path) -> None:
    rows = labelled(20)
    run, _ = begun(recipe(tiny_encoder, rows, "probe"), rows)
    with pytest.raises(ValueError, match="JSON"):
        save_network(tmp_path / "bundle", run.net, run.recipe, rows.schema, {"loss": float("nan")}, "# x\n")
    assert list(tmp_path.iterdir()) == []


def test_serving_rows_need_no_target(kept: Path) -> None:
    rows = labelled(10, 3)
    opened = Bundle.load(kept)
    np.testing.assert_array_equal(opened.answer(served(rows)).probabilities, opened.answer(rows).probabilities)
