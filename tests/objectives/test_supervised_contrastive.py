"""The supervised contrastive loss against its formula, written out with loops in float64."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sartor.errors import BadInput
from sartor.objectives.supervised_contrastive import SupervisedContrastive, alike, attraction
from sartor.part import part
from text_samples import labelled, measured, tagged, task_of
from tiny_runs import begun, recipe


def written_out(features: Tensor, classes: list[int], temperature: float) -> list[float]:
    """Khosla et al. 2020, equation 2 (the sum outside of the logarithm)."""
    f = (features / features.norm(dim=1, keepdim=True)).tolist()
    found = []
    for i in range(len(f)):
        scores = {k: sum(a * b for a, b in zip(f[i], f[k], strict=True)) / temperature for k in range(len(f)) if k != i}
        below = math.log(sum(math.exp(s) for s in scores.values()))
        same = [k for k in scores if classes[k] == classes[i]]
        found.append(-sum(scores[k] - below for k in same) / len(same) if same else 0.0)
    return found


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_it_is_the_formula(temperature: float) -> None:
    features = torch.randn(9, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    classes = [0, 1, 2, 0, 1, 0, 3, 2, 2]  # the 3 is alone
    known = torch.nn.functional.one_hot(torch.tensor(classes)).double()
    unit = torch.nn.functional.normalize(features, dim=-1)
    found = attraction(unit, alike(known), temperature)
    torch.testing.assert_close(found, torch.tensor(written_out(features, classes, temperature), dtype=torch.float64))
    assert float(found[6]) == 0.0


def test_its_gradient_is_finite_where_a_row_is_alone_or_has_twins() -> None:
    unit = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    attraction(unit, alike(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])), 0.1).sum().backward()
    assert unit.grad is not None
    assert unit.grad.isfinite().all()


def test_rows_with_several_classes_are_as_like_as_the_share_they_have_in_common() -> None:
    known = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    expected = torch.tensor([[0.0, 0.5, 0.0, 0.0], [0.5, 0.0, 0.0, 0.0], [0.0] * 4, [0.0] * 4])
    assert torch.equal(alike(known), expected)


def test_in_a_network_it_is_the_formula_on_its_features(tiny_encoder: Path) -> None:
    rows = labelled(12)
    run, encoded = begun(recipe(tiny_encoder, rows, "contrastive", max_steps=1), rows)
    with torch.no_grad():
        found = run.recipe.objective(run.net, run.recipe.task, encoded)
        features = run.net.body(encoded)
    assert encoded.targets is not None
    expected = written_out(features.double(), encoded.targets.tolist(), 0.1)
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-4)


def test_groups_are_classes_and_the_rarest_where_there_are_several(tiny_encoder: Path) -> None:
    objective = SupervisedContrastive()
    rows = labelled(12)
    _, encoded = begun(recipe(tiny_encoder, rows, max_steps=1), rows)
    assert encoded.targets is not None
    assert torch.equal(objective.groups(task_of(rows), encoded), encoded.targets)
    many = tagged(60)
    _, encoded = begun(recipe(tiny_encoder, many, max_steps=1), many)
    task, known = task_of(many), encoded.targets
    assert known is not None
    found = objective.groups(task, encoded)
    counts = known.sum(0)
    for row, group in zip(known, found.tolist(), strict=True):
        own = [i for i in range(3) if row[i]]
        assert group == (min(own, key=lambda i: float(counts[i])) if own else 3)


def test_a_task_without_classes_is_refused(tiny_encoder: Path) -> None:
    with pytest.raises(BadInput) as raised:
        recipe(tiny_encoder, measured(10), "contrastive", max_steps=1)
    assert str(raised.value) == (
        "error[OBJECTIVE_TASK]: supervised_contrastive learns from a target of kind category or boolean or labels, and "
        "regression predicts number. Fix: choose a method that descends the task's own loss: full, lora or probe."
    )


@pytest.mark.parametrize("value", ["0", "11"])
def test_a_temperature_out_of_range_is_refused(value: str) -> None:
    with pytest.raises(BadInput) as raised:
        part("objectives", f"supervised_contrastive:temperature={value}")
    assert str(raised.value) == (
        f"error[VALUE_RANGE]: supervised_contrastive.temperature is {value}. Fix: give one above 0 and at most 10."
    )
