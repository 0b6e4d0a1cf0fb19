"""The ruler, on a clock that only moves when a subject or the fixed work says so."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sartor.data.rows import Column, Rows, Schema
from sartor.engine.measure import Answer, Costs, Measured, measure
from sartor.errors import BadInput
from sartor.predictions import Predictions

WORK = 0.005


def rows_of(n: int) -> Rows:
    """n rows of text and label, each text one character longer than the one before."""
    schema = Schema((Column("text", "text", "given"), Column("label", "category", "given")), "label", ("text",))
    columns = {"text": ["x" * (i + 1) for i in range(n)], "label": ["yes"] * n}
    return Rows(schema, columns, np.arange(n), np.arange(n) + 1, "rows.csv")


@dataclass
class World:
    """A clock, and everything that moves it. `slowdown`: how many times slower everything is at a time."""

    now: float = 0.0
    slowdown: Callable[[float], float] = lambda now: 1.0
    heard: list[str] = field(default_factory=list)
    asked: dict[str, list[list[int]]] = field(default_factory=dict)

    def clock(self) -> float:
        return self.now

    def spend(self, name: str, seconds: float) -> None:
        self.now += seconds * self.slowdown(self.now)
        self.heard += [] if self.heard[-1:] == [name] else [name]

    def work(self) -> None:
        self.spend("work", WORK)

    def subject(self, name: str, seconds: Callable[[Rows], float]) -> Answer:
        def answer(rows: Rows) -> Predictions:
            assert "label" not in rows.columns, "a served row has no target"
            self.asked.setdefault(name, []).append(rows.numbers.tolist())
            self.spend(name, seconds(rows))
            return Predictions(rows.numbers, np.zeros(len(rows)))

        return answer


def linear(first: float, more: float) -> Callable[[Rows], float]:
    """Seconds of a request: `first` for its first row, `more` for every further one."""
    return lambda rows: first + more * (len(rows) - 1)


def test_constant_subject_is_measured_exactly() -> None:
    world = World()
    found, reference = measure(
        {"a": world.subject("a", linear(0.010, 0.002))}, rows_of(600), seconds=30, clock=world.clock, work=world.work
    )
    timing = found["a"]
    assert timing.latency_ms_p50.value == pytest.approx(10)
    assert timing.latency_ms_p50.low == pytest.approx(10)
    assert timing.latency_ms_p99.high == pytest.approx(10)
    assert timing.latency_ms_p50.repeats == 5
    assert timing.ladder == pytest.approx({n: n / (0.010 + 0.002 * (n - 1)) for n in (1, 8, 32, 128, 512)})
    assert timing.best_batch == 128, "512 rows at once are less than 5 % faster"
    assert timing.throughput_rows_per_s.value == pytest.approx(128 / 0.264)
    assert reference.ms.value == pytest.approx(1e3 * WORK)
    assert reference.drift == pytest.approx(1)


def test_batches_that_do_not_help_are_not_used() -> None:
    world = World()
    same = world.subject("a", lambda rows: 0.010 * len(rows))
    found, _ = measure({"a": same}, rows_of(600), seconds=30, clock=world.clock, work=world.work)
    assert found["a"].best_batch == 1
    assert found["a"].throughput_rows_per_s.value == pytest.approx(100)


def test_batch_is_never_larger_than_the_data() -> None:
    world = World()
    found, _ = measure(
        {"a": world.subject("a", linear(0.010, 0))}, rows_of(40), seconds=30, clock=world.clock, work=world.work
    )
    assert list(found["a"].ladder) == [1, 8, 32]
    assert found["a"].best_batch == 32


def test_p99_sees_the_slowest_rows_and_p50_does_not() -> None:
    world = World()
    slow_rows = world.subject("a", lambda rows: sum(0.050 if n % 50 == 0 else 0.010 for n in rows.numbers.tolist()))
    found, _ = measure({"a": slow_rows}, rows_of(500), seconds=60, clock=world.clock, work=world.work)
    assert found["a"].requests >= 5 * 100
    assert found["a"].latency_ms_p50.value == pytest.approx(10)
    assert found["a"].latency_ms_p99.value == pytest.approx(50)


def test_p99_of_few_requests_is_of_all_rounds_together() -> None:
    world = World()
    slow_row = world.subject("a", lambda rows: sum(0.050 if n == 0 else 0.010 for n in rows.numbers.tolist()))
    found, _ = measure({"a": slow_row}, rows_of(40), seconds=1.5, clock=world.clock, work=world.work)
    assert found["a"].requests < 5 * 40, "so that not every round meets the slow row"
    p99 = found["a"].latency_ms_p99
    assert (p99.low, p99.value, p99.high) == pytest.approx((10, 50, 50))
    assert found["a"].latency_ms_p50.high == pytest.approx(10)


def test_slow_round_shows_in_the_reference_and_not_in_the_value() -> None:
    world = World(slowdown=lambda now: 3.0 if 4.0 < now < 8.4 else 1.0)
    subjects = {name: world.subject(name, linear(0.010, 0.010)) for name in "ab"}
    found, reference = measure(subjects, rows_of(60), seconds=20, clock=world.clock, work=world.work)
    assert reference.drift == pytest.approx(3)
    assert sorted(reference.rounds)[:4] == pytest.approx([5, 5, 5, 5])
    for timing in found.values():
        assert timing.latency_ms_p50.value == pytest.approx(10)
    assert max(t.latency_ms_p50.high for t in found.values()) == pytest.approx(30)


def test_every_subject_takes_its_turn_in_rotated_order_between_fixed_work() -> None:
    world = World()
    subjects = {name: world.subject(name, linear(0.010, 0.010)) for name in "abc"}
    measure(subjects, rows_of(60), seconds=6, repeats=3, clock=world.clock, work=world.work)
    heard = " ".join("w" if name == "work" else name for name in world.heard)
    assert heard == "w a b c a b c w a w b w c w b w c w a w c w a w b w"


def test_equal_subjects_are_asked_the_same_rows_and_tie() -> None:
    world = World()
    subjects = {name: world.subject(name, linear(0.010, 0.002)) for name in "ab"}
    found, _ = measure(subjects, rows_of(300), seconds=20, clock=world.clock, work=world.work)
    least = min(len(asked) for asked in world.asked.values())
    singles = {name: [n for n in asked if len(n) == 1][: least // 2] for name, asked in world.asked.items()}
    assert singles["a"] == singles["b"]
    assert found["a"].latency_ms_p50.overlaps(found["b"].latency_ms_p50)
    assert found["a"].throughput_rows_per_s.overlaps(found["b"].throughput_rows_per_s)


def test_subject_that_is_twice_as_slow_does_not_tie() -> None:
    world = World()
    subjects = {"a": world.subject("a", linear(0.010, 0.001)), "b": world.subject("b", linear(0.020, 0.002))}
    found, _ = measure(subjects, rows_of(300), seconds=20, clock=world.clock, work=world.work)
    assert not found["a"].latency_ms_p50.overlaps(found["b"].latency_ms_p50)
    assert not found["a"].latency_ms_p99.overlaps(found["b"].latency_ms_p99)
    assert not found["a"].throughput_rows_per_s.overlaps(found["b"].throughput_rows_per_s)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.004, 0.4), st.floats(0.01, 1.0)), min_size=1, max_size=6),
    st.floats(1.0, 6.0),
)
def test_the_time_is_kept(speeds: list[tuple[float, float]], seconds: float) -> None:
    world = World()
    subjects = {f"s{i}": world.subject(f"s{i}", linear(first, first * more)) for i, (first, more) in enumerate(speeds)}
    measure(subjects, rows_of(150), seconds=seconds, clock=world.clock, work=world.work)
    at_any_price = sum(3 * first for first, _ in speeds) + WORK * (len(speeds) + 2)
    assert world.now <= max(1.2 * seconds, at_any_price)


def test_the_time_is_used() -> None:
    world = World()
    subjects = {name: world.subject(name, linear(0.010, 0.002)) for name in "abcd"}
    measure(subjects, rows_of(520), seconds=20, clock=world.clock, work=world.work)
    assert world.now > 17


def test_too_little_time_gives_fewer_rounds_and_a_stretched_range() -> None:
    world = World()
    subjects = {name: world.subject(name, linear(2.0, 2.0)) for name in "ab"}
    found, _ = measure(subjects, rows_of(60), seconds=8, clock=world.clock, work=world.work)
    assert world.now <= 1.2 * 8
    assert found["a"].latency_ms_p50 == Measured(pytest.approx(2000), pytest.approx(1000), pytest.approx(4000), 1)  # type: ignore[arg-type]


def test_collections_wait_until_the_end_even_where_a_subject_fails() -> None:
    seen: list[bool] = []

    def fails(rows: Rows) -> Predictions:
        seen.append(gc.isenabled())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        measure({"a": fails}, rows_of(10), work=lambda: None)
    assert seen == [False]
    assert gc.isenabled()


def test_no_rows_are_refused() -> None:
    with pytest.raises(BadInput) as raised:
        measure({"a": World().subject("a", linear(1, 1))}, rows_of(0))
    assert str(raised.value) == (
        "error[MEASURE_ROWS]: rows.csv: there are no rows to measure on. "
        "Fix: give at least one row; measurements are made on your own rows."
    )


def test_the_real_clock_and_the_real_work_give_a_positive_range() -> None:
    def answer(rows: Rows) -> Predictions:
        return Predictions(rows.numbers, np.array([sum(map(ord, t)) for t in rows.column("text")], dtype=float))

    found, reference = measure({"a": answer, "b": answer}, rows_of(50), seconds=0.5, repeats=3)
    assert reference.ms.low > 0
    for timing in found.values():
        assert 0 < timing.latency_ms_p50.low <= timing.latency_ms_p50.value <= timing.latency_ms_p50.high
        assert timing.latency_ms_p50.value <= timing.latency_ms_p99.value


@pytest.mark.parametrize(
    ("one", "other", "tie"),
    [((1, 3), (2, 4), True), ((1, 2), (2, 3), True), ((1, 4), (2, 3), True), ((1, 2), (2.1, 3), False)],
)
def test_ranges_that_share_a_value_overlap(one: tuple[float, float], other: tuple[float, float], tie: bool) -> None:
    a, b = Measured.over(one), Measured.over(other)
    assert a.overlaps(b) is tie
    assert b.overlaps(a) is tie


def test_measured_is_the_median_and_the_range() -> None:
    assert Measured.over([5, 1, 2]) == Measured(2.0, 1.0, 5.0, 3)
    assert Measured.once(7.5) == Measured(7.5, 7.5, 7.5, 1)
    assert json.loads(json.dumps(Measured.over([1, 2]).to_json())) == {"value": 1.5, "low": 1, "high": 2, "repeats": 2}


def test_costs_as_json() -> None:
    world = World()
    found, _ = measure(
        {"a": world.subject("a", linear(0.010, 0.002))}, rows_of(60), seconds=5, clock=world.clock, work=world.work
    )
    costs = found["a"].costs(size_mb=Measured.once(90.0))
    assert isinstance(costs, Costs)
    value = json.loads(json.dumps(costs.to_json()))
    assert value["best_batch"] == found["a"].best_batch == 32
    assert value["size_mb"] == {"value": 90.0, "low": 90.0, "high": 90.0, "repeats": 1}
    assert value["peak_memory_mb"] is None
    assert value["train_seconds"] is None
    assert value["latency_ms_p50"]["value"] == pytest.approx(10)
