"""`example:docstrings`: real texts that every installation has, the docstrings of its packages, labelled by package."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("torch", "transformers", "sklearn", "scipy", "numpy", "sympy", "networkx")
MOST = 600
"""Texts per class."""
LARGEST = 80_000
"""Bytes: longer files take long to parse and are mostly one topic."""
NAMES = re.compile(
    r"(?i)(?<![a-z])(?:torch\w*|pytorch|aten|cuda\w*|transformers?|hugging\s?face|hf|sk-?learn|scikit[\s-]?learn|scikit|scipy"
    r"|num-?py|np|ndarrays?|sympy|networkx|nx|py-?arrow|arrow|pa|tf|tensorflow|jax|pandas|pd)(?![a-z])"
)
MASK = "_"
MARKUP = re.compile(r":[a-z:]+:`[~.]?([^`<]*)[^`]*`|`{1,2}([^`]*)`{1,2}|>>>.*|https?://\S+|[*#|]{2,}")


def docstrings() -> tuple[list[str], list[str]]:
    """(texts, labels): first paragraphs of docstrings and the package of each, the packages' own names masked out.

    Files are parsed, never imported. The order is that of the texts' hashes: the same wherever the versions are.
    """
    found: dict[str, str] = {}
    for package in PACKAGES:
        for text in _texts(package):
            found[text] = "" if found.get(text, package) != package else package
    rows = sorted((hashlib.sha256(t.encode()).hexdigest(), t, label) for t, label in found.items() if label)
    return [text for _, text, _ in rows], [label for _, _, label in rows]


def _texts(package: str) -> list[str]:
    texts: dict[str, None] = {}
    for path in _files(package):
        texts.update(dict.fromkeys(_paragraphs(path)))
        if len(texts) >= MOST:
            break
    return list(texts)[:MOST]


def _files(package: str) -> list[Path]:
    """The package's source files without its tests, in the order of their paths' hashes: every corner is drawn from."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return []
    root = Path(spec.origin).parent
    paths = [p for p in root.rglob("*.py") if not any("test" in part for part in p.relative_to(root).parts)]
    return sorted(paths, key=lambda p: hashlib.sha256(p.relative_to(root).as_posix().encode()).hexdigest())


def _paragraphs(path: Path) -> Iterator[str]:
    content = path.read_bytes()
    if not 500 < len(content) < LARGEST or content.count(b'"""') < 4:
        return
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return
    waiting: list[ast.stmt] = list(tree.body)
    for node in waiting:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            text = _clean(ast.get_docstring(node) or "", node.name)
            if 5 <= len(text.split()) <= 80:
                yield text
        if isinstance(node, ast.ClassDef):  # no deeper: to walk every node takes as long as to parse
            waiting.extend(node.body)


def _clean(docstring: str, name: str) -> str:
    """The first paragraph as plain words, without markup and without names that give the package away."""
    paragraph = docstring.strip().split("\n\n", 1)[0]
    plain = MARKUP.sub(lambda m: m.group(1) or m.group(2) or " ", paragraph)
    return " ".join(NAMES.sub(MASK, plain.replace(name, MASK) if len(name) > 3 else plain).split())
