from __future__ import annotations

import pytest
import report_samples as samples
from hypothesis import given
from hypothesis import strategies as st

from sartor.report import svg
from sartor.report.entries import entries
from sartor.report.figures.confusion import confusion_of
from sartor.report.labels import Box, Label, place, spaced
from sartor.report.scales import Scale, focus, padded_log, tick_text


@pytest.mark.parametrize(
    ("scale", "said"),
    [
        (Scale(0.5, 100, 0, 1, log=True), ["0.5", "1", "2", "5", "10", "20", "50", "100"]),
        (Scale(2.1, 7.2, 0, 1, log=True), ["3", "4", "5", "7"]),
        (Scale(0.81, 0.95, 0, 1), ["0.82", "0.84", "0.86", "0.88", "0.90", "0.92", "0.94"]),
        (Scale(0, 400, 0, 1), ["0", "50", "100", "150", "200", "250", "300", "350", "400"]),
        (Scale(-0.1, 0.02, 0, 1), ["−0.10", "−0.08", "−0.06", "−0.04", "−0.02", "0.00", "0.02"]),
    ],
)
def test_ticks_are_round(scale: Scale, said: list[str]) -> None:
    ticks = scale.ticks(8)
    assert [tick_text(t, ticks) for t in ticks] == said


@given(st.floats(1e-5, 1e6), st.floats(1.001, 1e6), st.integers(2, 10), st.booleans())
def test_ticks_lie_inside_and_differ(low: float, factor: float, wanted: int, log: bool) -> None:
    scale = Scale(low, low * factor, 0, 100, log)
    ticks = scale.ticks(wanted)
    assert ticks == sorted(ticks)
    assert len(ticks) <= 4 * wanted
    assert all(low * 0.998 <= t <= low * factor * 1.002 for t in ticks)


def test_scale_maps_ends_by_ratio() -> None:
    scale = Scale(1, 100, 10, 30, log=True)
    assert [scale(v) for v in (1, 10, 100, 1000)] == [10, 20, 30, 30]
    assert Scale(1, 0, 0, 10)(0.75) == 2.5


def test_focus_leaves_out_a_few_that_lie_far_off() -> None:
    assert focus([0.22, 0.86, 0.9, 0.91, 0.92]) == (0.86, 0.92)
    assert focus([0.8, 0.85, 0.9, 0.95]) == (0.8, 0.95)
    assert focus([0.5]) == (0.5, 0.5)


def test_padded_log_keeps_a_decent_width() -> None:
    low, high = padded_log([4.0, 4.1])
    assert low < 4.0 < 4.1 < high
    assert high / low >= 3


@given(st.lists(st.tuples(st.floats(20, 480), st.floats(20, 280)), min_size=1, max_size=15))
def test_labels_never_cover_each_other_and_stay_inside(points: list[tuple[float, float]]) -> None:
    frame = Box(0, 0, 500, 300)
    labels = [Label(k, f"candidate {k}", x, y) for k, (x, y) in enumerate(points)]
    placed = place(labels, [Box(x - 5, y - 5, 10, 10) for x, y in points], frame)
    assert all(p.box.within(frame) for p in placed)
    assert all(a.box.overlap(b.box) == 0 for a in placed for b in placed if a is not b)
    assert len(placed) >= 1


def test_spaced_keeps_the_gap_and_the_borders() -> None:
    assert spaced([10, 11, 12], 10, 0, 100) == [10, 20, 30]
    assert spaced([95, 96, 97], 10, 0, 100) == [80, 90, 100]


def test_elements_escape_what_they_are_given() -> None:
    made = svg.element("text", {"x": -0.01, "class": 'a"b'}, "<b>&")
    assert made == '<text x="0" class="a&#34;b">&lt;b&gt;&amp;</text>'


def test_short_names_leave_out_the_common_backbone_only_where_they_stay_different() -> None:
    found = entries(samples.position())
    assert found[4].short == "lora:r=16 @0.0005"
    assert found[12].short.startswith("encoder:path=")
    twice = {"candidates": [{"name": "a + x"}, {"name": "a + y"}, {"name": "x"}]}
    assert [e.short for e in entries(twice)] == ["a + x", "a + y", "x"]


def test_confusion_refuses_what_is_not_square_and_keeps_row_sizes_in_a_block() -> None:
    assert confusion_of({"labels": ["a", "b"], "counts": [[1, 2]]}) is None
    assert confusion_of(None) is None
    made = confusion_of({"labels": ["a", "b", "c"], "counts": [[5, 0, 1], [3, 9, 0], [0, 0, 4]]})
    assert made is not None
    assert made.pairs() == [(1, 0, 3), (0, 2, 1)]
    block = made.block(2)
    assert block.labels == ("b", "a")
    assert block.sizes == (12, 6)
    assert block.counts == ((9, 3), (0, 5))
