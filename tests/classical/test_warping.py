from __future__ import annotations

import numpy as np
import pytest

from sartor.classical.warping import distances


def one_by_one(a: np.ndarray, b: np.ndarray) -> float:
    """The recurrence as it is written."""
    apart = np.linalg.norm(a[:, None] - b[None], axis=2)
    total = np.full(apart.shape, np.inf)
    for i in range(len(a)):
        for j in range(len(b)):
            d = apart[i, j]
            before = [2 * d] if i == j == 0 else []
            before += [total[i - 1, j] + d] if i else []
            before += [total[i, j - 1] + d] if j else []
            before += [total[i - 1, j - 1] + 2 * d] if i and j else []
            total[i, j] = min(before)
    return float(total[-1, -1] / (len(a) + len(b)))


@pytest.mark.parametrize("length", [1, 5, 12])
def test_it_is_the_recurrence(length: int) -> None:
    draw = np.random.default_rng(length)
    query = draw.standard_normal((length, 3)).astype(np.float32)
    lengths = [1, 4, 9, 7]
    templates = np.zeros((4, 9, 3), dtype=np.float32)
    for row, n in zip(templates, lengths, strict=True):
        row[:n] = draw.standard_normal((n, 3))
    found = distances(query, templates, lengths)
    expected = [one_by_one(query, row[:n]) for row, n in zip(templates, lengths, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_what_is_only_stretched_is_the_same() -> None:
    query = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    slow = np.repeat(query, 2, 0)
    assert distances(query, slow[None], [12])[0] == pytest.approx(0, abs=1e-3)
