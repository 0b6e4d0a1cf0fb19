"""The example that every installation has."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter

import pytest

from sartor.data.checks import check
from sartor.data.example import NAMES, docstrings
from sartor.data.read import read
from sartor.data.rows import Rows


@pytest.fixture(scope="module")
def rows() -> Rows:
    return read("example:docstrings")


def test_at_least_five_balanced_classes_and_3000_rows(rows: Rows) -> None:
    counts = Counter(rows.column("label"))
    assert len(rows) >= 3000
    assert len(counts) >= 5
    assert max(counts.values()) <= 1.3 * min(counts.values())
    assert (rows.schema.target, rows.schema.inputs) == ("label", ("text",))


def test_the_texts_are_clean_and_name_no_package(rows: Rows) -> None:
    texts = rows.column("text")
    assert len(set(texts)) == len(texts)
    assert not [p for p in check(rows) if p.severity == "error"]
    assert not [t for t in texts if NAMES.search(t) or "\n" in t or not 5 <= len(t.split()) <= 80]


def test_the_same_every_time_and_never_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sartor.data.example.PACKAGES", ("networkx", "numpy"))
    ask = (
        "import hashlib, sys; from sartor.data import example; example.PACKAGES = ('networkx', 'numpy'); "
        "print(hashlib.sha256(repr(example.docstrings()).encode()).hexdigest(), 'networkx' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout.split()
    assert said == [hashlib.sha256(repr(docstrings()).encode()).hexdigest(), "False"]


def test_words_alone_do_not_solve_it(rows: Rows) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.naive_bayes import ComplementNB

    texts, labels, cut = list(rows.column("text")), list(rows.column("label")), len(rows) * 4 // 5
    words = TfidfVectorizer(sublinear_tf=True).fit(texts[:cut])
    model = ComplementNB().fit(words.transform(texts[:cut]), labels[:cut])
    assert 0.6 < model.score(words.transform(texts[cut:]), labels[cut:]) < 0.9


def test_packages_that_are_not_there_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sartor.data.example.PACKAGES", ("no_such_package", "networkx"))
    assert set(docstrings()[1]) == {"networkx"}
