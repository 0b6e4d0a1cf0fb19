from __future__ import annotations

import json
import subprocess
import sys

import numpy as np

from sartor.errors import BadInput
from sartor.report.json_report import dumps, envelope, failure


def test_success_has_the_promised_shape() -> None:
    assert envelope("position", {"seconds": 1.5}) == {
        "ok": True,
        "schema": "sartor.position/1",
        "result": {"seconds": 1.5},
    }


def test_failure_holds_the_error_s_parts() -> None:
    error = BadInput("DATA_EMPTY", "there are no rows", fix="give at least ten", where="a.csv")
    assert failure(error) == {
        "ok": False,
        "error": {"code": "DATA_EMPTY", "message": "there are no rows", "fix": "give at least ten", "where": "a.csv"},
    }


def test_what_json_does_not_know_becomes_what_it_knows() -> None:
    value = {"a": float("nan"), "b": (np.float32(0.5), np.int64(3), -np.inf), "c": np.arange(2), 4: {"z"}, "d": True}
    assert json.loads(dumps(value)) == {"a": None, "b": [0.5, 3, None], "c": [0, 1], "4": ["z"], "d": True}


def test_output_is_one_ascii_line() -> None:
    text = dumps({"label": "é\n\x1b[2J\u202e"})
    assert text.isascii()
    assert "\n" not in text
    assert "\x1b" not in text


def test_rendering_imports_no_torch() -> None:
    code = (
        "import sys, sartor.report.json_report, sartor.report.terminal, sartor.report.card, sartor.report.notebook\n"
        "sartor.report.notebook.html_fragment({}); sartor.report.card.card({}); sartor.report.terminal.table({})\n"
        "sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
