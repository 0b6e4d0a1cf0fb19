"""init: a draft that `check`, `finetune` and `position` read as it stands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sartor.data.hints import Hints
from sartor.errors import BadInput
from sartor.settings import SETTINGS, resolve
from sartor.verbs.init import init


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"a fairly long text about number {i} and more,{i % 5 + 1},{i}\n" for i in range(60))
    Path("reviews.csv").write_text("review text,stars,no\n" + rows, "utf-8")


def given(path: str) -> dict[str, object]:
    return resolve((*SETTINGS, "plan"), {}, [], path, {})


def test_the_draft_reads_back_as_what_was_guessed() -> None:
    done = init("reviews.csv", hints=Hints(target="stars"))
    assert (done.out, done.written) == ("reviews.yaml", True)
    assert Path(done.out).read_text("utf-8") == done.text
    found = given(done.out)
    assert found["data"] == "reviews.csv"
    assert (found["task"], found["target"], found["text"]) == ("classification", "stars", ("review text",))
    assert (found["budget"], found["seed"]) == (300.0, 0)


def test_every_line_has_its_reason() -> None:
    text = init("reviews.csv", hints=Hints(target="stars"), dry_run=True).text
    settings = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert settings
    assert all("  # " in line for line in settings)
    assert "#   stars: category" in text


def test_what_was_given_stands_in_the_draft() -> None:
    hints = Hints(target="stars", ignore=("no",), kinds={"review text": "text"})
    init("reviews.csv", hints=hints, out="run.yaml")
    found = given("run.yaml")
    assert (found["ignore"], found["kind"]) == (("no",), (("review text", "text"),))


def test_a_number_to_predict_is_a_regression() -> None:
    rows = "".join(f"a fairly long text about number {i} and more,{i * 1.37:.3f}\n" for i in range(60))
    Path("prices.csv").write_text("text,price\n" + rows, "utf-8")
    assert init("prices.csv", hints=Hints(target="price"), dry_run=True).settings["task"] == "regression"


def test_names_that_yaml_could_misread_survive() -> None:
    names = ("no: yes # 'x'", "&a *b", "größe")
    rows = "".join(f"a fairly long text about number {i} and more,{'ab'[i % 2]}\n" for i in range(60))
    for i, name in enumerate(names):
        Path(f"d{i}.csv").write_text(f'text,"{name}"\n' + rows, "utf-8")
        done = init(f"d{i}.csv", hints=Hints(target=name))
        assert given(done.out)["target"] == name


def test_a_dry_run_writes_nothing() -> None:
    done = init("reviews.csv", hints=Hints(target="stars"), dry_run=True)
    assert not done.written
    assert os.listdir() == ["reviews.csv"]


def test_nothing_is_replaced() -> None:
    Path("reviews.yaml").write_text("mine", "utf-8")
    Path("folder").mkdir()
    expected = {
        None: "error[OUT_EXISTS]: reviews.yaml: the file exists. Fix: choose another --out, or remove it.",
        "run.txt": "error[OUT_FORMAT]: run.txt: a configuration is a YAML file. Fix: name it .yaml.",
        "none/run.yaml": "error[OUT_NOT_DIR]: none/run.yaml: there is no folder 'none'. Fix: make it first.",
    }
    for out, sentence in expected.items():
        with pytest.raises(BadInput) as raised:
            init("reviews.csv", hints=Hints(target="stars"), out=out)
        assert str(raised.value) == sentence
    assert Path("reviews.yaml").read_text("utf-8") == "mine"


def test_tokens_with_tags_need_no_word() -> None:
    Path("names.conll").write_text("".join(f"Ada{i} B-PER\nsaid O\nso{i} O\n\n" for i in range(40)), "utf-8")
    done = init("names.conll")
    assert done.settings == {"data": "names.conll", "task": "token_classification", "target": "ner_tags"}
    assert "target: ner_tags  # a tag for each token" in done.text
