from __future__ import annotations

import numpy as np
import pytest
import torch

from sartor.pretrained import hearing
from sartor.pretrained.spectrum import FLOOR, log_mel, stretches


def in_64_bits(samples: np.ndarray, bins: int, rate: int) -> np.ndarray:
    """(F, M) by the formula, stretch by stretch, with a Fourier transform that is a sum."""

    def mel(f: float) -> float:
        return 1127 * np.log(1 + f / 700)

    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)) ** 0.85
    turns = np.exp(-2j * np.pi * np.outer(np.arange(257), np.arange(400)) / 512)
    edges = np.linspace(mel(20), mel(rate // 2), bins + 2)
    weights = np.zeros((bins, 257))
    for b in range(bins):
        low, middle, high = edges[b : b + 3]
        for k in range(257):
            at = mel(k * rate / 512)
            if low < at < high:
                weights[b, k] = (at - low) / (middle - low) if at <= middle else (high - at) / (high - middle)
    found = []
    for start in range(0, len(samples) - 399, 160):
        cut = samples[start : start + 400].astype(np.float64) * 32768
        cut = cut - cut.mean()
        cut = cut - 0.97 * np.concatenate([cut[:1], cut[:-1]])
        power = np.abs(turns @ (cut * window)) ** 2
        found.append(np.log(np.maximum(weights @ power, FLOOR)))
    return np.array(found)


@pytest.mark.parametrize(("bins", "rate"), [(80, 16_000), (40, 8_000)])
def test_it_is_the_formula_in_64_bits(bins: int, rate: int) -> None:
    samples = (0.1 * np.random.default_rng(0).standard_normal(2000)).astype(np.float32)
    found = log_mel(torch.from_numpy(samples)[None], bins, rate)[0].numpy()
    np.testing.assert_allclose(found, in_64_bits(samples, bins, rate), atol=2e-4)
    assert len(found) == int(stretches(torch.tensor(2000)))


def test_it_is_what_transformers_extracts() -> None:
    from transformers import SeamlessM4TFeatureExtractor

    draw = np.random.default_rng(1)
    sounds = [(0.1 * draw.standard_normal(n)).astype(np.float32) for n in (9000, 4321)]
    plain = hearing.plain()
    lengths = torch.tensor([len(s) for s in sounds])
    padded = torch.zeros(2, 9000)
    for row, sound in zip(padded, sounds, strict=True):
        row[: len(sound)] = torch.from_numpy(sound)
    found, counts = plain.spectra(padded, lengths)
    expected = SeamlessM4TFeatureExtractor()(sounds, sampling_rate=16_000, return_tensors="pt")
    assert counts.tolist() == expected["attention_mask"].sum(1).tolist()
    for i, count in enumerate(counts.tolist()):
        torch.testing.assert_close(found[i, :count], expected["input_features"][i, :count], rtol=0, atol=1e-3)


def test_silence_is_finite() -> None:
    found, counts = hearing.plain().spectra(torch.zeros(1, 4000), torch.tensor([4000]))
    assert found.isfinite().all()
    assert int(counts) == 11
