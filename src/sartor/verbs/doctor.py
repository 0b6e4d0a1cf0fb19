"""doctor: what this machine and this installation can do, and whether a small run goes through from end to end."""

from __future__ import annotations

import csv
import importlib.util
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sartor.errors import SartorError

EXTRAS = {"datasets": "datasets", "pandas": "dev"}
LEAST_DISK_GB, LEAST_MEMORY_GB = 2.0, 2.0


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `ok` None: good to know, nothing is wrong either way."""

    name: str
    ok: bool | None
    found: str
    fix: str = ""


@dataclass(frozen=True)
class DoctorResult:
    """Everything looked at, and the machine in plain values."""

    findings: tuple[Finding, ...]
    environment: dict[str, Any]
    seconds: float

    @property
    def ok(self) -> bool:
        return all(f.ok is not False for f in self.findings)

    @property
    def text(self) -> str:
        width = max(len(f.name) for f in self.findings)
        lines = [f"{_mark(f.ok):<4} {f.name:<{width}}  {f.found}" + _fix(f) for f in self.findings]
        return "\n".join([*lines, "", "All is well." if self.ok else "Something is wrong; see above."])

    def to_json(self) -> dict[str, Any]:
        findings = [{"name": f.name, "ok": f.ok, "found": f.found, "fix": f.fix} for f in self.findings]
        return {"ok": self.ok, "findings": findings, "environment": self.environment, "seconds": self.seconds}


def doctor(*, self_test: bool = True) -> DoctorResult:
    """Look everything over; with `self_test` also train, save, load and predict in a temporary folder."""
    from sartor.engine.environment import environment

    started = time.monotonic()
    machine = environment()
    findings = [*_versions(machine), *_machine(machine), _disk(Path.cwd()), _looked("encoder", _encoder), *_extras()]
    if self_test:
        findings.append(_looked("self-test", _train_save_load_predict))
    return DoctorResult(tuple(findings), machine, round(time.monotonic() - started, 1))


def _mark(ok: bool | None) -> str:
    return {True: "ok", False: "BAD", None: "-"}[ok]


def _fix(finding: Finding) -> str:
    return f"  Fix: {finding.fix}." if finding.fix else ""


def _versions(machine: dict[str, Any]) -> list[Finding]:
    python = Finding("python", sys.version_info >= (3, 11), str(machine["python"]))
    named = ("sartor", "torch", "transformers", "peft", "accelerate")
    return [python, *(Finding(n, machine[n] is not None, str(machine[n] or "not installed")) for n in named)]


def _machine(machine: dict[str, Any]) -> list[Finding]:
    units = machine["matrix_units"]
    precision = "fp32 only: no bf16 units here" if units == "none" else f"bf16 by {units}, and fp32"
    memory = float(machine["memory_gb"])
    return [
        Finding("processor", None, str(machine["processor"])),
        Finding("device", None, str(machine["device"])),
        Finding("precision", None, precision),
        Finding("threads", None, f"{machine['threads']} of {machine['cores']} cores"),
        Finding("memory", memory >= LEAST_MEMORY_GB, f"{memory:.1f} GB"),
    ]


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free / 1e9
    enough = free >= LEAST_DISK_GB
    return Finding("disk", enough, f"{free:.1f} GB free here", "" if enough else f"free {LEAST_DISK_GB:g} GB")


def _extras() -> list[Finding]:
    there = {package: importlib.util.find_spec(package) is not None for package in EXTRAS}
    found = {
        p: "installed" if here else f'not installed; pip install "sartor[{EXTRAS[p]}]"' for p, here in there.items()
    }
    return [Finding(f"extra {package}", None, text) for package, text in found.items()]


def _looked(name: str, look: Callable[[], str]) -> Finding:
    """What `look` says, or the error it raised as a finding: one broken thing must not hide the others."""
    try:
        return Finding(name, True, look())
    except SartorError as error:
        return Finding(name, False, error.message, error.fix)
    except Exception as error:
        return Finding(
            name, False, f"{type(error).__name__}: {error}", "reinstall sartor, and report it if that does not help"
        )


def _encoder() -> str:
    from sartor.backbones.minilm import PACKAGE, packaged_folder

    packaged_folder()
    return f"{PACKAGE}: found, sha256 as published"


def _train_save_load_predict() -> str:
    from sartor.bundle import Bundle
    from sartor.data.hints import Hints
    from sartor.verbs.finetune import finetune

    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sartor-doctor-") as folder:
        data, out = Path(folder) / "rows.csv", Path(folder) / "run"
        _write_rows(data)
        plan = {"max_steps": 4, "per_device_train_batch_size": 8, "max_length": 16}
        done = finetune(data, hints=Hints(target="label", text=("text",)), task="classification", plan=plan, out=out)
        answers = Bundle.load(done.bundle).predict(["the soup was warm and good"])
    seconds = time.monotonic() - started
    return f"trained, saved, loaded and answered '{answers[0]['prediction']}' in {seconds:.1f} s"


def _write_rows(path: Path) -> None:
    """60 rows in two classes that a word decides."""
    dishes = ("soup", "bread", "rice", "cake", "tea", "fish", "stew", "pie", "salad", "curry")
    places = ("in town", "at home", "by the sea")
    words = {"good": "warm and good", "bad": "cold and bad"}
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("text", "label"))
        rows.writerows(
            (f"the {d} {p} was {said}", label) for d in dishes for p in places for label, said in words.items()
        )
