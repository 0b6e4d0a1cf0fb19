"""Faults inside training: what is no number, what does not fit, and signals that come while an update is applied."""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sartor.engine.faults import IN_A_ROW, Faults, undisturbed
from sartor.engine.train import advance
from sartor.errors import BadEnvironment, out_of_memory
from sartor.objective import Objective
from text_samples import labelled
from tiny_runs import begun, recipe, same_bits, steps, weights

ROWS = labelled(37)


@dataclass(frozen=True, kw_only=True)
class Bad(Objective):
    """The supervised loss, but no number whenever one of these rows is in the batch."""

    rows: frozenset[int]

    def __call__(self, net: Any, task: Any, batch: Any) -> Tensor:
        losses = task.loss(net(batch), batch)
        return losses * math.nan if self.rows & set(batch.rows.tolist()) else losses


@dataclass(frozen=True, kw_only=True)
class Narrow(Objective):
    """The supervised loss in a memory for `most` rows, where `long` is one of them; it fails after some of the work."""

    most: int
    long: int | None = None
    words: str = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"
    tried: list[int]

    def __call__(self, net: Any, task: Any, batch: Any) -> Tensor:
        self.tried.append(len(batch))
        losses = task.loss(net(batch), batch)
        if len(batch) > self.most and (self.long is None or self.long in batch.rows):
            losses.sum().backward()
            raise RuntimeError(self.words)
        return losses


def with_bad_rows(encoder: Path, policy: str, rows: set[int], count: int = 12) -> Any:
    made = recipe(encoder, ROWS, max_steps=count, nonfinite=policy, learning_rate=1e-3, warmup_ratio=0.0)
    made = replace(made, plan=replace(made.plan, lr_scheduler_type="constant_with_warmup"))
    return begun(replace(made, objective=Bad(rows=frozenset(rows))), ROWS)


@pytest.mark.parametrize("policy", ["skip", "halve", "stop"])
def test_a_bad_row_is_never_applied_and_is_told(tiny_encoder: Path, policy: str) -> None:
    run, encoded = with_bad_rows(tiny_encoder, policy, {7})
    assert run.state is not None
    before, rates = weights(run), []
    for step in advance(run, encoded, 12):
        rates.append(step.learning_rate)
        assert same_bits(weights(run), before) == bool(step.unapplied)
        assert bool(step.unapplied) == math.isnan(step.loss) == (7 in step.unapplied)
        assert len(step.unapplied) in (0, step.rows)
        before = weights(run)
    found = run.state.faults
    assert all(value.isfinite().all() for value in before.values())
    if policy == "stop":
        assert run.diverged and found.unapplied == 1 and run.done < 6
        return
    assert run.done == 12 and not run.diverged
    assert found.unapplied in (2, 3)  # two epochs and two updates
    assert found.halvings == (found.unapplied if policy == "halve" else 0)
    assert rates[-1] == pytest.approx(1e-3 * 0.5 ** (found.halvings - (found.in_a_row > 0 and policy == "halve")))


def test_a_run_that_skips_over_and_over_has_diverged(tiny_encoder: Path) -> None:
    run, encoded = with_bad_rows(tiny_encoder, "skip", set(range(100)), count=30)
    before = weights(run)
    assert len(list(advance(run, encoded, 30))) == IN_A_ROW
    assert run.diverged
    assert same_bits(weights(run), before)


def test_one_update_that_is_applied_begins_the_count_anew() -> None:
    faults = Faults()
    for _ in range(3):
        for _ in range(IN_A_ROW - 1):
            assert not faults.judge(1.0, math.inf, "skip")
        assert not faults.diverged("skip")
        assert faults.judge(1.0, 1.0, "skip")
    assert (faults.in_a_row, faults.unapplied) == (0, 3 * (IN_A_ROW - 1))


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("most", [1, 2, 4])
def test_what_does_not_fit_is_the_same_update_in_halves(tiny_encoder: Path, most: int, dropout: float) -> None:
    """Bit by bit a run of the smaller size; the failed tries leave nothing behind."""
    plan: dict[str, Any] = {"max_steps": 3, "dropout": dropout, "learning_rate": 1e-3}
    rows = labelled(40)  # every batch has 8
    tried: list[int] = []
    made = recipe(tiny_encoder, rows, **plan)
    short, encoded = begun(replace(made, objective=Narrow(most=most, tried=tried)), rows)
    told = list(steps(short, encoded))
    assert tried == [n for n in (8, 4, 2) if n > most] + [most] * (8 // most) * 3
    assert short.state is not None and short.state.faults.at_once == most
    cut = {"per_device_train_batch_size": most, "gradient_accumulation_steps": 8 // most}
    other, _ = begun(recipe(tiny_encoder, rows, **plan, **cut), rows)
    assert [s.loss for s in told] == [s.loss for s in steps(other, encoded)]
    assert same_bits(weights(short), weights(other))


def test_what_a_failed_try_had_gathered_is_dropped(tiny_encoder: Path) -> None:
    """Some parts of an update fit, then one does not: none of their rows counts twice."""
    plan: dict[str, Any] = {"max_steps": 5, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
    made = recipe(tiny_encoder, ROWS, learning_rate=1e-3, **plan)
    usual, encoded = begun(made, ROWS)
    expected = [s.loss for s in steps(usual, encoded)]
    for long in encoded.rows.tolist()[:3]:
        tried: list[int] = []
        short, _ = begun(replace(made, objective=Narrow(most=2, long=long, tried=tried)), ROWS)
        told = [s.loss for s in steps(short, encoded)]
        assert short.state is not None and short.state.faults.at_once == 2
        assert told == pytest.approx(expected, rel=1e-4)


def test_the_last_small_batch_is_halved_from_its_own_size(tiny_encoder: Path) -> None:
    tried: list[int] = []
    made = recipe(tiny_encoder, labelled(5), max_steps=1, per_device_train_batch_size=64)
    run, encoded = begun(replace(made, objective=Narrow(most=3, tried=tried)), labelled(5))
    list(steps(run, encoded))
    assert tried == [5, 3, 2]


def test_not_even_one_row_is_a_sentence(tiny_encoder: Path) -> None:
    made = replace(recipe(tiny_encoder, ROWS, max_steps=3), objective=Narrow(most=0, tried=[]))
    run, encoded = begun(made, ROWS)
    before = weights(run)
    with pytest.raises(BadEnvironment) as raised:
        next(steps(run, encoded))
    longest = int(encoded.lengths.max())
    said = str(raised.value)
    assert said.startswith("error[MEMORY]: memory does not suffice to train on one row (row ")
    assert said.endswith(
        " tokens). Fix: close other programs and go on with --resume, or start again with shorter rows "
        "(max_length of the backbone) or a method that trains less (lora, probe)."
    )
    assert int(said.split(" tokens")[0].rsplit(" ", 1)[1]) <= longest
    assert run.state is not None and (run.done, run.state.whole, run.state.faults) == (0, True, Faults())
    assert same_bits(weights(run), before)
    assert all(p.grad is None for p in run.net.parameters())


def test_another_error_is_passed_on_at_once(tiny_encoder: Path) -> None:
    tried: list[int] = []
    made = replace(recipe(tiny_encoder, ROWS, max_steps=3), objective=Narrow(most=4, tried=tried, words="sizes differ"))
    run, encoded = begun(made, ROWS)
    with pytest.raises(RuntimeError, match="sizes differ"):
        next(steps(run, encoded))
    assert len(tried) == 1


def test_torchs_own_words_are_known() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(10**16)
    assert out_of_memory(raised.value)
    assert out_of_memory(MemoryError())
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"))
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not out_of_memory(ValueError("out of memory"))


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """SIGTERM is answered with an exception, as the command line does."""
    came: list[int] = []

    def answer(number: int, _: Any) -> None:
        came.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, answer)
    yield came
    signal.signal(signal.SIGTERM, before)


def test_a_signal_waits_until_the_update_is_whole(heard: list[int]) -> None:
    done = []

    def update() -> None:
        with undisturbed():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("the rest")

    with pytest.raises(KeyboardInterrupt):
        update()
    assert (done, heard) == (["the rest"], [signal.SIGTERM])
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)  # answered at once again


def test_what_fails_inside_is_passed_on_and_handlers_come_back(heard: list[int]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ValueError, match="inside"), undisturbed():
        raise ValueError("inside")
    assert signal.getsignal(signal.SIGTERM) is before
    assert heard == []


def test_other_threads_have_nothing_to_wait_for() -> None:
    done = []

    def work() -> None:
        with undisturbed():
            done.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [1]
