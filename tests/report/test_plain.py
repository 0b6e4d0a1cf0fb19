from __future__ import annotations

import pytest

from sartor.report.plain import alike, shown


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\nb\tc", "a␊b␉c"),
        ("\x1b[2J\x7f", "␛[2J␡"),
        ("\u202eabc\u2066", "⟨U+202E⟩abc⟨U+2066⟩"),
        ("a\u200bb\ufeff\u00ad", "a⟨U+200B⟩b⟨U+FEFF⟩⟨U+00AD⟩"),
        ("\u2028\ud800", "⟨U+2028⟩⟨U+D800⟩"),
        ("a\u00a0b", "a b"),
        ("naïve 日本語 עברית", "naïve 日本語 עברית"),
        (None, ""),
        (3.5, "3.5"),
    ],
)
def test_invisible_characters_become_marks(text: object, seen: str) -> None:
    assert shown(text) == seen


def test_long_text_is_cut_with_the_number_left_out() -> None:
    assert shown("y" * 1_200) == "y" * 200 + "… (+1,000)"
    assert shown("y" * 200) == "y" * 200


def test_labels_that_look_alike_are_found() -> None:
    assert alike(["paypal", "p\u0430ypal", "other"]) == [("paypal", "p\u0430ypal")]
    assert alike(["Yes", "yes ", "no"]) == [("Yes", "yes ")]
    assert alike(["yes", "yes\u200b"]) == [("yes", "yes\u200b")]
    assert alike(["yes", "no", "no"]) == []
