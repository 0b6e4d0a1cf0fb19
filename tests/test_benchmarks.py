"""The arithmetic of the benchmarks; the benchmarks themselves are run by `make bench`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import equivalence
    import ruler

    return SimpleNamespace(equivalence=equivalence, ruler=ruler)


def test_the_pace_leaves_the_warm_up_out(modules: Any) -> None:
    pace = modules.ruler.timed([0.0, 10.0, 12.0, 14.0], [5, 100, 200], warm=1)
    assert (pace.tokens, pace.seconds, pace.rate) == (300, 4.0, 75.0)


def test_flops_of_a_token(modules: Any) -> None:
    import torch

    lengths = torch.tensor([10, 30])  # a token's row has (10 * 10 + 30 * 30) / 40 = 25 tokens on average
    attention = 12 * 2 * 8 * 25
    assert modules.ruler.flops_per_token(1000, 0, 2, 8, lengths, full=True) == 6000 + attention
    assert modules.ruler.flops_per_token(1000, 50, 2, 8, lengths, full=False) == 4000 + 300 + attention


def test_equal_answers_show_equivalence_only_with_enough_rows(modules: Any) -> None:
    few, many = np.ones((5, 40)), np.ones((5, 4000))
    assert not modules.equivalence.difference(few, few, 0.3).shown
    assert modules.equivalence.difference(many, many, 0.3).shown


def test_a_difference_beyond_the_margin_is_never_equal(modules: Any) -> None:
    mine, theirs = np.ones((5, 4000)), np.ones((5, 4000))
    mine[:, :80] = 0  # two points worse for every seed
    found = modules.equivalence.difference(mine, theirs, 0.3)
    assert (round(found.points, 6), found.shown, found.seeds_needed) == (-2.0, False, None)
    assert "NOT equal within 0.3" in found.sentence()


def test_the_interval_covers_what_other_seeds_say(modules: Any) -> None:
    drawn = np.random.default_rng(0)
    mine = np.stack([drawn.random(2000) < p for p in (0.80, 0.84, 0.78, 0.82, 0.86)])
    theirs = np.stack([drawn.random(2000) < 0.82 for _ in range(5)])
    found = modules.equivalence.difference(mine, theirs, 0.3)
    assert not found.shown
    assert found.high - found.low == pytest.approx(2 * max(found.over_seeds, found.over_rows))
    assert found.seeds_needed is None or found.seeds_needed > 5


def test_sets_together_are_judged_more_sharply(modules: Any) -> None:
    drawn = np.random.default_rng(1)
    sets = []
    for _ in range(4):
        theirs = drawn.random((5, 3000)) < 0.9
        flipped = drawn.random(theirs.shape) < 0.02
        sets.append(modules.equivalence.difference(theirs ^ flipped & (drawn.random(theirs.shape) < 0.5), theirs, 0.3))
    together = modules.equivalence.pooled(sets, 0.3)
    assert together.high - together.low < min(d.high - d.low for d in sets)
    assert together.rows == 12000
