"""What every task, backbone, baseline and method must do where the answers are texts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sartor.bundle import Bundle, save_baseline, save_network
from sartor.data.rows import Rows
from sartor.engine.features import outputs
from sartor.engine.train import Run
from sartor.errors import BadInput
from sartor.part import names, part, part_from_json
from sartor.predictions import LOWER_IS_BETTER, Predictions
from sartor.recipe import Plan, Recipe
from spoken_samples import told, translated
from tiny_runs import begun, same_bits, steps, weights

REFUSED = re.compile(r"error\[\w+\]: .+ Fix: .+\.$")
SAMPLES: dict[str, Callable[[int, int], Rows]] = {"translation": translated, "causal_lm": told}
SHORT = {"translation": "translation:num_beams=1,max_new_tokens=12", "causal_lm": "causal_lm:max_new_tokens=8"}
NETWORKS = {
    "translation": "seq2seq:vocabulary=320,max_length=32,dropout=0",
    "causal_lm": "gpt:block_size=24",
}
UNFIT = {"probe", "contrastive"}
"""Methods that live of a head of its own, or of classes."""


def learned(task: str, rows: Rows) -> tuple[Any, Any]:
    """The task and its backbone, both with what the rows know."""
    return part("tasks", SHORT[task]).learn(rows), part("backbones", NETWORKS[task]).learn(rows)  # type: ignore[attr-defined]


def made(task: str, method: str, rows: Rows, **plan: Any) -> Recipe:
    asked, backbone = learned(task, rows)
    moving: Any = part("methods", method)
    settings = {"per_device_train_batch_size": 8, "max_steps": 4, "precision": "fp32", "learning_rate": 1e-3, **plan}
    objective: Any = part("objectives", moving.objective)
    return Recipe(task=asked, backbone=backbone, method=moving, objective=objective, plan=Plan(**settings)).settled()


@pytest.fixture(scope="module", params=SAMPLES)
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@dataclass
class Trained:
    recipe: Recipe
    run: Run
    before: dict[str, torch.Tensor]
    losses: list[float]
    rows: Rows
    held: Rows


@pytest.fixture(scope="module", params=[(t, m) for t in SAMPLES for m in names("methods")], ids="-".join)
def trained(request: pytest.FixtureRequest) -> Trained:
    name, method = request.param
    rows, held = SAMPLES[name](24, 0), SAMPLES[name](6, 1)
    said = ""
    try:
        recipe = made(name, method, rows)
        run, encoded = begun(recipe, rows)
    except BadInput as refused:
        said = str(refused)
    if said:
        assert REFUSED.search(said), said
        pytest.skip(said)
    assert method not in UNFIT
    before = weights(run)
    losses = [] if run.state is None else [s.loss for s in steps(run, encoded)]
    return Trained(recipe, run, before, losses, rows, held)


def test_a_method_trains(trained: Trained) -> None:
    assert all(np.isfinite(trained.losses)) and trained.losses
    assert trained.run.net.trainable()


def test_what_a_method_does_not_move_is_the_same_bits(trained: Trained) -> None:
    after, moving = weights(trained.run), trained.run.net.trainable()
    shared = {id(w) for w in moving.values()}
    state = trained.run.net.state_dict(keep_vars=True)
    frozen = {n for n in after if n not in moving and id(state[n]) not in shared}
    assert same_bits({n: trained.before[n] for n in frozen}, {n: after[n] for n in frozen})


def test_saved_and_loaded_it_says_the_same(trained: Trained, tmp_path: Path) -> None:
    net, recipe, held = trained.run.net, trained.recipe, trained.held
    expected = recipe.task.answer(outputs(net, recipe.task.encode(held, net.body), say=recipe.task.say), held)
    expected = recipe.task.complete(expected, net, held)
    folder = save_network(tmp_path / "bundle", net, recipe, trained.rows.schema, {}, "# x\n")
    said = Bundle.load(folder).answer(held)
    np.testing.assert_allclose(said.measures["cost"], expected.measures["cost"], rtol=1e-4)
    assert list(said.values) == list(expected.values)


def test_a_task_learns_what_the_rows_say(task: str) -> None:
    rows, held = SAMPLES[task](120, 0), SAMPLES[task](40, 1)
    recipe = made(task, "full", rows, max_steps=150, learning_rate=3e-3, per_device_train_batch_size=32)
    run, encoded = begun(recipe, rows)
    body = run.net.body

    def scored() -> Any:
        said = recipe.task.answer(outputs(run.net, recipe.task.encode(held, body), say=recipe.task.say), held)
        return recipe.task.score(recipe.task.complete(said, run.net, held), held).metrics

    first = scored()
    list(steps(run, encoded))
    last = scored()
    assert last["bits_per_byte"] < 0.5 * first["bits_per_byte"]
    if task == "translation":
        assert last["bleu"] > 0.9 > first["bleu"]


def test_rows_are_answered_one_by_one_as_together(task: str) -> None:
    rows = SAMPLES[task](12, 0)
    recipe = made(task, "full", rows)
    run, _ = begun(recipe, rows)
    batch = recipe.task.encode(rows, run.net.body)
    whole = recipe.task.answer(outputs(run.net, batch, say=recipe.task.say), rows)
    one = rows.take([5])
    alone = recipe.task.answer(outputs(run.net, recipe.task.encode(one, run.net.body), say=recipe.task.say), one)
    np.testing.assert_allclose(alone.measures["cost"], whole.measures["cost"][5:6], rtol=1e-4)
    assert recipe.task.encode(rows.untargeted(), run.net.body).targets is None or task == "causal_lm"


def test_rows_without_a_target_are_said(task: str) -> None:
    rows = SAMPLES[task](6, 0)
    recipe = made(task, "full", rows)
    run, _ = begun(recipe, rows)
    asked = rows.untargeted()
    batch = recipe.task.encode(asked, run.net.body)
    said = recipe.task.complete(recipe.task.answer(outputs(run.net, batch, say=recipe.task.say), asked), run.net, asked)
    assert [type(text) for text in said.values] == [str] * 6
    assert [row["prediction"] for row in recipe.task.telling.told(said, asked)] == list(said.values)
    with pytest.raises(BadInput, match="EVAL_NO_LABELS"):
        recipe.task.score(said, asked)


def test_the_evidence_averages_to_the_metric_and_metrics_follow_the_rows(task: str) -> None:
    rows = SAMPLES[task](10, 0)
    asked, _ = learned(task, rows)
    cost = np.linspace(1, 20, len(rows))
    said = Predictions(
        rows.numbers, np.array(rows.targets(), dtype=object), measures={"cost": cost, "tokens": cost + 1}
    )
    scores = asked.score(said, rows)
    assert set(scores.metrics) == set(asked.metrics())
    assert scores.headline == asked.metrics()[0]
    for name, items in scores.items.items():
        assert items.mean() == pytest.approx(scores.metrics[name])
    half = np.arange(5)
    for name in asked.metrics():
        part_of = asked.score(said.take(half), rows.take(half)).metrics[name]
        if name not in scores.items:  # a mean over all rows is in units of all of them
            assert asked.metric(name, said, rows)(half) == pytest.approx(part_of)
        assert asked.metric(name, said, rows)(np.arange(10)) == pytest.approx(scores.metrics[name])


def test_a_right_text_scores_best_and_another_does_not() -> None:
    rows = translated(40)
    asked, _ = learned("translation", rows)
    right = np.array(rows.targets(), dtype=object)
    best = asked.score(Predictions(rows.numbers, right), rows).metrics
    worse = asked.score(Predictions(rows.numbers, np.roll(right, 1)), rows).metrics
    assert best == pytest.approx({"bleu": 1.0, "chrf": 1.0})
    assert all(worse[name] < 0.9 for name in worse)
    assert not set(best) & LOWER_IS_BETTER


def test_settings_survive(task: str) -> None:
    asked, backbone = learned(task, SAMPLES[task](30, 0))
    for shelf, one in (("tasks", asked), ("backbones", backbone)):
        assert part_from_json(shelf, json.loads(json.dumps(one.to_json()))) == one


def test_a_backbone_is_built_the_same_twice_and_fresh_weights_are_others(task: str) -> None:
    asked, backbone = learned(task, SAMPLES[task](30, 0))
    one, two, fresh = (backbone.build(asked.layout, fresh=f).eval() for f in (False, False, True))
    assert same_bits(one.state_dict(), two.state_dict())
    assert not same_bits(one.state_dict(), fresh.state_dict())
    assert one.blocks() and one.linears() and one.layout() == "packed"


@pytest.mark.parametrize("name", ["copy_source", "lexicon", "ngram"])
def test_a_baseline_says_the_same_after_it_was_saved(name: str, tmp_path: Path) -> None:
    which = "causal_lm" if name == "ngram" else "translation"
    rows, held = SAMPLES[which](60, 0), SAMPLES[which](9, 1)
    asked, _ = learned(which, rows)
    baseline: Any = part("baselines", name)
    assert baseline.answers(asked)
    assert not any(baseline.answers(learned(other, SAMPLES[other](30, 0))[0]) for other in SAMPLES if other != which)
    fitted = baseline.fit(asked, rows, 0)
    folder = save_baseline(tmp_path / "bundle", asked, baseline, fitted, rows.schema, {}, "# x\n")
    for asked_rows in (held, held.untargeted()):
        one, two = fitted.predict(asked_rows), Bundle.load(folder).answer(asked_rows)
        assert list(one.values) == list(two.values)
        assert one.measures.keys() == two.measures.keys()
        for measure, values in one.measures.items():
            np.testing.assert_allclose(values, two.measures[measure])
    if name == "lexicon":
        assert asked.score(fitted.predict(held), held).metrics["chrf"] > 0.6


def test_texts_and_measures_survive_a_file(tmp_path: Path) -> None:
    said = Predictions(
        np.arange(3), np.array(["a 🙂", "", None], dtype=object), measures={"cost": np.array([1.5, 2, 3])}
    )
    said.save(tmp_path / "p.parquet")
    again = Predictions.load(tmp_path / "p.parquet")
    assert list(again.values) == ["a 🙂", "", None]
    assert list(again.measures["cost"]) == [1.5, 2, 3]
    assert list(replace(said, rows=said.rows).take(np.array([2, 0])).measures["cost"]) == [3, 1.5]


def test_conversations_are_learned_from_a_fresh_start() -> None:
    from spoken_samples import talked

    rows, held = talked(80, 0), talked(20, 1)
    backbone: Any = part("backbones", "gpt:block_size=48")
    asked: Any = part("tasks", "causal_lm:max_new_tokens=20")
    plan = Plan(per_device_train_batch_size=16, max_steps=120, precision="fp32", learning_rate=5e-3)
    parts: Any = {"method": part("methods", "full"), "objective": part("objectives", "supervised")}
    recipe = Recipe(task=asked.learn(rows), backbone=backbone.learn(rows), plan=plan, **parts).settled()
    run, encoded = begun(recipe, rows)
    list(steps(run, encoded))
    said = recipe.task.answer(outputs(run.net, recipe.task.encode(held, run.net.body), say=recipe.task.say), held)
    assert recipe.task.score(said, held).metrics["bits_per_byte"] < 1.0
    body: Any = run.net.body
    answers = body.say({"messages": [talk[:1] for talk in held.column("messages")]}, _search(20), range(20))
    right = [talk[1]["content"] for talk in held.column("messages")]
    assert sum(a.strip() == b for a, b in zip(answers, right, strict=True)) > 10


def _search(most: int) -> Any:
    from sartor.pretrained.speaking import Search

    return Search(most)
