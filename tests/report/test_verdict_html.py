from __future__ import annotations

import base64
import copy
import hashlib
import itertools
import json
import re
from typing import Any

import pytest
import report_samples as samples
from page_reader import Element, read

from sartor.report.verdict_html import embedded, html

LIMIT = 400_000


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {name: html(make()) for name, make in samples.ALL.items()}


@pytest.fixture(scope="module")
def trees(pages: dict[str, str]) -> dict[str, Element]:
    return {name: read(page) for name, page in pages.items()}


each = pytest.mark.parametrize("name", list(samples.ALL))


@each
def test_one_file_that_loads_nothing(name: str, pages: dict[str, str], trees: dict[str, Element]) -> None:
    assert len(pages[name].encode()) < LIMIT
    for element in trees[name].every():
        assert element.tag not in {
            "link",
            "img",
            "iframe",
            "object",
            "embed",
            "base",
            "form",
            "foreignobject",
        }
        if element.tag == "image":
            assert re.fullmatch(r"data:image/jpeg;base64,[\w+/=]+", element.attributes["href"])
            continue
        assert not {"src", "srcset", "srcdoc", "action", "xlink:href"} & set(element.attributes)
        assert not [a for a in element.attributes if a.startswith("on")]
        assert element.attributes.get("href", "#").startswith("#")
    style = "".join(e.text for e in trees[name].all("style"))
    assert "url(" not in style
    assert "@import" not in style


@each
def test_policy_allows_only_the_page_s_own_script(name: str, trees: dict[str, Element]) -> None:
    scripts = trees[name].all("script")
    run = [s for s in scripts if s.attributes.get("type") is None]
    assert len(run) == 1
    assert [s.attributes["type"] for s in scripts if s not in run] == ["application/json"]
    digest = base64.b64encode(hashlib.sha256(run[0].text.encode()).digest()).decode()
    meta = [m for m in trees[name].all("meta") if m.attributes.get("http-equiv") == "Content-Security-Policy"]
    policy = meta[0].attributes["content"]
    assert policy.startswith(
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}';"
    )
    assert "unsafe-eval" not in policy
    assert not re.search(r"\beval\b|\bFunction\b|innerHTML|insertAdjacentHTML|document\.write", run[0].text)


@each
def test_every_figure_is_told_and_has_a_table(name: str, trees: dict[str, Element]) -> None:
    for drawing in trees[name].all("svg"):
        if drawing.attributes.get("aria-hidden") == "true":
            continue
        assert [c.tag for c in drawing.children[:2]] == ["title", "desc"]
        assert all(c.text.strip() for c in drawing.children[:2])
    for section in trees[name].all("section"):
        assert bool(section.all("figure")) <= bool(section.all("details"))
    for table in trees[name].all("table"):
        widths = {len(row.all("td")) + len(row.all("th")) for row in table.all("tr")}
        assert len(widths) == 1


def test_a_key_stands_once_and_every_link_has_its_goal(trees: dict[str, Element]) -> None:
    for tree in trees.values():
        ids = [e.attributes["id"] for e in tree.every() if "id" in e.attributes]
        assert len(ids) == len(set(ids))
        goals = [e.attributes["href"][1:] for e in tree.all("a")] + [e.attributes["for"] for e in tree.all("label")]
        assert set(goals) <= set(ids)


def test_sections_stand_in_order(trees: dict[str, Element]) -> None:
    found = [s.attributes["id"] for s in trees["position"].all("section")]
    assert found == ["verdict", "frontier", "candidates", "race", "differences", "mistakes", "data", "method"]
    assert [s.attributes["id"] for s in trees["interrupted"].all("section")] == [
        "verdict",
        "frontier",
        "candidates",
        "data",
        "method",
    ]


def test_the_verdict_is_one_sentence_with_its_evidence(trees: dict[str, Element]) -> None:
    verdict = next(s for s in trees["position"].all("section") if s.attributes["id"] == "verdict")
    assert (
        " ".join(verdict.all("h1")[0].words().split())
        == "minilm + lora:r=16 @0.0005 answers 92.6% of the test rows correctly."
    )
    words = verdict.words()
    assert samples.position()["pick"]["why"] in words
    assert "[91.0, 93.9]" in words
    assert "95% interval, Wilson, 1,200 rows" in words
    assert "3.98 ms" in words


def test_table_holds_exactly_the_measured_numbers(trees: dict[str, Element]) -> None:
    result = samples.position()
    rows = {row.with_class("who")[0].text: row for row in trees["position"].with_class("candidates")[0].all("tr")[1:]}
    assert set(rows) == {c["name"] for c in result["candidates"]}
    costs = (
        "latency_ms_p50",
        "latency_ms_p99",
        "throughput_rows_per_s",
        "peak_memory_mb",
        "size_mb",
        "train_seconds",
    )
    for c in result["candidates"]:
        cells = [e.attributes.get("data-v") for e in rows[c["name"]].with_class("n")]
        wanted = [c["metrics"].get(k) for k in ("accuracy", "macro_f1", "log_loss", "calibration_error")]
        wanted += [c["costs"].get(k, {}).get("value") for k in costs]
        assert [None if v is None else float(v) for v in cells] == wanted
        assert c["status"] in rows[c["name"]].words()
        assert (c["reason"] or "") in rows[c["name"]].words()
        assert ("not measured" in rows[c["name"]].words()) == (None in wanted)
    assert "93.1" in rows["minilm + lora:r=16 @0.0005"].words()
    assert "91.6–94.4" in rows["minilm + lora:r=16 @0.0005"].words()
    assert "dominated by tfidf" in rows["embedding_knn:k=15"].words()


def test_frontier_has_a_view_for_each_cost_and_places_points_by_value(trees: dict[str, Element]) -> None:
    section = next(s for s in trees["position"].all("section") if s.attributes["id"] == "frontier")
    assert len(section.all("input")) == 4
    assert len(section.all("figure")) == 4
    wide = section.all("figure")[0].with_class("wide")[0]
    result = samples.position()
    heights = {int(g.attributes["data-c"]): _height(g) for g in wide.with_class("point")}
    inside = [i for i, c in enumerate(result["candidates"]) if c["metrics"] and c["metrics"]["accuracy"] > 0.5]
    by_value = sorted(inside, key=lambda i: -result["candidates"][i]["metrics"]["accuracy"])
    assert sorted(inside, key=lambda i: heights[i]) == by_value
    gaps = [(heights[a] - heights[b], a, b) for a, b in itertools.pairwise(by_value)]
    slopes = [
        gap / (result["candidates"][a]["metrics"]["accuracy"] - result["candidates"][b]["metrics"]["accuracy"])
        for gap, a, b in gaps
    ]
    assert max(slopes) == pytest.approx(min(slopes), rel=0.25)
    assert wide.with_class("stairs")
    assert "limit 30 ms" in wide.words()
    assert "majority 21.9%" in wide.words()


def _height(point: Element) -> float:
    """The middle of a point's marker."""
    mark = point.with_class("mark")[0]
    if mark.tag == "circle":
        return float(mark.attributes["cy"])
    if mark.tag == "rect":
        return float(mark.attributes["y"]) + float(mark.attributes["height"]) / 2
    first = re.match(r"M[\d.]+ ([\d.]+)", mark.attributes["d"])
    assert first
    return float(first[1]) + 10.5  # the star's top lies its radius above its middle


def test_race_marks_who_was_dropped_and_why(trees: dict[str, Element]) -> None:
    section = next(s for s in trees["position"].all("section") if s.attributes["id"] == "race")
    wide = section.with_class("wide")[0]
    out = [g for g in wide.with_class("runner") if "out" in g.attributes["class"].split()]
    assert len(out) == 2
    assert all(g.with_class("cross") for g in out)
    assert "lora:r=4 @0.0002 ✕ eliminated" in wide.words()
    assert section.with_class("rungs")[0].words().count("log-loss 0.062 above the best (p = 0.004)") == 2


def test_forest_says_every_difference_in_words(trees: dict[str, Element]) -> None:
    section = next(s for s in trees["position"].all("section") if s.attributes["id"] == "differences")
    words = section.words()
    assert "−71.2 [−73.6, −68.8]" in words
    assert "tied" in words
    assert "too close to resolve: ±1.2 points" in words


def test_confusion_of_few_and_of_many_classes(trees: dict[str, Element]) -> None:
    few = next(s for s in trees["position"].all("section") if s.attributes["id"] == "mistakes")
    counts = [c.text for c in few.with_class("wide")[0].with_class("cell-count")]
    wanted = samples.position()["pick"]["confusion"]["counts"]
    assert counts == [str(n) for row in wanted for n in row if n]
    many = next(s for s in trees["many_classes"].all("section") if s.attributes["id"] == "mistakes")
    assert len(many.with_class("wide")[0].with_class("cell")) == 144
    assert "Of 77 classes, the 12 that take part in the most frequent mistakes are drawn." in many.words()


def test_regression_lists_what_is_furthest_off(trees: dict[str, Element]) -> None:
    words = " ".join(trees["regression"].words().split())
    assert "Furthest off" in words
    assert "−13.25" in words
    assert "axis reversed: up is better" in words
    assert "Confusion" not in words


def test_what_was_not_measured_says_so(trees: dict[str, Element]) -> None:
    words = trees["interrupted"].words()
    assert "Stopped before a candidate could be picked." in words
    assert "not measured" in words
    assert "None" not in words
    assert "nan" not in words.lower().split()
    assert read(html({})).all("h1")[0].words().strip() == "Stopped before a candidate could be picked."


def test_hostile_text_stays_text(pages: dict[str, str], trees: dict[str, Element]) -> None:
    page, tree = pages["hostile"], trees["hostile"]
    tags = {e.tag for e in tree.every()}
    assert not tags & {"b>raw", "img", "metric"}
    assert len(tree.all("script")) == 2
    for raw in ("<script>alert", "<img src=x", "\x1b", "\u202e", "\u200b", "\ud800", '"onmouseover="alert'):
        assert raw not in page.replace(tree.all("style")[0].text, "")
    words = tree.words()
    for seen in (
        "<script>alert(1)</script>",
        "⟨U+202E⟩txt.exe⟨U+200B⟩",
        "␛]52;c;",
        "{{7*7}} {% raw %} ${7*7}",
        "⟨U+D800⟩",
    ):
        assert seen in words
    assert "line␊key: injected" in words
    assert "These labels look alike and are different: “pаypal”, “paypal”." in words  # one а is Cyrillic
    assert "x" * 401 not in page
    assert "(+999,800)" in page


def test_hostile_text_reaches_no_attribute(trees: dict[str, Element]) -> None:
    for element in trees["hostile"].every():
        for value in element.attributes.values():
            assert "alert" not in value
            assert "paypal" not in value
            assert "evil" not in value


def test_hints_cannot_close_their_element_and_stay_readable() -> None:
    value = ["</script><!--", "a&b", "\u2028", float("nan")]
    text = str(embedded(value))
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == [*value[:3], None]


def test_many_candidates_and_many_labels_stay_small() -> None:
    result = samples.position()
    result["candidates"] = [
        copy.deepcopy(c) | {"name": f"{c['name']} #{k}"} for k in range(4) for c in result["candidates"]
    ]
    result["data"]["classes"] = [{"label": f"label {k}", "rows": 10_000 - k} for k in range(10_000)]
    page = html(result)
    read(page)
    assert len(page.encode()) < 1.2 * LIMIT
    assert "and 9,800 more" in page


def test_unknown_metrics_and_numpy_numbers_are_shown() -> None:
    import numpy as np

    result: dict[str, Any] = samples.position()
    result["headline"] = "span_f1"
    for c in result["candidates"]:
        if c["metrics"]:
            c["metrics"] = {"span_f1": np.float32(c["metrics"]["accuracy"])}
            c["intervals"] = {"span_f1": [np.float64(0.1), np.nan]}
    assert "Span f1" in read(html(result)).words()


def test_spans_are_marked_in_their_sentences(trees: dict[str, Element]) -> None:
    section = next(s for s in trees["spans"].all("section") if s.attributes["id"] == "mistakes")
    table = section.with_class("wrong")[0]
    assert [h.words() for h in table.all("th")] == ["True", "Predicted", "Probability", "Row", "Line"]
    first = table.all("tr")[1]
    true, said = ([m.words() for m in cell.all("mark")] for cell in first.with_class("text"))
    assert true == ["breast cancerDisease", "ovarian cancerDisease", "deafnessDisease"]
    assert said == ["breast cancer and of ovarian cancerDisease", "deafnessDisease"]
    assert "<b>" in first.words()
    assert table.all("tr")[2].words().count("w") < 300
    assert "⟨U+202E⟩" in table.words()


def test_each_type_of_span_has_its_scores(trees: dict[str, Element]) -> None:
    section = next(s for s in trees["spans"].all("section") if s.attributes["id"] == "mistakes")
    rows = section.all("table")[0].all("tr")
    assert [c.words() for c in rows[1].children if c.tag == "td"] == [
        "Disease",
        "700",
        "690",
        "83.1%",
        "82.0%",
        "82.5%",
    ]
    words = " ".join(trees["spans"].words().split())
    assert "reaches a span F1 of 82.3%" in words
    assert "Spans of each type" in words
    assert "Rows in each class" not in words


def test_boxes_are_drawn_over_their_picture_which_is_there_once(trees: dict[str, Element]) -> None:
    section = next(s for s in trees["boxes"].all("section") if s.attributes["id"] == "mistakes")
    table = section.with_class("wrong")[0]
    assert [h.words() for h in table.all("th")] == ["Text", "True", "Predicted", "Image AP", "Row", "Line"]
    first = table.all("tr")[1]
    true, said = first.with_class("picture")
    assert [i.attributes["href"] for i in first.all("image")] == ["data:image/jpeg;base64,/9j/4AAQ"]
    assert true.all("image")[0].attributes["id"] == said.all("use")[0].attributes["href"].removeprefix("#")
    (box,) = true.all("rect")
    assert {k: box.attributes[k] for k in ("x", "y", "width", "height")} == {
        "x": "1.0",
        "y": "2.0",
        "width": "30.0",
        "height": "40.0",
    }
    assert said.all("text")[0].words() == "cat 0.91"
    words = trees["boxes"].words()
    assert "Found worst" in words
    assert "Boxes of each class" in words


def test_a_picture_that_would_be_loaded_from_elsewhere_is_not_drawn(trees: dict[str, Element]) -> None:
    assert not [e for e in trees["boxes"].every() if "example.org" in "".join(e.attributes.values())]
