"""A run's folder: claimed once, files whole, events in order."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from sartor.errors import BadInput
from sartor.run_folder import RunFolder


def listing(folder: Path) -> set[str]:
    return {str(f.relative_to(folder)) for f in folder.rglob("*")}


def test_a_new_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    assert RunFolder.claim(tmp_path / "a" / "b").path.is_dir()
    RunFolder.claim(tmp_path / "a" / "b")


def test_anothers_results_are_refused_and_stay(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(BadInput) as raised:
        RunFolder.claim(tmp_path)
    assert str(raised.value) == (
        f"error[OUT_EXISTS]: {tmp_path}: the output folder exists and is not empty. "
        "Fix: choose another folder, or pass overwrite or resume."
    )
    assert listing(tmp_path) == {"mine.txt"}


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(BadInput) as raised:
        RunFolder.claim(tmp_path / "x", overwrite=True)
    assert str(raised.value) == (
        f"error[OUT_NOT_DIR]: {tmp_path / 'x'}: this is a file, not a folder. Fix: choose another folder."
    )
    assert (tmp_path / "x").read_text() == "mine"


def test_overwriting_removes_only_what_a_run_wrote(tmp_path: Path) -> None:
    folder = RunFolder.claim(tmp_path)
    folder.write_json("report.json", {})
    folder.record({"event": "x"})
    folder.place("predictions", "a", ".parquet").write_text("x")
    (tmp_path / "bundle").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    RunFolder.claim(tmp_path, overwrite=True)
    assert listing(tmp_path) == {"notes.txt"}


def test_resuming_keeps_everything(tmp_path: Path) -> None:
    RunFolder.claim(tmp_path).record({"event": "x"})
    before = listing(tmp_path)
    RunFolder.claim(tmp_path, resume=True)
    assert listing(tmp_path) == before != set()


def test_json_is_read_back_and_absent_where_there_is_none(tmp_path: Path) -> None:
    folder = RunFolder.claim(tmp_path)
    folder.write_json("deep/x.json", {"größe": [1, None, "🙂"]})
    assert folder.read_json("deep/x.json") == {"größe": [1, None, "🙂"]}
    assert folder.read_json("none.json") is None
    assert listing(tmp_path) == {"deep", "deep/x.json"}


def test_text_that_no_encoding_has_is_written_escaped(tmp_path: Path) -> None:
    RunFolder.claim(tmp_path).write_text("x.txt", "a\ud800b")
    assert (tmp_path / "x.txt").read_text("utf-8") == "a\\ud800b"


def test_a_write_that_fails_leaves_the_older_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder.claim(tmp_path)
    folder.write_text("x.txt", "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sartor.run_folder.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        folder.write_text("x.txt", "new")
    assert (tmp_path / "x.txt").read_text() == "old"
    assert listing(tmp_path) == {"x.txt"}


def test_events_come_in_order(tmp_path: Path) -> None:
    folder = RunFolder.claim(tmp_path)
    for i in range(3):
        folder.record({"event": "step", "number": i, "text": "line\nbreak"})
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text("utf-8").splitlines()]
    assert [e["number"] for e in events] == [0, 1, 2]
    assert all(a["time"] <= b["time"] for a, b in pairwise(events))


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("minilm + lora:r=8 @0.0002", "minilm_lora_r=8_@0.0002.parquet"),
        ("encoder:path=/a/b", "encoder_path=_a_b.parquet"),
        ("../../etc/passwd", ".._.._etc_passwd.parquet"),
    ],
)
def test_a_candidates_place_is_inside_its_shelf(tmp_path: Path, name: str, file: str) -> None:
    assert RunFolder.claim(tmp_path).place("predictions", name, ".parquet") == tmp_path / "predictions" / file


def test_events_that_happen_again_are_dropped_and_so_is_a_torn_line(tmp_path: Path) -> None:
    folder = RunFolder.claim(tmp_path)
    assert folder.drop_events(lambda _: True) is None
    for number in range(4):
        folder.record({"event": "step", "number": number})
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"event": "st')  # the disk was full
    assert folder.drop_events(lambda event: event["number"] > 1) == 3
    folder.record({"event": "resumed"})
    found = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [e.get("number", e["event"]) for e in found] == [0, 1, "resumed"]
    assert listing(tmp_path) == {"events.jsonl"}
