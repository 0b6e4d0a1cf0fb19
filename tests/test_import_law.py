"""The import law, read from the syntax trees: a module imports only from its own row or a lower one."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sartor
from sartor.part import SHELVES

ROOT = Path(sartor.__file__).parent

ROWS = (
    "cli __main__",
    "command",
    "verbs",
    "training measuring",
    "report server tasks backbones methods objectives compressors baselines",
    "position opening settings scoring wording worded",
    "bundle weigh saving compressed compressing peft_format effort",
    "engine",
    "pretrained classical",
    "task reading telling members asking drawing episodic backbone method objective compressor baseline recipe network"
    " body batch predictions wrapping",
    "data part errors spelling config run_folder disk candidates",
)
"""From the top down. `candidates` is data; `sartor` itself only names its public words."""

APART = {*SHELVES, "report", "server"}
"""Members of one row that never import each other."""

HOMES = {
    "accelerate": {"engine"},
    "peft": {"methods"},
    "fastapi": {"server"},
    "transformers": {"pretrained", "engine"},
    "click": {"command"},
}
"""Third-party weight stays where it is used."""

HEAVY = {
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "sklearn",
    "scipy",
    "pyarrow",
    "pandas",
    "datasets",
    "safetensors",
}
TORCH_AT_THE_TOP = {"engine", "pretrained", "batch", "body", "network", "saving", "peft_format", "position"}
"""Where work has begun; everywhere else heavy packages are imported inside functions."""


def modules() -> dict[str, str]:
    """`sartor.engine.fit` -> its source."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        words = ["sartor", *path.relative_to(ROOT).with_suffix("").parts]
        found[".".join(words[:-1] if words[-1] == "__init__" else words)] = path.read_text("utf-8")
    return found


def imported(source: str, names: set[str], top_only: bool = False) -> Iterator[tuple[int, str]]:
    """(line, module) of every import; `from sartor import x` is `sartor.x` where that is a module."""
    tree = ast.parse(source)
    for node in tree.body if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield node.lineno, whole if whole in names else str(node.module)


def row(member: str) -> int:
    """The row of `engine`, counted from the top."""
    found = [i for i, members in enumerate(ROWS) if member in members.split()]
    assert len(found) == 1, f"'{member}' has no place in the import law: give it a row in {__name__}"
    return found[0]


def breaches(module: str, source: str, names: set[str]) -> Iterator[str]:
    """Every import of `module` that the law forbids."""
    words = module.split(".")
    if len(words) == 1:
        return
    member = words[1]
    for line, other in imported(source, names):
        package, *rest = other.split(".")
        if package in HOMES and member not in HOMES[package]:
            yield f"{module}:{line}: {package} belongs to {', '.join(sorted(HOMES[package]))}"
        if package != "sartor" or not rest:
            continue
        if row(rest[0]) < row(member):
            yield f"{module}:{line}: {other} is in a higher row"
        if {member, rest[0]} <= APART and rest[0] in SHELVES and other != module:
            yield f"{module}:{line}: {other} is another part"
    if member not in TORCH_AT_THE_TOP:
        for line, other in imported(source, names, top_only=True):
            if other.split(".")[0] in HEAVY:
                yield f"{module}:{line}: {other} is imported before work begins"


def string_imports(module: str, source: str) -> Iterator[str]:
    """Where a string is turned into a module."""
    for node in ast.walk(ast.parse(source)):
        word = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        if word in {"import_module", "__import__"}:
            yield f"{module}:{node.lineno}"


def test_every_module_keeps_the_law() -> None:
    found = modules()
    assert [b for module, source in found.items() for b in breaches(module, source, set(found))] == []


def test_only_part_turns_a_string_into_a_part() -> None:
    found = [s.split(":")[0] for module, source in modules().items() for s in string_imports(module, source)]
    assert set(found) == {"sartor", "sartor.part"}


@pytest.mark.parametrize(
    ("module", "source", "reason"),
    [
        ("sartor.data.rows", "from sartor.engine.fit import fit", "higher row"),
        ("sartor.data.rows", "def f():\n    from sartor.verbs import check", "higher row"),
        ("sartor.errors", "if TYPE_CHECKING:\n    from sartor.task import Task", "higher row"),
        ("sartor.methods.lora", "from sartor.methods.full import Full", "another part"),
        ("sartor.tasks.regression", "from sartor.backbones import minilm", "another part"),
        ("sartor.verbs.position", "def f():\n    from accelerate import Accelerator", "belongs to engine"),
        ("sartor.engine.fit", "import peft.tuners", "belongs to methods"),
        ("sartor.tasks.regression", "import torch", "before work begins"),
        ("sartor.verbs.position", "from scipy.stats import norm", "before work begins"),
    ],
)
def test_a_breach_is_seen(module: str, source: str, reason: str) -> None:
    found = list(breaches(module, source, set(modules())))
    assert len(found) == 1
    assert reason in found[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("sartor.verbs.position", "from sartor.engine.fit import fit"),
        ("sartor.tasks.regression", "def f():\n    import torch"),
        ("sartor.method", "from sartor.recipe import Plan"),
        ("sartor.methods.lora", "def f():\n    from peft import LoraConfig"),
    ],
)
def test_what_the_law_allows_is_no_breach(module: str, source: str) -> None:
    assert list(breaches(module, source, set(modules()))) == []


def test_a_module_without_a_row_is_asked_for_one() -> None:
    with pytest.raises(AssertionError, match="'attic' has no place in the import law"):
        list(breaches("sartor.attic", "from sartor.errors import BadInput", set(modules())))


def test_a_string_import_is_seen() -> None:
    assert list(string_imports("m", "import importlib\nimportlib.import_module('x')")) == ["m:2"]


def fresh(code: str, *words: str) -> set[str]:
    """The heavy packages that `code` leaves loaded in a new interpreter."""
    end = f"\nimport sys; print('LOADED', *sorted({HEAVY!r} & set(sys.modules)))"
    run = [sys.executable, "-c", code + end, *words]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120, check=False)
    assert "LOADED" in done.stdout, done.stderr
    return set(done.stdout.rpartition("LOADED")[2].split())


def test_importing_sartor_loads_nothing_heavy() -> None:
    assert fresh("import sartor") == set()


def test_the_contracts_and_every_part_load_nothing_heavy() -> None:
    light = {"task", "backbone", "method", "objective", "compressor", "baseline", "recipe", "part", "errors"}
    light |= {"predictions", "data", "verbs", "command", "cli", "report", "opening", "settings", *SHELVES}
    wanted = [m for m in modules() if m != "sartor" and m.split(".")[1] in light]
    assert len(wanted) > 30
    assert fresh("\n".join(f"import {m}" for m in wanted)) == set()


COMMAND = "from sartor.cli import run\nimport sys\ncode = run(sys.argv[1:])\nassert code == {code}, code"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, ["--help"]),
        (0, ["position", "--help"]),
        (0, ["show", "methods"]),
        (2, ["posiiton"]),
        (2, ["position", "no-such-file.csv", "--target", "label"]),
        (2, ["finetune", "example:docstrings", "--method", "lroa"]),
        (2, ["finetune", "example:docstrings", "--method", "lora:rank=4"]),
    ],
    ids=lambda value: value if isinstance(value, int) else " ".join(value),
)
def test_help_and_usage_errors_load_nothing_heavy(code: int, words: list[str]) -> None:
    assert fresh(COMMAND.format(code=code), *words) == set()


def test_python_m_sartor_help_works() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sartor", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    assert "position" in done.stdout
