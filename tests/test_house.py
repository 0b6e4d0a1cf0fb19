from __future__ import annotations

import pytest

from house import breaches, files, functions


def test_the_house_is_in_order() -> None:
    assert list(breaches(files())) == []


@pytest.mark.parametrize(
    ("path", "source", "said"),
    [
        ("a.py", "x = 1\n" * 401, "a.py: 401 lines; at most 400"),
        ("data/csv_utils.py", "", "data/csv_utils.py: 'utils' says nothing; name what it is"),
        ("common/a.py", "", "common/a.py: 'common' says nothing; name what it is"),
        ("a.py", "import pickle", "a.py:1: pickle is imported; nothing here is a pickle"),
        ("a.py", "from joblib import dump", "a.py:1: joblib is imported; nothing here is a pickle"),
        ("a.py", "x = torch.load(p)", "a.py:1: torch.load is called; it can run what it reads"),
        ("a.py", "x = yaml.load(p)", "a.py:1: yaml.load is called; it can run what it reads"),
        ("a.py", "eval(p)", "a.py:1: eval is called; it can run what it reads"),
        (
            "a.py",
            "class A:\n" + "".join(f"    def f{i}(self): ...\n" for i in range(11)),
            "a.py:1: A has 11 public methods; at most 10",
        ),
        ("a.py", "def f():\n" + "    x = 1\n" * 12, "the median function has 13 lines; at most 12"),
    ],
)
def test_a_breach_is_named(path: str, source: str, said: str) -> None:
    assert list(breaches({path: source})) == [said]


@pytest.mark.parametrize(
    "source", ["net.eval()", "x = yaml.safe_load(p)", "import json", "class A:\n    def _f(self): ..."]
)
def test_what_is_allowed_is_no_breach(source: str) -> None:
    assert list(breaches({"baseline.py": source})) == []


def test_a_docstring_does_not_make_a_function_longer() -> None:
    bare, told = "def f():\n    return 1\n", 'def f():\n    """One.\n\n    Two.\n    """\n    return 1\n'
    assert [f.lines for f in functions({"a.py": bare, "b.py": told})] == [2, 2]
