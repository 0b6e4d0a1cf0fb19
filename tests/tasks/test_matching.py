"""Matching: its losses against their formulas, its answers, its metrics, what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from pair_samples import graded, matched
from sartor.body import Body
from sartor.data.hints import Hints
from sartor.engine.match_head import START, contrasted, cosines, negatives
from sartor.errors import BadInput
from sartor.part import part
from sartor.predictions import Predictions, better
from sartor.task import claimed, guess
from sartor.tasks.matching import Matching
from text_samples import labelled, table


@pytest.fixture(scope="module")
def body(tiny_encoder: Path) -> Body:
    backbone: Any = part("backbones", f"encoder:path={tiny_encoder},pooling=mean")
    found: Body = backbone.build("sides").eval()
    return found


def outputs(left: np.ndarray, right: np.ndarray) -> torch.Tensor:
    """(2 N, C) both sides in turn."""
    return torch.from_numpy(np.stack([left, right], 1).reshape(2 * len(left), -1)).float()


def test_both_sides_are_read_apart_and_alike(body: Body) -> None:
    rows = matched(6)
    together = body(Matching().learn(rows).encode(rows, body))
    alone = [body.encode({"text": t, "text_pair": t}) for t in (rows.columns["query"], rows.columns["passage"])]
    torch.testing.assert_close(together[0::2], body(alone[0])[0::2], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together[1::2], body(alone[1])[1::2], rtol=1e-4, atol=1e-5)


def test_the_loss_is_the_mean_of_two_cross_entropies() -> None:
    draw = torch.Generator().manual_seed(0)
    a, b = (normalize(torch.randn(5, 8, generator=draw), dim=-1) * 3 for _ in range(2))
    logits = a @ b.T
    by_row, by_column = -logits.log_softmax(1).diagonal(), -logits.log_softmax(0).diagonal()
    everything = torch.ones(5, 5, dtype=torch.bool)
    torch.testing.assert_close(contrasted(torch.stack([a, b], 1).flatten(0, 1), everything), (by_row + by_column) / 2)


def test_equal_partners_are_no_negatives() -> None:
    """With row 2's second side equal to row 0's, each of the two is left out of the other's softmax."""
    draw = torch.Generator().manual_seed(0)
    a, b = (torch.randn(3, 8, generator=draw) for _ in range(2))
    apart = negatives(torch.tensor([1, 2, 3]), torch.tensor([7, 8, 7]))
    assert apart.tolist() == [[False, True, False], [True, False, True], [False, True, False]]
    found = contrasted(torch.stack([a, b], 1).flatten(0, 1), apart)
    kept = (a @ b.T)[:2, :2]
    expected = -(kept.log_softmax(1)[0, 0] + kept.log_softmax(0)[0, 0]) / 2
    torch.testing.assert_close(found[0], expected)


def test_all_partners_equal_leave_nothing_to_learn() -> None:
    same = negatives(torch.zeros(4, dtype=torch.long))
    assert contrasted(torch.randn(8, 3), same).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("settings", [{}, {"group": "together"}])
def test_rows_of_one_group_are_no_negatives_where_that_is_said(settings: dict[str, Any], body: Body) -> None:
    rows = matched(4)
    grouped = replace(rows, columns={**rows.columns, "g": ["x", "x", "y", "z"]})
    column = replace(rows.schema.columns[0], name="g", kind="category")
    grouped = replace(grouped, schema=replace(rows.schema, columns=(*rows.schema.columns, column), group="g"))
    batch = Matching(**settings).learn(grouped).encode(grouped, body)
    apart = negatives(*(batch.dense[key] for key in ("left key", "right key", "group key") if key in batch.dense))
    assert bool(apart[0, 1]) == (not settings)
    assert bool(apart[0, 2])


def test_scores_are_met_by_cosines_on_their_own_range(body: Body) -> None:
    rows = graded(20)
    task = Matching().learn(rows)
    assert (task.scored, task.low, task.high) == (True, 0.0, 3.0)
    batch = task.encode(rows, body)
    some = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    wanted = torch.tensor(rows.columns["score"]) / 3
    torch.testing.assert_close(task.loss(some, batch), (cosines(some) - wanted) ** 2)
    said = task.answer(some, rows)
    np.testing.assert_allclose(said.values, 3 * cosines(some.double()).numpy(), rtol=1e-5)


def test_a_perfect_answer_ranks_first_and_a_shuffled_one_does_not(body: Body) -> None:
    rows, vectors = matched(30), np.eye(30)
    task = Matching().learn(rows)
    best = task.score(task.answer(outputs(vectors, vectors), rows), rows)
    worse = task.score(task.answer(outputs(vectors, np.roll(vectors, 1, 0)), rows), rows)
    assert best.metrics.keys() == worse.metrics.keys() == set(task.metrics())
    assert best.headline == task.metrics()[0] == "mrr"
    assert best.metrics["mrr"] == best.metrics["recall_at_1"] == best.metrics["median_rank"] == 1.0
    assert all(better(name, best.metrics[name], worse.metrics[name]) for name in best.metrics)
    for name, items in best.items.items():
        assert items.mean() == pytest.approx(best.metrics[name])


def test_medians_are_over_queries_not_rows() -> None:
    rows = table({"a": ["x", "x", "x", "y", "z"], "b": list("12345")}, {"a": "text", "b": "text"}, None)
    task = Matching().learn(rows)
    draw = np.random.default_rng(1)
    said = task.answer(outputs(draw.normal(size=(5, 4))[[0, 0, 0, 1, 2]], draw.normal(size=(5, 4))), rows)
    for name in ("median_rank", "back_median_rank"):
        found = task.metric(name, said, rows)(np.arange(5))
        assert found == pytest.approx(task.score(said, rows).metrics[name])


def test_correlations_are_those_of_scipy(body: Body) -> None:
    from scipy.stats import pearsonr, spearmanr

    rows = graded(40)
    task, said = Matching().learn(rows), np.random.default_rng(0).normal(size=40)
    scores = task.score(Predictions(rows.numbers, said), rows)
    known = np.array(rows.columns["score"])
    assert scores.metrics["spearman"] == pytest.approx(spearmanr(said, known).statistic)
    assert scores.losses.mean() == pytest.approx(1 - pearsonr(said, known).statistic)
    assert task.metric("pearson", Predictions(rows.numbers, said), rows)(np.arange(40)) == pytest.approx(
        scores.metrics["pearson"]
    )


def test_the_solved_head_finds_what_features_hide(body: Body) -> None:
    """Half of the features are the pair's own, half are each side's noise, which is larger."""
    rows, draw = matched(200), torch.Generator().manual_seed(0)
    task = Matching().learn(rows)
    own = torch.randn(200, body.width // 2, generator=draw).repeat_interleave(2, 0)
    features = torch.cat([own, 3 * torch.randn(400, body.width - own.shape[1], generator=draw)], 1)
    head, batch = task.head(body), task.encode(rows, body)
    assert float(head.slow.detach()) * 100 == pytest.approx(START, rel=1e-4)
    before = float(task.loss(head(features), batch).detach().mean())
    chosen = task.solve(features, batch, head, 0)
    assert set(chosen) == {"penalty", "held_out_loss"}
    assert float(task.loss(head(features), batch).detach().mean()) < 0.5 * before


def test_smaller_vectors_begin_with_the_main_directions(body: Body) -> None:
    rows = matched(40)
    task = Matching(size=4).learn(rows)
    head, batch = task.head(body), task.encode(rows, body)
    task.solve(body(batch).detach(), batch, head, 0)
    assert head(body(batch)).shape == (80, 4)
    with pytest.raises(BadInput, match=r"matching.size is 999"):
        Matching(size=999).learn(rows).head(body)


def test_it_is_never_guessed_from_a_target_and_claims_only_pairs() -> None:
    assert guess("number") == "regression"
    assert claimed(["Query", "passage"], Hints()) == "matching"
    assert claimed(["image", "caption"], Hints()) == "matching"
    assert claimed(["query", "passage", "label"], Hints()) is None
    assert claimed(["query", "passage"], Hints(target="passage")) is None
    assert claimed(["sentence1", "sentence2"], Hints()) is None


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (labelled(8), "MATCH_SIDES"),
        (table({"a": ["x", ""], "b": ["y", "z"]}, {"a": "text", "b": "text"}, None), "MATCH_EMPTY"),
        (table({"a": ["x", "x"], "b": ["y", "z"]}, {"a": "text", "b": "text"}, None), "MATCH_SAME"),
        (
            table({"a": ["x", "w"], "b": ["y", "z"], "s": [1.0, 1.0]}, {"a": "text", "b": "text", "s": "number"}, "s"),
            "LABEL_SINGLE",
        ),
    ],
)
def test_what_teaches_nothing_is_refused(rows: Any, code: str) -> None:
    with pytest.raises(BadInput) as caught:
        Matching().learn(rows)
    assert caught.value.code == code


def test_rows_without_a_pair_cannot_be_scored() -> None:
    rows = table({"a": ["x", ""], "b": ["", "z"]}, {"a": "text", "b": "text"}, None)
    said = Matching().answer(torch.randn(4, 3), rows)
    with pytest.raises(BadInput, match=r"EVAL_NO_LABELS.*no row has both its sides"):
        Matching().score(said, rows)


def test_what_is_told_names_the_nearest_partners() -> None:
    rows = table({"a": ["x", "y", ""], "b": ["1", "", "3"]}, {"a": "text", "b": "text"}, None)
    told = Matching.telling.told(Matching().answer(outputs(np.eye(3), np.eye(3)), rows), rows)
    assert told[0]["prediction"] == pytest.approx(1.0)
    assert [m["b"] for m in told[0]["matches"]] == ["1", "3"]
    assert told[1]["prediction"] is None
    assert told[2] == {"prediction": None, "matches": []}
