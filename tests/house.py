"""The sizes and words of the house: `python tests/house.py` prints them and exits with 1 where the law is broken."""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "sartor"
LONGEST_FILE = 400
LONG_FUNCTION = 40
MOST_METHODS = 10
MOST_ANSWERS = 16
"""Of a part: what its contract asks, nearly all with a default. Nobody calls them together; each has one caller."""
MEDIAN = 12
WORDS = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
PICKLES = {"pickle", "cPickle", "dill", "joblib", "marshal", "shelve", "cloudpickle"}
UNSAFE = {"torch.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "numpy.load", "np.load", "os.system"}


@dataclass(frozen=True)
class Function:
    place: str
    lines: int


def files() -> dict[str, str]:
    """Path below `src/sartor` -> source."""
    return {str(p.relative_to(SOURCE)): p.read_text("utf-8") for p in sorted(SOURCE.rglob("*.py"))}


def functions(sources: Mapping[str, str]) -> list[Function]:
    """Every function, its lines counted without its docstring."""
    return [
        Function(f"{path}:{node.lineno} {node.name}", node.end_lineno - node.lineno + 1 - _docstring(node))
        for path, source in sources.items()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def breaches(sources: Mapping[str, str]) -> Iterator[str]:
    """What the house does not allow, one sentence each."""
    for path, source in sources.items():
        lines = source.count("\n")
        if lines > LONGEST_FILE:
            yield f"{path}: {lines} lines; at most {LONGEST_FILE}"
        for word in sorted(WORDS & set(path.removesuffix(".py").replace("/", "_").split("_"))):
            yield f"{path}: '{word}' says nothing; name what it is"
        for node in ast.walk(ast.parse(source)):
            yield from (f"{path}:{getattr(node, 'lineno', 0)}: {what}" for what in _unfit(node))
    median = statistics.median(f.lines for f in functions(sources)) if functions(sources) else 0
    if median > MEDIAN:
        yield f"the median function has {median:g} lines; at most {MEDIAN}"


def _is_part(node: ast.ClassDef) -> bool:
    """A contract, or a part on its shelf."""
    above = {base.id for base in node.bases if isinstance(base, ast.Name)}
    return node.name == "Body" or bool(above & {"Part", "Task", "Method", "Body"})


def _unfit(node: ast.AST) -> Iterator[str]:
    """What is wrong with this node alone."""
    if isinstance(node, ast.ClassDef):
        public = [n for n in node.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]
        most = MOST_ANSWERS if _is_part(node) else MOST_METHODS
        if len(public) > most:
            yield f"{node.name} has {len(public)} public methods; at most {most}"
    if isinstance(node, ast.Import | ast.ImportFrom):
        roots = {alias.name for alias in node.names} if isinstance(node, ast.Import) else {node.module or ""}
        yield from (f"{root} is imported; nothing here is a pickle" for root in sorted(roots & PICKLES))
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        if called in {"eval", "exec"} or called in UNSAFE:
            yield f"{called} is called; it can run what it reads"


def _docstring(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the docstring."""
    if ast.get_docstring(node) is None:
        return 0
    first = node.body[0]
    return (first.end_lineno or first.lineno) - first.lineno + 1


def report(sources: Mapping[str, str]) -> Iterator[str]:
    """The sizes, for people."""
    sizes = sorted(functions(sources), key=lambda f: -f.lines)
    lines = {path: source.count("\n") for path, source in sources.items()}
    longest = max(lines, key=lambda path: lines[path])
    yield f"{len(lines)} files, {sum(lines.values())} lines; the longest is {longest} ({lines[longest]})"
    yield f"{len(sizes)} functions; median {statistics.median(f.lines for f in sizes):g} lines"
    yield from (f"over {LONG_FUNCTION} lines: {f.place} ({f.lines})" for f in sizes if f.lines > LONG_FUNCTION)


def main() -> int:
    sources = files()
    found = list(breaches(sources))
    print(*report(sources), *found, sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
