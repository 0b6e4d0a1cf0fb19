from __future__ import annotations

import numpy as np
import pytest

from sartor.classical import kernel
from sartor.classical.kernel import KernelMachine, fit_kernel
from sartor.classical.targets import Target

LABELS = Target(("a", "b", "c"), several=False)


def rows(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Three rings: no linear model parts them."""
    draw = np.random.default_rng(seed)
    which = draw.integers(3, size=count)
    angle, radius = draw.uniform(0, 2 * np.pi, count), which + 1 + 0.1 * draw.standard_normal(count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).astype(np.float32), np.eye(3)[which]


def test_left_out_is_what_a_fit_without_the_row_says() -> None:
    x, y = rows(25, 0)
    matrix = kernel._kernel(x, x, 0.7)
    found = kernel._left_out(matrix, y, 0.1)
    centred = y - y.mean(0)
    for i in (0, 7, 24):
        rest = np.delete(np.arange(25), i)
        weight = np.linalg.solve(matrix[np.ix_(rest, rest)] + 0.1 * np.eye(24), centred[rest])
        np.testing.assert_allclose(found[i], matrix[i, rest] @ weight + y.mean(0), atol=1e-4)


def test_rings_are_told_apart_and_probabilities_mean_something() -> None:
    x, y = rows(300, 1)
    machine = fit_kernel(x, y, LABELS, (0.3, 1.0, 3.0), (0.01, 0.1), 0)
    held, known = rows(200, 2)
    p = machine.outputs(held, LABELS)
    assert (p.argmax(1) == known.argmax(1)).mean() > 0.95
    np.testing.assert_allclose(p.sum(1), 1)
    assert -np.log((p * known).sum(1)).mean() < 0.25


def test_a_number_is_answered_in_its_own_units() -> None:
    x, _ = rows(200, 3)
    number = Target((), several=False)
    machine = fit_kernel(x, 1000 + np.hypot(*x.T.astype(float)), number, (1.0, 3.0), (0.001, 0.01), 0)
    held, _ = rows(50, 4)
    np.testing.assert_allclose(machine.outputs(held, number), 1000 + np.hypot(*held.T), atol=0.3)


def test_it_is_restored_from_arrays() -> None:
    x, y = rows(60, 5)
    machine = fit_kernel(x, y, LABELS, (1.0,), (0.1,), 0)
    again = KernelMachine.restored(machine.values(), machine.arrays())
    np.testing.assert_array_equal(again.outputs(x, LABELS), machine.outputs(x, LABELS))


def test_values_that_never_change_count_for_nothing() -> None:
    x, y = rows(60, 6)
    flat = np.concatenate([x, np.full((60, 1), 7, dtype=np.float32)], 1)
    machine = fit_kernel(flat, y, LABELS, (1.0,), (0.1,), 0)
    moved = flat + np.array([0, 0, 5], dtype=np.float32)
    assert machine.outputs(moved, LABELS) == pytest.approx(machine.outputs(flat, LABELS))
