from __future__ import annotations

import pytest
import report_samples as samples

from sartor.report.terminal import comparison, lines_for_check, scores, table


@pytest.mark.parametrize("name", list(samples.ALL))
def test_lines_fit_and_carry_no_control_characters(name: str) -> None:
    text = table(samples.ALL[name]())
    assert max(len(line) for line in text.splitlines()) <= 100 or name == "hostile"
    assert all(c == "\n" or c.isprintable() for c in text)


def test_candidates_are_listed_best_first_with_marks_and_words() -> None:
    lines = table(samples.position()).splitlines()
    assert " ".join(lines[1].split()) == "★ minilm + lora:r=16 @0.0005 93.1% [91.6, 94.4] 3.98 90.2 131 pick, frontier"
    assert lines[2].endswith("tied")
    assert [line for line in lines if line.startswith("●") and "probe" in line and line.endswith("frontier")]
    assert "over limit: encoder:path=models/e5-large + lora:r=16 @0.0005: p50 was 58.3 ms" in "\n".join(lines)


def test_the_verdict_and_its_test_score_follow() -> None:
    text = table(samples.position())
    assert "Pick: minilm + lora:r=16 @0.0005\nIt is the cheapest of three candidates" in text
    assert "Test: Accuracy 92.6%, 95% interval [91.0, 93.9], 1,200 rows that no choice was made on" in text
    assert "Bundle: runs/docstrings/bundle" in text


def test_interrupted_says_so() -> None:
    assert table(samples.interrupted()).endswith("Stopped before a candidate could be picked.\n")
    assert table({}).endswith("Stopped before a candidate could be picked.\n")


def test_color_only_where_asked() -> None:
    assert "\x1b[" not in table(samples.position())
    assert "\x1b[1m★" in table(samples.position(), color=True)


CHECK = {
    "rows": 1200,
    "columns": [
        {"name": "text", "kind": "text", "why": "mean of 14 words", "missing": 0, "distinct": 1188},
        {"name": "stars", "kind": "category", "why": "5 distinct values", "missing": 2, "distinct": 5},
    ],
    "target": "stars",
    "inputs": ["text"],
    "parts": {"train": 720, "validation": 240, "test": 240},
    "how": "stratified by label, seed 0",
    "problems": [
        {
            "code": "DATA_TARGET_MISSING",
            "severity": "error",
            "message": "two rows have no stars",
            "fix": "fill them in",
            "count": 2,
            "places": ["train.csv:4", "train.csv:9"],
        }
    ],
    "ok": False,
}


def test_check_lists_columns_split_and_problems() -> None:
    text = lines_for_check(CHECK)
    assert "stars   category  target        2         5  5 distinct values" in text
    assert "Split: train 720, validation 240, test 240 (stratified by label, seed 0)" in text
    assert (
        "error[DATA_TARGET_MISSING]: train.csv:4, train.csv:9: two rows have no stars. (2 times) Fix: fill\n  them in."
        in text
    )
    assert text.endswith("Not ready: 1 error to correct first.\n")
    assert lines_for_check({"ok": True, "rows": 3}).endswith("Ready.\n")


def test_scores_show_value_and_interval() -> None:
    metrics = {"accuracy": {"value": 0.9258, "low": 0.9097, "high": 0.9393}, "log_loss": None}
    text = scores({"metrics": metrics, "rows": 1200, "bundle": "runs/a/bundle"})
    assert text.splitlines()[0] == "runs/a/bundle on 1,200 rows"
    assert "Accuracy         92.6%  [91.0, 93.9]" in text
    assert "not measured" in text


def test_comparison_states_the_difference_with_its_interval() -> None:
    result = {"a": "a/bundle", "b": "b/bundle", "metric": "accuracy", "difference": 0.0121, "low": 0.004, "high": 0.02}
    result |= {"p": 0.0004, "verdict": "B is better", "rows": 1200, "metrics": {"accuracy": {"a": 0.91, "b": 0.9221}}}
    text = comparison(result)
    assert "Accuracy: B - A = +1.2 points [+0.4, +2.0], p < 0.001: B is better." in " ".join(text.split())
    assert "Accuracy  91.0%  92.2%" in text
