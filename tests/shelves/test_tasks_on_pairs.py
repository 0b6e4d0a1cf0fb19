"""What every baseline of pairs and every method must do where the two sides of a pair are asked about."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from pair_samples import captioned, graded, matched
from sartor.baseline import Baseline, Fitted, State
from sartor.bundle import Bundle, save_network
from sartor.data.rows import Rows
from sartor.engine.features import outputs
from sartor.errors import BadInput
from sartor.part import names, part, part_class, part_from_json
from sartor.recipe import Plan, Recipe
from sartor.task import Task
from sartor.tasks.classification import Classification
from text_samples import labelled
from tiny_runs import begun, same_bits, steps, weights

REFUSED = re.compile(r"error\[\w+\]: .+ Fix: .+\.$")
SAMPLES: dict[str, Any] = {"texts": matched, "scores": graded, "texts and images": captioned}
PAIRING = [n for n in names("baselines") if "sides" in getattr(part_class("baselines", n), "layouts", ())]


def baseline(name: str) -> Baseline:
    found = part("baselines", name)
    assert isinstance(found, Baseline)
    return found


def task_of(rows: Rows) -> Task:
    found = part("tasks", "matching")
    assert isinstance(found, Task)
    return found.learn(rows)


def able(name: str, sample: str) -> bool:
    rows = SAMPLES[sample](2)
    made = baseline(name)
    kinds = {rows.schema.kind(n) for n in rows.schema.inputs}
    return made.fits(kinds) and task_of(SAMPLES[sample](20)).reading.covers(made.reads, rows.schema)


@dataclass(frozen=True)
class Case:
    baseline: Baseline
    task: Task
    held: Rows
    fitted: Fitted


@pytest.fixture(scope="module", params=[(n, s) for n in PAIRING for s in SAMPLES if able(n, s)], ids="-".join)
def case(request: pytest.FixtureRequest, tiny_encoder: Path) -> Case:
    name, sample = request.param
    made = baseline(name)
    if hasattr(made, "backbone"):
        made = made.with_settings(backbone=part("backbones", f"encoder:path={tiny_encoder},pooling=mean"))
    rows = SAMPLES[sample](60, 0)
    return Case(made, task_of(rows), SAMPLES[sample](30, 1), made.fit(task_of(rows), rows, 0))


def same(a: Any, b: Any) -> bool:
    beside = all(np.array_equal(values, b.measures[name], equal_nan=True) for name, values in a.measures.items())
    return beside and np.array_equal(a.values, b.values, equal_nan=True) and list(a.rows) == list(b.rows)


def test_every_sample_has_two_baselines_and_chance() -> None:
    for sample in SAMPLES:
        assert len([n for n in PAIRING if able(n, sample)]) >= 2


def test_the_task_can_score_it(case: Case) -> None:
    scores = case.task.score(case.fitted.predict(case.held), case.held)
    assert set(scores.metrics) == set(case.task.metrics())
    assert all(np.isfinite(value) for value in scores.metrics.values())
    for name, items in scores.items.items():
        assert items.mean() == pytest.approx(scores.metrics[name])


def test_it_is_no_worse_than_chance(case: Case) -> None:
    blind = baseline("chance").fit(case.task, case.held)
    found, least = (case.task.score(f.predict(case.held), case.held).metrics for f in (case.fitted, blind))
    headline = case.task.metrics()[0]
    assert found[headline] >= least[headline] - 0.05


def test_it_is_restored_without_a_pickle_and_answers_the_same(case: Case, tmp_path: Path) -> None:
    state = case.fitted.state()
    save_file({k: np.ascontiguousarray(v) for k, v in state.arrays.items()}, tmp_path / "a.safetensors")
    read = State(json.loads(json.dumps(state.values, allow_nan=False)), load_file(tmp_path / "a.safetensors"))
    again = part_from_json("baselines", json.loads(json.dumps(case.baseline.to_json())))
    assert isinstance(again, Baseline)
    assert again == case.baseline
    assert same(again.restore(case.task, read).predict(case.held), case.fitted.predict(case.held))


def test_a_side_that_is_empty_is_answered_with_nothing(case: Case) -> None:
    name = case.held.schema.inputs[1]
    holed = {**case.held.columns, name: [None, *case.held.columns[name][1:]]}
    rows = Rows(case.held.schema, holed, case.held.numbers, case.held.lines, case.held.source)
    said = case.fitted.predict(rows)
    assert np.isnan(said.values[0])
    assert np.isfinite(said.values[1:]).all()


def test_a_baseline_of_pairs_says_what_it_is_for() -> None:
    rows = labelled(20)
    with pytest.raises(BadInput, match=r"BASELINE_TASK.*pairs"):
        baseline("chance").fit(Classification().learn(rows), rows)


TEXT = "encoder:path={},pooling=mean"
BOTH = "fusion:of=(encoder:path={},pooling=mean)+(convnet:size=tiny,image_size=32),width=16"
NETWORKS = {"texts": TEXT, "scores": TEXT, "texts and images": BOTH}


@pytest.mark.parametrize("method", names("methods"))
@pytest.mark.parametrize("sample", NETWORKS)
def test_every_method_trains_or_is_refused_and_a_saved_network_answers_the_same(
    method: str, sample: str, tiny_encoder: Path, tmp_path: Path
) -> None:
    rows, held = SAMPLES[sample](24), SAMPLES[sample](10, 1)
    moving: Any = part("methods", method)
    parts: Any = {"backbone": part("backbones", NETWORKS[sample].format(tiny_encoder)), "method": moving}
    plan = Plan(per_device_train_batch_size=8, max_steps=3, precision="fp32", learning_rate=1e-3)
    said = ""
    try:
        aim: Any = part("objectives", moving.objective)
        recipe = Recipe(task=task_of(rows), objective=aim, plan=plan, **parts).settled()
        run, encoded = begun(recipe, rows)
    except BadInput as refused:
        said = str(refused)
    if said:
        assert REFUSED.search(said)
        assert sample == "texts and images" or method == "contrastive"
        pytest.skip(said)
    before = weights(run)
    losses = [] if run.state is None else [step.loss for step in steps(run, encoded)]
    assert np.isfinite(losses).all()
    after, moved = weights(run), run.net.trainable()
    frozen = [n for n, _ in run.net.named_parameters() if n not in moved]
    assert same_bits({n: before[n] for n in frozen}, {n: after[n] for n in frozen})
    expected = recipe.task.answer(outputs(run.net, recipe.task.encode(held, run.net.body)), held)
    folder = save_network(tmp_path / "bundle", run.net, recipe, rows.schema, {}, "# x\n")
    np.testing.assert_allclose(Bundle.load(folder).answer(held).values, expected.values, rtol=0, atol=1e-4)
