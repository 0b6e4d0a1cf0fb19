"""What a number was measured on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sartor import __version__
from sartor.engine import precision
from sartor.engine.environment import cores, environment, memory_bytes, processor, version


def test_environment_says_what_a_reader_needs_as_json() -> None:
    found = json.loads(json.dumps(environment()))
    needed = {"processor", "cores", "threads", "memory_gb", "precision_available", "matrix_units", "python", "torch"}
    assert needed | {"transformers", "peft", "accelerate", "sartor", "device"} <= set(found)
    assert found["torch"] == torch.__version__
    assert found["sartor"] == __version__
    assert found["threads"] == torch.get_num_threads()
    assert found["cores"] == cores() >= 1
    assert found["memory_gb"] > 0.5
    assert found["precision_available"][0] == "fp32"


def test_bf16_is_available_exactly_where_units_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "matrix_units", lambda: "AMX")
    assert environment()["precision_available"] == ["fp32", "bf16"]
    assert environment()["matrix_units"] == "AMX"
    monkeypatch.setattr(precision, "matrix_units", lambda: "none")
    assert environment()["precision_available"] == ["fp32"]


def test_processor_has_the_name_that_the_system_gives(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel name\t: Some Processor @ 2.00GHz\nflags\t\t: fpu\n\nprocessor\t: 1\n")
    assert processor(file) == "Some Processor @ 2.00GHz"
    assert processor(tmp_path / "nothing")


def test_memory_is_the_containers_where_that_is_less(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    whole = memory_bytes(limit)
    limit.write_text("1000000000\n")
    assert memory_bytes(limit) == 1_000_000_000
    limit.write_text("max\n")
    assert memory_bytes(limit) == whole


def test_package_that_is_not_installed_has_no_version() -> None:
    assert version("no-such-package-here") is None
