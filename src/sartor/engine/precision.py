"""Precision: bf16 where the machine has units for it, fp32 otherwise.

Emulated bf16 is slower than fp32 (about 3x for a matmul on an AVX-512 processor without AVX512_BF16), so `auto` takes
bf16 only where the processor or the GPU multiplies it natively.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

if TYPE_CHECKING:
    from sartor.engine.operators import Operators

Asked = Literal["auto", "fp32", "bf16"]

CPUINFO = Path("/proc/cpuinfo")
UNITS = {"amx_bf16": "AMX", "avx512_bf16": "AVX512_BF16", "bf16": "ARM_BF16"}
"""The processor's flag -> what it is called here, the fastest first."""


def resolve(asked: Asked) -> str:
    """`fp32` or `bf16`: what was asked for, or what this machine multiplies natively."""
    if asked != "auto":
        return asked
    return "fp32" if matrix_units() == "none" else "bf16"


def note(asked: Asked) -> str | None:
    """What a person should know about a precision they asked for, or None."""
    if asked == "bf16" and matrix_units() == "none":
        return "this machine has no bf16 units: bf16 is emulated and slower than fp32; precision=auto takes fp32 here"
    return None


def matrix_units() -> str:
    """What multiplies bf16 here: `cuda`, `AMX`, `AVX512_BF16`, `ARM_BF16`, or `none`. A GPU in use decides alone."""
    if torch.cuda.is_available():
        return "cuda" if torch.cuda.is_bf16_supported(including_emulation=False) else "none"
    flags = processor_flags(CPUINFO)
    return next((name for flag, name in UNITS.items() if flag in flags), "none")


def processor_flags(cpuinfo: Path) -> frozenset[str]:
    """The flags of the first processor in a Linux `cpuinfo`; empty where there is no such file."""
    return frozenset((cpuinfo_value(cpuinfo, "flags") or cpuinfo_value(cpuinfo, "Features") or "").split())


def cpuinfo_value(cpuinfo: Path, key: str) -> str | None:
    """The first value of `key` in a Linux `cpuinfo`, or None."""
    try:
        lines = cpuinfo.read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in pairs if name.strip() == key), None)


def place() -> str:
    """The device that work runs on: a GPU where torch sees one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


Mode = Callable[[], AbstractContextManager[Any]]
"""Makes what a pass runs in."""


def running(operators: Operators, precision: str, sharded: bool = False) -> Mode:
    """What passes run in: the loop's own operators where a processor has all weights, torch's autocast elsewhere."""
    if place() == "cpu" and not sharded:
        return lambda: operators
    if precision != "bf16":
        return nullcontext
    return lambda: torch.autocast(place(), dtype=torch.bfloat16)
