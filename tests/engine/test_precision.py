"""Which precision is native here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sartor.engine import precision
from sartor.engine.operators import Operators


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without a GPU whose `cpuinfo` the test writes."""
    file = tmp_path / "cpuinfo"
    monkeypatch.setattr(precision, "CPUINFO", file)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return file


@pytest.mark.parametrize(
    ("cpuinfo", "units", "auto"),
    [
        ("flags\t\t: fpu avx512f avx512_vnni\n", "none", "fp32"),
        ("flags\t\t: fpu avx512f avx512_bf16\n", "AVX512_BF16", "bf16"),
        ("flags\t\t: fpu avx512_bf16 amx_bf16 amx_tile\n", "AMX", "bf16"),
        ("Features\t: fp asimd bf16\n", "ARM_BF16", "bf16"),
        ("flags\t\t: fpu not_avx512_bf16\n", "none", "fp32"),
        ("", "none", "fp32"),
    ],
)
def test_auto_takes_bf16_only_where_it_is_native(machine: Path, cpuinfo: str, units: str, auto: str) -> None:
    machine.write_text(cpuinfo)
    assert precision.matrix_units() == units
    assert precision.resolve("auto") == auto


def test_machine_without_cpuinfo_has_no_known_units(machine: Path) -> None:
    assert precision.resolve("auto") == "fp32"


@pytest.mark.parametrize(("native", "units"), [(True, "cuda"), (False, "none")])
def test_gpu_in_use_decides(machine: Path, monkeypatch: pytest.MonkeyPatch, native: bool, units: str) -> None:
    machine.write_text("flags\t\t: amx_bf16\n")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    assert precision.matrix_units() == units


def test_what_was_asked_for_is_given_with_a_note_where_it_is_emulated(machine: Path) -> None:
    assert precision.resolve("bf16") == "bf16"
    assert precision.resolve("fp32") == "fp32"
    assert precision.note("bf16") == (
        "this machine has no bf16 units: bf16 is emulated and slower than fp32; precision=auto takes fp32 here"
    )
    assert precision.note("auto") is None
    machine.write_text("flags\t\t: amx_bf16\n")
    assert precision.note("bf16") is None


@pytest.mark.parametrize("asked", ["bf16", "fp32"])
def test_products_run_in_the_precision(asked: str) -> None:
    layer = torch.nn.Linear(4, 4)
    with precision.running(Operators(layer, asked), asked)():
        assert layer(torch.ones(2, 4)).dtype == {"bf16": torch.bfloat16, "fp32": torch.float32}[asked]
