"""Environment: what a measurement was made on. Numbers without it cannot be compared."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "transformers", "peft", "accelerate", "sartor")
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def environment() -> dict[str, Any]:
    """The machine and the versions as plain JSON values. `memory_gb`: 1e9 bytes; `cores`: what this process may use;
    `processes`: those that train together."""
    import torch

    from sartor.engine import launch
    from sartor.engine.precision import CPUINFO, matrix_units

    units = matrix_units()
    return {
        "processor": processor(CPUINFO),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "processes": launch.world(),
        "memory_gb": round(memory_bytes(CGROUP_LIMIT) / 1e9, 1),
        "device": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu",
        "matrix_units": units,
        "precision_available": ["fp32"] if units == "none" else ["fp32", "bf16"],
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def processor(cpuinfo: Path) -> str:
    """The processor's name as the system gives it."""
    from sartor.engine.precision import cpuinfo_value

    return cpuinfo_value(cpuinfo, "model name") or platform.processor() or platform.machine() or "unknown"


def cores() -> int:
    """The logical processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes(limit: Path) -> int:
    """The machine's memory, or the container's `limit` (a cgroup v2 file) where that is less."""
    import psutil

    total = int(psutil.virtual_memory().total)
    try:
        said = limit.read_text("ascii").strip()
    except OSError:
        return total
    return min(total, int(said)) if said.isdigit() else total


def version(package: str) -> str | None:
    """The installed version, or None where the package is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
