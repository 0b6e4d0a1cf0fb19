"""Whatever the standard library writes is read back as it was."""

from __future__ import annotations

import csv
import io
import json
import string
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sartor.data.hints import Hints
from sartor.data.read import read

TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=30)
ROWS = st.lists(st.tuples(TEXT, st.text(string.ascii_letters, min_size=1, max_size=3)), min_size=1, max_size=12)
HINTS = Hints(target="label", kinds={"text": "text"})
MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@MANY
@given(ROWS, st.sampled_from([("csv", ","), ("tsv", "\t")]), st.sampled_from(["\n", "\r\n"]))
def test_delimited(tmp_path: Path, cells: list[tuple[str, str]], form: tuple[str, str], ending: str) -> None:
    written = io.StringIO(newline="")
    # a lone carriage return is quoted by the writer only where the line ending has one (Python 3.11), or where all is
    quoting = csv.QUOTE_ALL if ending == "\n" else csv.QUOTE_MINIMAL
    writer = csv.writer(written, delimiter=form[1], lineterminator=ending, quoting=quoting)
    writer.writerows([("text", "label"), *cells])
    path = tmp_path / f"d.{form[0]}"
    path.write_bytes(written.getvalue().encode())
    expected = list(csv.reader(io.StringIO(written.getvalue(), newline=""), delimiter=form[1]))[1:]
    rows = read(path, HINTS)
    assert list(zip(rows.column("text"), rows.column("label"), strict=True)) == [tuple(r) for r in expected]
    content = written.getvalue().split("\n")
    for text, line in zip(rows.column("text"), rows.lines, strict=True):
        assert content[line - 1].lstrip('"').startswith(text.split("\n")[0].split('"')[0].rstrip("\r"))


@MANY
@given(ROWS, st.booleans())
def test_json_lines(tmp_path: Path, cells: list[tuple[str, str]], ascii_only: bool) -> None:
    path = tmp_path / "d.jsonl"
    lines = [json.dumps({"text": t, "label": c}, ensure_ascii=ascii_only) for t, c in cells]
    path.write_text("\n".join(lines), encoding="utf-8")
    rows = read(path, HINTS)
    assert list(zip(rows.column("text"), rows.column("label"), strict=True)) == cells
    assert rows.lines.tolist() == list(range(1, len(cells) + 1))


@MANY
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.none(), min_size=2, max_size=20))
def test_numbers(tmp_path: Path, numbers: list[float | None]) -> None:
    path = tmp_path / "n.csv"
    path.write_text("text,y\n" + "".join(f"a b,{'' if n is None else repr(n)}\n" for n in numbers))
    rows = read(path, Hints(target="y", kinds={"y": "number", "text": "text"}))
    assert rows.targets() == numbers
