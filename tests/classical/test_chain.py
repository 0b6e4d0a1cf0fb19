"""Linear chains against every path written out, in 64 bits."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest

from sartor.classical.chain import FORBIDDEN, expected, legal, path_scores, step_counts, viterbi
from sartor.predictions import Floats

LENGTHS = np.array([3, 0, 1, 5, 2, 5])
STATES = 3


@dataclass(frozen=True)
class Chain:
    emissions: Floats
    transitions: Floats

    def paths(self, row: int) -> list[tuple[float, tuple[int, ...]]]:
        """Every path of a row with its score."""
        start = int(LENGTHS[:row].sum())
        return [(self.score(start, path), path) for path in itertools.product(range(STATES), repeat=int(LENGTHS[row]))]

    def score(self, start: int, path: tuple[int, ...]) -> float:
        came = (-1, *path)[: len(path)]
        return sum(
            self.emissions[start + t, y] + self.transitions[x + 1, y]
            for t, (x, y) in enumerate(zip(came, path, strict=True))
        )


@pytest.fixture(params=[0, 1, 2], ids=["free", "steep", "forbidden"])
def chain(request: pytest.FixtureRequest) -> Chain:
    draw = np.random.default_rng(request.param)
    scale = 20.0 if request.param == 1 else 1.0
    transitions = scale * draw.normal(size=(STATES + 1, STATES))
    if request.param == 2:
        transitions = transitions + legal(("O", "B-A", "I-A"))
    return Chain(scale * draw.normal(size=(int(LENGTHS.sum()), STATES)), transitions)


def test_the_best_path(chain: Chain) -> None:
    found = np.split(viterbi(chain.emissions, chain.transitions, LENGTHS), np.cumsum(LENGTHS)[:-1])
    for row, path in enumerate(found):
        assert tuple(path.tolist()) == max(chain.paths(row))[1]


def test_sums_states_and_steps(chain: Chain) -> None:
    found = expected(chain.emissions, chain.transitions, LENGTHS)
    states, steps = np.zeros((int(LENGTHS.sum()), STATES)), np.zeros((STATES + 1, STATES))
    for row, start in enumerate(np.cumsum(LENGTHS) - LENGTHS):
        scores = np.array([score for score, _ in chain.paths(row)])
        total = np.logaddexp.reduce(scores)
        assert found.log_sums[row] == pytest.approx(total, abs=1e-9)
        for score, path in chain.paths(row):
            share = np.exp(score - total)
            for t, y in enumerate(path):
                states[start + t, y] += share
                steps[path[t - 1] + 1 if t else 0, y] += share
    np.testing.assert_allclose(found.states, states, atol=1e-9)
    np.testing.assert_allclose(found.steps, steps, atol=1e-9)


def test_a_path_s_score_and_its_steps(chain: Chain) -> None:
    path = np.random.default_rng(9).integers(0, STATES, size=int(LENGTHS.sum()))
    starts = np.cumsum(LENGTHS) - LENGTHS
    rows = [tuple(path[a : a + n].tolist()) for a, n in zip(starts, LENGTHS, strict=True)]
    found = path_scores(chain.emissions, chain.transitions, LENGTHS, path)
    np.testing.assert_allclose(found, [chain.score(int(a), row) for a, row in zip(starts, rows, strict=True)])
    counts = step_counts(path, LENGTHS, STATES)
    assert counts.sum() == LENGTHS.sum()
    assert counts[0].sum() == (LENGTHS > 0).sum()


def test_steps_that_iob2_allows() -> None:
    tags = ("O", "B-A", "I-A", "B-B", "I-B")
    allowed = legal(tags) == 0
    for i, before in enumerate(("", *tags)):
        for j, tag in enumerate(tags):
            fits = tag[0] != "I" or (before[:1] in ("B", "I") and before[2:] == tag[2:])
            assert allowed[i, j] == fits, (before, tag)
    assert set(legal(tags).ravel()) == {0.0, FORBIDDEN}


def test_no_rows_and_no_tokens() -> None:
    none, transitions = np.zeros((0, STATES)), np.zeros((STATES + 1, STATES))
    for lengths in (np.zeros(0, dtype=np.int64), np.zeros(2, dtype=np.int64)):
        assert viterbi(none, transitions, lengths).shape == (0,)
        found = expected(none, transitions, lengths)
        assert found.log_sums.tolist() == [0.0] * len(lengths)
        assert found.states.shape == (0, STATES)


def test_extremes_stay_numbers() -> None:
    emissions = np.array([[0.0, 3000.0, -3000.0], [2000.0, 0.0, 0.0]])
    found = expected(emissions, legal(("O", "B-A", "I-A")), np.array([2]))
    assert np.isfinite(found.log_sums).all()
    np.testing.assert_allclose(found.states.sum(1), 1)
