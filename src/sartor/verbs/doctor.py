"""doctor: what this machine and this installation can do, and whether a small run goes through from end to end."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sartor.errors import SartorError

if TYPE_CHECKING:
    from sartor.data.rows import Rows
    from sartor.recipe import Recipe

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
    """Four steps of full fine-tuning, saved as a bundle, loaded again, asked for an answer."""
    from sartor.bundle import Bundle, save_network
    from sartor.data.hints import Hints
    from sartor.data.read import read
    from sartor.engine.train import prepare, train

    began = time.monotonic()
    rows = read(_rows(), Hints(target="label", text=("text",)))
    train_part, held = rows.take(range(40)), rows.take(range(40, 60))
    recipe = _recipe(train_part)
    body = recipe.backbone.build(recipe.task.layout)
    run = prepare(recipe, recipe.task.encode(train_part, body))
    for _ in train(run, recipe.task.encode(train_part, body), recipe.task.encode(held, body), held):
        pass
    with tempfile.TemporaryDirectory(prefix="sartor-doctor-") as folder:
        place = save_network(Path(folder) / "bundle", run.net, recipe, rows.schema, {}, "")
        answer = Bundle.load(place).predict(["the soup was warm and good"])[0]["prediction"]
    return f"trained, saved, loaded and answered '{answer}' in {time.monotonic() - began:.1f} s"


def _recipe(rows: Rows) -> Recipe:
    from sartor.part import part
    from sartor.recipe import Recipe, plan_from

    shelves = {"task": "tasks", "backbone": "backbones", "method": "methods", "objective": "objectives"}
    named = {"task": "classification", "backbone": "minilm", "method": "full", "objective": "supervised"}
    made: dict[str, Any] = {role: part(shelves[role], name) for role, name in named.items()}
    plan = plan_from({"max_steps": 4, "eval_steps": 4, "per_device_train_batch_size": 8})
    return Recipe(**made | {"task": made["task"].learn(rows)}, plan=plan).settled()


def _rows() -> list[dict[str, str]]:
    """60 rows in two classes that a word decides."""
    dishes = ("soup", "bread", "rice", "cake", "tea", "fish", "stew", "pie", "salad", "curry")
    places = ("in town", "at home", "by the sea")
    words = {"good": "warm and good", "bad": "cold and bad"}
    return [
        {"text": f"the {dish} {place} was {said}", "label": label}
        for dish in dishes
        for place in places
        for label, said in words.items()
    ]
