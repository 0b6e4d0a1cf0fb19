"""The distillation loss against its formula, and runs that learn from a teacher's bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sartor.bundle import save_network
from sartor.engine.recover import TAUGHT, by_row, by_unit
from sartor.errors import BadInput
from sartor.objectives.distillation import Distillation
from text_samples import TOPICS, labelled, task_of
from tiny_runs import begun, recipe, steps

ROWS = labelled(48)


def test_it_is_the_formula(tiny_encoder: Path) -> None:
    run, encoded = begun(recipe(tiny_encoder, ROWS, "full", max_steps=1), ROWS)
    torch.manual_seed(0)
    taught = torch.randn(len(encoded), 3)
    batch = replace(encoded, dense={TAUGHT: by_row(encoded, taught)})
    with torch.no_grad():
        found = Distillation(temperature=3.0, soft=0.7)(run.net, run.recipe.task, batch).double()
        said = run.net(encoded).double()
    p, q = (taught.double() / 3).softmax(-1), (said / 3).softmax(-1)
    soft = 9 * (p * (p.log() - q.log())).sum(-1)
    hard = -said.log_softmax(-1)[torch.arange(len(encoded)), encoded.targets]
    torch.testing.assert_close(found, 0.7 * soft + 0.3 * hard, rtol=1e-4, atol=1e-5)


def test_of_rows_with_several_vectors_each_finds_its_own(tiny_encoder: Path) -> None:
    _, encoded = begun(recipe(tiny_encoder, ROWS, "full", max_steps=1), ROWS)
    counts = torch.arange(len(encoded)) % 4 + 1
    several = replace(encoded, counts=counts, targets=None)
    said = torch.randn(int(counts.sum()), 5)
    kept = replace(several, dense={TAUGHT: by_row(several, said)})
    assert torch.equal(by_unit(kept), said)
    where = torch.tensor([7, 2, 11])
    torch.testing.assert_close(by_unit(kept.take(where)), said[several.units(where)])


def test_a_student_comes_nearer_to_its_teacher(tiny_encoder: Path, tmp_path: Path) -> None:
    teacher, encoded = begun(recipe(tiny_encoder, ROWS, "full", max_steps=60, learning_rate=1e-3), ROWS)
    list(steps(teacher, encoded))
    folder = save_network(tmp_path / "teacher", teacher.net, teacher.recipe, ROWS.schema, {}, "")
    told = f"distillation:teacher={folder},soft=1.0"
    made = recipe(tiny_encoder, ROWS, "full", objective=told, max_steps=40, learning_rate=1e-3)
    run, _ = begun(made, ROWS)
    taught = made.objective.taught(made.task, ROWS, encoded)
    losses = [step.loss for step in steps(run, taught)]
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


def test_a_teacher_is_needed_and_must_know_the_task(tiny_encoder: Path, tmp_path: Path) -> None:
    run, encoded = begun(recipe(tiny_encoder, ROWS, "full", max_steps=1), ROWS)
    with pytest.raises(BadInput, match="needs a teacher"):
        Distillation().taught(run.recipe.task, ROWS, encoded)
    folder = save_network(tmp_path / "teacher", run.net, run.recipe, ROWS.schema, {}, "")
    two = labelled(16, labels=tuple(TOPICS)[:2])
    with pytest.raises(BadInput, match="does not predict the same"):
        Distillation(teacher=str(folder)).taught(task_of(two), two, encoded)


@pytest.mark.parametrize("settings", [{"temperature": 0.0}, {"soft": 0.0}, {"soft": 1.5}])
def test_ranges(settings: dict[str, float]) -> None:
    with pytest.raises(BadInput):
        Distillation(**settings)
