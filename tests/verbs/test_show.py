"""show: shelves, parts, bundles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sartor import part as parts
from sartor.errors import BadInput
from sartor.part import SHELVES
from sartor.verbs.show import show


@pytest.mark.parametrize("shelf", SHELVES)
def test_a_shelf_lists_its_files_with_their_first_line(shelf: str) -> None:
    shown = show(shelf)
    assert shown.kind == "shelf"
    assert list(shown.details["parts"]) == parts.names(shelf)
    assert all(line and "\n" not in line for line in shown.details["parts"].values())
    assert json.loads(json.dumps(shown.to_json()))["name"] == shelf


@pytest.mark.parametrize(("shelf", "name"), [(s, n) for s in SHELVES for n in parts.names(s)])
def test_a_part_shows_every_setting_with_a_default_that_makes_it_again(shelf: str, name: str) -> None:
    shown = show(f"{shelf}/{name}")
    assert shown.kind == "part"
    for setting in shown.details["settings"]:
        assert f"{setting['name']}={setting['default']}" in shown.text
        if setting["default"] not in ("", "None", "(must be given)"):
            again = parts.part(shelf, f"{name}:{setting['name']}={setting['default']}")
            assert again.spelled() == name


def test_lora() -> None:
    shown = show("lora")
    assert shown.name == "methods/lora"
    assert {"name": "r", "default": "16", "type": "whole number"} in shown.details["settings"]
    assert {"name": "lora_dropout", "default": "0", "type": "number"} in shown.details["settings"]
    assert "Hu et al. 2021" in shown.text
    assert "Write it as: lora:r=16" in shown.text


def test_learned_fields_are_no_settings() -> None:
    assert "labels" not in {s["name"] for s in show("tasks/classification").details["settings"]}


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(BadInput) as raised:
        show("methds")
    expected = "error[SHOW_UNKNOWN]: there is no shelf, part or bundle 'methds'. Fix: did you mean 'methods'? Known: "
    assert str(raised.value).startswith(expected)


def test_a_bundle(tmp_path: Path) -> None:
    from sartor.bundle import save_baseline
    from sartor.data.read import read

    data = tmp_path / "d.csv"
    data.write_text("text,label\n" + "".join(f"row number {i} here,{'ab'[i % 2]}\n" for i in range(40)), "utf-8")
    rows = read(str(data))
    task: Any = parts.part("tasks", "classification")
    baseline: Any = parts.part("baselines", "majority")
    learned = task.learn(rows)
    card = {"test": {"accuracy": 0.51234}, "seconds": 1.5}
    folder = tmp_path / "bundle"
    save_baseline(folder, learned, baseline, baseline.fit(learned, rows), rows.schema, card, "# x\n")
    shown = show(str(folder))
    assert shown.kind == "bundle"
    assert "baseline    majority" in shown.text
    assert "target      label" in shown.text
    assert "test.accuracy: 0.5123" in shown.text
    assert shown.to_json()["card"] == card
