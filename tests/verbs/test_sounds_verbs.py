"""Sounds through the verbs: a folder by class, and a table of recordings and what is said in them."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sound_samples import by_class, encoded, spoken, word

Sartor = Callable[..., Any]
NETWORK = "speech:size=micro"
FAST = ("--set", "plan.max_steps=12", "--set", "plan.per_device_train_batch_size=16")


@pytest.fixture
def tones(tmp_path: Path) -> Path:
    return by_class(tmp_path / "tones", 40)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """`said.csv` with paths, seconds and texts, beside a folder of sounds."""
    (tmp_path / "clips").mkdir()
    rows = spoken(100, 2)
    with (tmp_path / "said.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["audio", "seconds", "text"])
        for i, (media, text) in enumerate(zip(rows.column("audio"), rows.column("label"), strict=True)):
            (tmp_path / "clips" / f"{i}.wav").write_bytes(media.read())
            table.writerow([f"clips/{i}.wav", 1.0 + i / 100, f"{text.capitalize()}."])
    return tmp_path / "said.csv"


def result(done: Any) -> Any:
    assert done.code == 0, done.err
    return json.loads(done.out)["result"]


def test_a_folder_of_sounds_is_checked_and_drafted(sartor: Sartor, tones: Path) -> None:
    found = result(sartor("check", "tones", "--json"))
    assert found["ok"] and found["schema"]["inputs"] == ["audio"]
    assert found["classes"] == {"fall": 40, "rise": 40, "still": 40}
    assert "target: label" in sartor("init", "tones", "--dry-run").out


def test_a_table_of_recordings_is_known_for_what_it_is(sartor: Sartor, recordings: Path) -> None:
    found = result(sartor("check", "said.csv", "--json"))
    assert found["ok"] and found["schema"]["target"] == "text"
    assert not found["classes"]
    drafted = sartor("init", "said.csv", "--dry-run").out
    assert "task: speech_recognition" in drafted
    assert result(sartor("finetune", "said.csv", "--out", "run", "--dry-run", "--json"))["recipe"]["backbone"] == {
        "part": "speech", "path": "", "size": "tiny",
        "augment": ["speed", "noise", "mask"], "learning_rate": 2e-3,
    }  # fmt: skip


def test_a_recogniser_is_trained_scored_and_asked(sartor: Sartor, recordings: Path) -> None:
    made = result(sartor("finetune", "said.csv", "--backbone", NETWORK, "--out", "run", *FAST, "--json"))
    assert set(made["test"]) == {"wer", "cer"}
    assert made["test"]["wer"]["n"] == 20
    assert Path("run/bundle/vocab.json").is_file()
    card = Path("run/bundle/README.md").read_text("utf-8")
    assert "pipeline_tag: automatic-speech-recognition" in card
    assert "type: wer" in card
    assert set(result(sartor("evaluate", "run/bundle", "said.csv", "--json"))["intervals"]) == {"wer", "cer"}
    content = base64.b64encode(encoded(word("ab", np.random.default_rng(0)))).decode()
    Path("one.jsonl").write_text(json.dumps({"audio": {"bytes": content, "path": "1.wav"}}) + "\n", "utf-8")
    assert sartor("predict", "run/bundle", "one.jsonl", "--out", "a.jsonl").code == 0
    (answer,) = [json.loads(line) for line in Path("a.jsonl").read_text("utf-8").splitlines()]
    assert list(answer) == ["prediction"] and isinstance(answer["prediction"], str)
    assert sartor("predict", "run/bundle", "clips", "--out", "b.csv").code == 0


def test_a_classifier_of_sounds_says_so_on_its_card(sartor: Sartor, tones: Path) -> None:
    done = sartor("finetune", "tones", "--backbone", NETWORK, "--out", "run", *FAST)
    assert done.code == 0, done.err
    card = Path("run/bundle/README.md").read_text("utf-8")
    assert "pipeline_tag: audio-classification" in card
    assert sartor("predict", "run/bundle", str(tones / "rise" / "0.wav"), "--out", "a.csv").code == 0


def test_position_races_networks_and_templates_on_recordings(sartor: Sartor, recordings: Path) -> None:
    words = [w for name in ("nearest_sound", f"{NETWORK}+full@2e-3") for w in ("--candidates", name)]
    found = result(sartor("position", "said.csv", "--out", "run", "--budget", "40s", *words, *FAST, "--json"))
    assert {c["status"] for c in found["candidates"]} <= {"finished", "eliminated", "out of time"}
    assert next(iter(found["pick"]["test"])) == "wer"
    assert all(row["text"].startswith("clips/") and row["off"] for row in found["pick"]["wrong"])
    page = Path("run/report.html").read_text("utf-8")
    assert page.count("<audio controls") == len(found["pick"]["wrong"]) > 0
    assert 'src="data:audio/wav;base64,UklGR' in page


def test_without_candidates_everything_that_fits_enters(sartor: Sartor, recordings: Path, tones: Path) -> None:
    for data, names in (("said.csv", {"nearest_sound"}), ("tones", {"majority", "log_mel"})):
        found = result(sartor("position", data, "--out", "run", "--dry-run", "--json"))
        assert {c["name"].split(" @")[0] for c in found["candidates"]} == names | {"speech + full"}


def test_a_bad_sound_stops_a_run_and_may_be_left_out(sartor: Sartor, recordings: Path) -> None:
    Path("clips/3.wav").write_bytes(b"")
    refused = sartor("finetune", "said.csv", "--out", "run")
    assert refused.code == 2
    assert refused.err == (
        "error[AUD_EMPTY]: said.csv:5: the sound 'clips/3.wav' has no bytes. "
        "Fix: copy it again, or leave its row out; --skip-bad 1 leaves such rows out.\n"
    )
    assert not Path("run").exists()
    found = result(sartor("check", "said.csv", "--skip-bad", "1", "--json"))
    assert found["rows"] == 99


def test_a_text_too_long_for_its_sound_is_named(sartor: Sartor, recordings: Path) -> None:
    lines = recordings.read_text("utf-8").splitlines()
    lines[4] = f"clips/3.wav,1.0,{'a b ' * 60}"
    recordings.write_text("\n".join(lines) + "\n", "utf-8")
    (problem,) = result(sartor("check", "said.csv", "--json"))["problems"]
    assert problem["code"] == "AUD_TEXT" and problem["severity"] == "warning"
    assert problem["message"].startswith("the text is too long for its sound in 1 row (239 characters in ")


def test_a_text_task_on_sounds_is_refused_with_what_would_work(sartor: Sartor, recordings: Path) -> None:
    refused = sartor("finetune", "said.csv", "--backbone", "minilm", "--out", "run")
    assert refused.code == 2, refused.err
    assert refused.err == (
        "error[BACKBONE_LAYOUT]: speech_recognition reads one vector for each of a row's frames, and minilm gives "
        "none. Fix: use a backbone that does: speech.\n"
    )
