"""Tags and spans, against the rules of conlleval written down a second time, and against seqeval where it is there."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sartor.data.tags import Span, counted, iob2, malformed, misplaced, scheme_of, spans

TAGS = st.lists(
    st.sampled_from(["O", *(f"{letter}-{kind}" for letter in "BIES" for kind in ("PER", "creative-work"))]), max_size=9
)


def conlleval(tags: Sequence[str]) -> list[Span]:
    """The script's own two tables of what ends and what begins a chunk (Tjong Kim Sang, CoNLL-2000), line by line."""
    ends = {("B", "B"), ("B", "O"), ("I", "B"), ("I", "O"), ("E", "E"), ("E", "I"), ("E", "O"), ("E", "B"), ("E", "S")}
    ends |= {("B", "S"), ("I", "S"), ("S", "B"), ("S", "I"), ("S", "E"), ("S", "O"), ("S", "S")}
    begins = {("B", "B"), ("I", "B"), ("O", "B"), ("O", "I"), ("E", "E"), ("E", "I"), ("E", "B"), ("O", "E")}
    begins |= {("S", letter) for letter in "BIES"} | {(letter, "S") for letter in "BIEO"}
    found, start, last, kind = [], 0, "O", ""
    for i, tag in enumerate([*tags, "O"]):
        letter, _, name = tag.partition("-")
        if last != "O" and ((last, letter) in ends or kind != name):
            found.append((start, i, kind))
        if letter != "O" and ((last, letter) in begins or kind != name):
            start = i
        last, kind = letter, name
    return found


@settings(max_examples=500, deadline=None)
@given(TAGS)
def test_spans_are_those_of_conlleval(tags: list[str]) -> None:
    assert spans(tags) == conlleval(tags)


@settings(max_examples=200, deadline=None)
@given(TAGS)
def test_spans_are_those_of_seqeval(tags: list[str]) -> None:
    seqeval = pytest.importorskip("seqeval.metrics.sequence_labeling")
    assert spans(tags) == [(start, last + 1, kind) for kind, start, last in seqeval.get_entities(tags)]


@settings(max_examples=200, deadline=None)
@given(TAGS)
def test_iob2_says_the_same_spans_and_fits_itself(tags: list[str]) -> None:
    written = iob2(spans(tags), len(tags))
    assert spans(written) == spans(tags)
    assert not list(misplaced(written, "IOB2"))


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("I-A I-A O I-A B-A", [(0, 2, "A"), (3, 4, "A"), (4, 5, "A")]),  # IOB1
        ("B-A M-A E-A S-A", [(0, 3, "A"), (3, 4, "A")]),  # BMES
        ("B-A L-A U-B", [(0, 2, "A"), (2, 3, "B")]),  # BILOU
        ("B_A I_A", [(0, 2, "A")]),
        ("PER PER O LOC", [(0, 2, "PER"), (3, 4, "LOC")]),  # IO
        ("I-A I-B", [(0, 1, "A"), (1, 2, "B")]),
    ],
)
def test_every_scheme_is_read(tags: str, found: list[Span]) -> None:
    assert spans(tags.split()) == found


@pytest.mark.parametrize(
    ("rows", "scheme"),
    [
        (["B-A I-A O", "O B-B"], "IOB2"),
        (["I-A I-A O", "I-B B-B"], "IOB1"),
        (["O O"], "IOB2"),
        (["B-A B-A"], "IOB2"),
        (["B-A E-A", "S-A"], "IOBES"),
        (["B-A M-A E-A"], "IOBES"),
        (["U-A", "B-A L-A"], "IOBES"),
        (["PER O", "LOC LOC"], "IO"),
        (["B-A I-A", "B-B", "O I-A"], "IOB2"),  # one slip does not make another scheme
    ],
)
def test_the_scheme_is_recognised(rows: list[str], scheme: str) -> None:
    assert scheme_of([row.split() for row in rows]) == scheme


@pytest.mark.parametrize(
    ("tags", "scheme", "places"),
    [
        ("O I-A", "IOB2", [1]),
        ("B-A I-B", "IOB2", [1]),
        ("B-A I-A O B-A", "IOB2", []),
        ("O B-A", "IOB1", [1]),
        ("I-A B-A I-A", "IOB1", []),
        ("B-A O", "IOBES", [1]),
        ("B-A", "IOBES", [0]),
        ("S-A E-A", "IOBES", [1]),
        ("B-A I-A E-A S-A", "IOBES", []),
        ("PER LOC", "IO", []),
    ],
)
def test_tags_at_a_place_where_their_scheme_has_none(tags: str, scheme: str, places: list[int]) -> None:
    assert list(misplaced(tags.split(), scheme)) == places  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tag", "scheme"),
    [("PER", "IOB2"), ("B", "IOB2"), ("B-", "IOB2"), ("X-PER", "IOBES"), ("E-PER", "IOB2"), ("", "IO"), ("o", "IOB2")],
)
def test_what_is_no_tag(tag: str, scheme: str) -> None:
    assert malformed(tag, scheme)  # type: ignore[arg-type]


def test_spans_are_counted_by_type() -> None:
    assert counted([["B-A", "I-A", "B-B"], None, [], ["B-A"]]) == {"A": 2, "B": 1}
