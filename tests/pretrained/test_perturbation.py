from __future__ import annotations

import numpy as np
import torch

from sartor.pretrained.perturbation import MOST_SPEED, blanked, blanks, perturbed

TONE = np.sin(2 * np.pi * 500 * np.arange(16_000) / 16_000).astype(np.float32)


def pitch(samples: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax() / len(samples) * 16_000)


def test_speed_changes_length_and_pitch_together() -> None:
    found = [perturbed(TONE, ("speed",), 1, row) for row in range(40)]
    factors = np.array([len(TONE) / len(f) for f in found])
    assert factors.min() < 1 - MOST_SPEED / 2 and factors.max() > 1 + MOST_SPEED / 2
    assert ((factors > 1 - MOST_SPEED - 1e-3) & (factors < 1 + MOST_SPEED + 1e-3)).all()
    for factor, samples in zip(factors, found, strict=True):
        assert abs(pitch(samples) - 500 * factor) < 2


def test_noise_lies_between_15_and_50_decibels_below() -> None:
    below = []
    for row in range(40):
        noise = perturbed(TONE, ("noise",), 1, row) - TONE
        below.append(10 * np.log10((TONE**2).mean() / (noise**2).mean()))
    assert 14.5 < min(below) < 22 and 43 < max(below) < 50.5


def test_silence_stays_silence() -> None:
    assert not perturbed(np.zeros(500, dtype=np.float32), ("speed", "noise"), 0, 3).any()


def test_what_is_drawn_is_a_function_of_seed_and_row() -> None:
    one = perturbed(TONE, ("speed", "noise"), 4, 7)
    np.testing.assert_array_equal(one, perturbed(TONE, ("speed", "noise"), 4, 7))
    assert len(one) != len(perturbed(TONE, ("speed", "noise"), 4, 8))
    rows = torch.tensor([3, 11, 5])
    assert torch.equal(blanks(("mask",), 4, rows)[1:2], blanks(("mask",), 4, rows[1:2]))
    assert not blanks(("speed",), 4, rows).any()


def test_blanks_are_one_stretch_and_two_bands_of_each_sounds_own_frames() -> None:
    drawn = torch.tensor([[0.5, 0.7, 0.0, 0.1, 0.5, 0.5]])
    values = blanked(torch.ones(1, 20, 40), torch.tensor([10]), drawn, bins=20)
    assert values[0, 5:7].sum() == 0
    assert values[0, :5, 2:20].all() and values[0, 7:, 22:].all()
    assert not values[0, :, :2].any() and not values[0, :, 20:22].any()
    waves = blanked(torch.ones(1, 20), torch.tensor([10]), drawn)
    assert waves[0].tolist() == [1.0] * 5 + [0.0] * 2 + [1.0] * 13
