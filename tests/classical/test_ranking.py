"""Rankings and the models behind them, against slow and independent ways of saying the same."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from item_samples import ITEMS, histories, learned, wandering
from sartor.baselines.ease import Ease, FittedEase, weights
from sartor.baselines.item_knn import FittedNeighbours, ItemKNN, similar
from sartor.baselines.markov import FittedMarkov, Markov
from sartor.classical.ranking import NOWHERE, Ranking, Trial, drawn, gains, lines_of, matrix
from sartor.errors import BadInput
from sartor.predictions import Predictions

DRAW = np.random.default_rng(0)
LINES = [DRAW.permutation(12)[: DRAW.integers(2, 9)].astype(np.int64) for _ in range(60)]


def had() -> Any:
    found = np.zeros((len(LINES), 12))
    for row, line in zip(found, LINES, strict=True):
        row[line] = 1.0
    return found


def test_ranks_and_what_they_are_worth_by_going_through_all_items() -> None:
    rows = wandering(30)
    task: Any = learned(rows, k=4)
    scores = np.random.default_rng(3).integers(0, 4, (30, len(task.items))).astype(float)  # many are equally good
    said = Ranking.of(task).answers(rows, scores)
    found = task.score(said, rows)
    turn, worth = drawn(len(task.items)), {"ndcg_at_4": 0.0, "hit_rate_at_4": 0.0, "mrr": 0.0, "log_loss": 0.0}
    for i in range(30):
        before, after = set(rows.columns["items"][i]), rows.columns["next_item"][i][0]
        able = [j for j, item in enumerate(task.items) if item not in before]
        order = sorted(able, key=lambda j: (-scores[i, j], turn[j]))
        assert said.values[i] == tuple(task.items[j] for j in order[:4])
        place = 1 + [task.items[j] for j in order].index(after)
        worth["hit_rate_at_4"] += place <= 4
        worth["ndcg_at_4"] += 1 / math.log2(place + 1) if place <= 4 else 0
        worth["mrr"] += 1 / place
        worth["log_loss"] -= math.log(math.exp(scores[i, order[place - 1]]) / sum(math.exp(scores[i, j]) for j in able))
    assert list(found.metrics) == list(worth)
    assert found.metrics == pytest.approx({name: value / 30 for name, value in worth.items()})
    assert found.unit == "users"


def test_an_item_that_nobody_had_is_never_found() -> None:
    task = learned(wandering(30))
    rows = histories([list(ITEMS[:3])], [["one that nobody had"]])
    ranking = Ranking.of(task)
    said = ranking.answers(rows, np.zeros((1, len(ITEMS))))
    assert ranking.ranks(said, rows).tolist() == [NOWHERE]
    assert {k: v for k, v in task.score(said, rows).metrics.items() if k != "log_loss"} == {
        "ndcg_at_10": 0,
        "hit_rate_at_10": 0,
        "mrr": 0,
    }


def test_what_a_user_had_is_said_only_where_it_may_come_again() -> None:
    rows = histories([list(ITEMS[:3])], [[ITEMS[0]]])
    for repeats in (False, True):
        ranking = Ranking(ITEMS, 20, repeats)
        said = ranking.answers(rows, np.zeros((1, len(ITEMS))))
        assert (ITEMS[0] in said.values[0]) is repeats
        assert len(said.values[0]) == (len(ITEMS) if repeats else len(ITEMS) - 3)
        assert (ranking.ranks(said, rows)[0] == NOWHERE) is not repeats


def test_whoever_had_everything_is_still_answered() -> None:
    said = Ranking(ITEMS, 3, False).answers(histories([list(ITEMS)], [[ITEMS[0]]]), np.zeros((1, len(ITEMS))))
    assert said.probabilities is not None
    assert said.probabilities.sum() == pytest.approx(1.0)


def test_equal_items_are_not_ordered_by_name() -> None:
    assert sorted(drawn(200).tolist()) == list(range(200))
    assert drawn(200).tolist() != list(range(200))


def test_gains_of_ranks() -> None:
    found = gains(np.array([1, 3, 11, NOWHERE]), 10)
    assert found["hit_rate_at_10"].tolist() == [1, 1, 0, 0]
    assert found["ndcg_at_10"] == pytest.approx([1, 0.5, 0, 0])
    assert found["mrr"] == pytest.approx([1, 1 / 3, 1 / 11, 0])


def test_recent_items_count_more() -> None:
    found = matrix([np.array([2, 0, 1])], 4, 0.5).toarray()
    assert found.tolist() == [[0.5, 1.0, 0.25, 0.0]]


def test_ease_is_a_ridge_regression_of_each_item_on_the_others() -> None:
    """The closed form against one least-squares problem for each item (Steck 2019, eq. 8 is their joint solution)."""
    x = had()
    gram = x.T @ x + 7.0 * np.eye(12)
    inverse = np.linalg.inv(gram)
    formula = np.where(np.eye(12) > 0, 0.0, -inverse / np.diag(inverse)[None, :])
    found = weights(LINES, 12, 7.0)
    np.testing.assert_allclose(found, formula, rtol=0, atol=1e-12)
    for j in range(12):
        others = [i for i in range(12) if i != j]
        fitted = Ridge(alpha=7.0, fit_intercept=False, solver="cholesky").fit(x[:, others], x[:, j])
        np.testing.assert_allclose(found[others, j], fitted.coef_, rtol=0, atol=1e-10)


def test_neighbours_are_those_of_the_cosine() -> None:
    x = had()
    cosine = x.T @ x / np.sqrt(np.outer(x.sum(0), x.sum(0)))
    np.fill_diagonal(cosine, 0.0)
    np.testing.assert_allclose(similar(LINES, 12, 12).toarray(), cosine, rtol=0, atol=1e-12)
    few = similar(LINES, 12, 3).toarray()
    for i in range(12):
        kept = np.flatnonzero(few[i])
        assert len(kept) <= 3
        assert few[i][kept].min() >= np.sort(cosine[i])[-3] - 1e-12


def test_the_chain_counts_what_followed() -> None:
    rows = wandering(60)
    task = learned(rows)
    ranking: Any = Ranking.of(task)
    fitted = Markov(strength=2.0).fit(task, rows)
    assert isinstance(fitted, FittedMarkov)
    size, lines = len(ranking.items), lines_of(ranking, rows)
    counts, popular = np.zeros((size, size)), np.full(size, 0.5)
    for line in lines:
        np.add.at(popular, line, 1.0)
        for a, b in pairwise(line.tolist()):
            counts[a, b] += 1
    share = popular / popular.sum()
    expected = (counts + 2.0 * share) / (counts.sum(1, keepdims=True) + 2.0)
    np.testing.assert_allclose(np.exp(fitted.logits(np.arange(size), 2.0)), expected, rtol=1e-12)
    np.testing.assert_allclose(np.exp(fitted.logits(np.array([-1]), 2.0))[0], share, rtol=1e-12)


def test_a_chain_and_neighbours_find_what_follows_around_a_ring() -> None:
    train, held = wandering(140), wandering(40, 1)
    task = learned(train)
    for baseline, least in ((Markov(), 0.99), (ItemKNN(), 0.6)):
        scores = task.score(baseline.fit(task, train).predict(held), held).metrics
        assert scores["ndcg_at_10"] > least


def test_decay_and_scale_are_chosen_on_the_training_users_last_items() -> None:
    rows = wandering(60)
    task = learned(rows)
    fitted: Any = ItemKNN().fit(task, rows)
    assert isinstance(fitted, FittedNeighbours)
    assert fitted.decay < 1.0  # the neighbour of the last item is what follows
    assert ItemKNN(decay=0.33).fit(task, rows).decay == 0.33  # type: ignore[attr-defined]
    chosen: Any = Ease(l2=5.0).fit(task, rows)
    assert isinstance(chosen, FittedEase)
    lines = lines_of(Ranking.of(task), rows)
    trial = Trial.of(lines)
    shorter = matrix(trial.histories, len(ITEMS)) @ weights([line[:-1] for line in lines], len(ITEMS), 5.0)
    assert trial.loss(shorter * chosen.scale) <= min(trial.loss(shorter * chosen.scale * f) for f in (0.5, 2.0))


def test_too_many_items_for_a_closed_form_are_refused() -> None:
    names = [f"i{n}" for n in range(15_010)]
    rows = histories([names[:-1]], [names[-1:]])
    with pytest.raises(BadInput, match=r"EASE_ITEMS\]: .*15,010 items, and takes at most 15,000\. Fix: leave it out"):
        Ease().fit(learned(rows), rows)


@pytest.mark.parametrize("made", [lambda: Ease(l2=0), lambda: ItemKNN(decay=1.5), lambda: ItemKNN(neighbours=0)])
def test_impossible_settings_are_refused(made: Any) -> None:
    with pytest.raises(BadInput, match="VALUE_RANGE"):
        made()


def test_unknown_items_and_empty_histories_are_answered_with_what_suits_everybody() -> None:
    train = wandering(60)
    task = learned(train)
    rows = histories([[], ["one that nobody had"]], [[ITEMS[0]], [ITEMS[0]]])
    for baseline in (Markov(), ItemKNN(), Ease()):
        said: Predictions = baseline.fit(task, train).predict(rows)
        assert said.probabilities is not None
        assert said.values[0] == said.values[1]
        assert np.isfinite(said.probabilities).all()
