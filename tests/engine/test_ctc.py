"""Against every path there is, written out."""

from __future__ import annotations

from itertools import groupby, product

import numpy as np
import pytest
import torch
from torch import nn

from sartor.engine.ctc import WORST, beam, fit_head, greedy, losses, unlikeliness


def texts(probabilities: np.ndarray) -> dict[tuple[int, ...], float]:
    """Every text and its probability: the sum over the paths that read as it."""
    found: dict[tuple[int, ...], float] = {}
    for path in product(range(probabilities.shape[1]), repeat=len(probabilities)):
        text = tuple(c for c, _ in groupby(path) if c)
        found[text] = found.get(text, 0.0) + float(np.prod(probabilities[np.arange(len(path)), list(path)]))
    return found


@pytest.fixture(params=range(4))
def probabilities(request: pytest.FixtureRequest) -> np.ndarray:
    logits = np.random.default_rng(request.param).standard_normal((6, 4)) * 1.5
    whole: np.ndarray = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return whole


def test_a_loss_is_the_sum_over_all_paths(probabilities: np.ndarray) -> None:
    for text, p in list(texts(probabilities).items())[:40]:
        if text:
            outputs = torch.from_numpy(np.log(probabilities))
            found = losses(outputs, torch.tensor([6]), torch.tensor([[*text, -1, -1]]))
            assert float(found) == pytest.approx(-np.log(p), rel=1e-4)


def test_rows_of_different_lengths_are_scored_as_alone(probabilities: np.ndarray) -> None:
    outputs = torch.from_numpy(np.log(np.concatenate([probabilities, probabilities[:4]])))
    told = torch.tensor([[1, 2, 3], [2, -1, -1]])
    together = losses(outputs, torch.tensor([6, 4]), told)
    alone = [losses(outputs[:6], torch.tensor([6]), told[:1]), losses(outputs[6:], torch.tensor([4]), told[1:, :1])]
    torch.testing.assert_close(together, torch.cat(alone))


def test_too_few_frames_teach_nothing_and_count_much() -> None:
    outputs, told = torch.zeros(2, 4), torch.tensor([[1, 1, 1]])
    assert float(losses(outputs, torch.tensor([2]), told)) == 0.0
    assert float(unlikeliness(torch.log_softmax(outputs, -1), torch.tensor([2]), told)) == 3 * WORST


def test_greedy_reads_the_likeliest_path() -> None:
    path = [0, 2, 2, 0, 2, 1, 1, 3]
    assert greedy(np.eye(4)[path]).tolist() == [2, 2, 1, 3]
    assert greedy(np.zeros((0, 4))).tolist() == []


def test_a_wide_beam_finds_the_likeliest_text(probabilities: np.ndarray) -> None:
    every = texts(probabilities)
    assert tuple(beam(probabilities, 500).tolist()) == max(every, key=lambda t: every[t])


def test_a_head_is_fitted_from_frames_that_are_not_aligned() -> None:
    draw = torch.Generator().manual_seed(0)
    told = torch.randint(1, 4, (20, 3), generator=draw)
    frames = torch.stack([told, torch.zeros_like(told)], 2).flatten(1)  # a letter, a blank, a letter, ...
    features = torch.eye(4)[frames.flatten()] + 0.1 * torch.randn(120, 4, generator=draw)
    head = nn.Linear(4, 4)
    fit_head(features, torch.full((20,), 6), told, head, 1e-3, 50)
    assert float(losses(head(features).detach(), torch.full((20,), 6), told).mean()) < 0.5
