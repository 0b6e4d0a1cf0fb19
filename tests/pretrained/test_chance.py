"""Random words against the published generator, and masks that are even."""

from __future__ import annotations

import pytest
import torch

from sartor.pretrained.chance import kept, words


def splitmix(seed: int, count: int) -> list[int]:
    """The authors' reference code, in Python's own whole numbers."""
    out, mask = [], (1 << 64) - 1
    for i in range(1, count + 1):
        z = (seed + i * 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        out.append(z ^ (z >> 31))
    return out


@pytest.mark.parametrize("seed", [0, 1, -1, 2**63 - 1, -(2**63), 123_456_789_012_345])
def test_the_words_are_those_of_splitmix(seed: int) -> None:
    found = [int(w) & ((1 << 64) - 1) for w in words(torch.tensor([seed]), 50)]
    assert found == splitmix(seed & ((1 << 64) - 1), 50)
    assert seed or found[0] == 0xE220A8397B1DCDAF


def test_all_sixteen_bit_numbers_come_equally_often() -> None:
    """Chi-squared over 256 cells of each quarter of a word; 99.99 % point of 255 degrees of freedom: 346."""
    drawn = words(torch.tensor([7]), 1 << 18).view(torch.int16).view(-1, 4).long() + 32_768
    for lane in range(4):
        for cells in (drawn[:, lane] // 256, drawn[:, lane] % 256):
            counts = torch.bincount(cells, minlength=256).double()
            expected = (1 << 18) / 256
            assert float(((counts - expected) ** 2 / expected).sum()) < 346


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(3)
    keep = kept(torch.empty(1 << 20), 0.25)
    for apart in (1, 2, 3, 4, 8, 64):
        both = float((keep[:-apart] * keep[apart:]).mean())
        assert both == pytest.approx(0.75**2, abs=5 * 0.5 / (1 << 10))
