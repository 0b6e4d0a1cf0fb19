"""The loss over all pairs of a batch against its formula, written out with loops in float64."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from sartor.errors import BadInput
from sartor.objectives.cosine_pairs import CosinePairs, alike, apart
from text_samples import labelled, measured, tagged, task_of
from tiny_runs import begun, recipe


def written_out(features: Tensor, classes: list[int]) -> float:
    """Half the mean of (cos - 1)^2 over pairs of a class, half that of cos^2 over the others; each pair both ways."""
    f = (features / features.norm(dim=1, keepdim=True)).tolist()
    cosines = {
        (i, j): sum(a * b for a, b in zip(f[i], f[j], strict=True)) for i in range(len(f)) for j in range(len(f))
    }
    like = [(c - 1) ** 2 for (i, j), c in cosines.items() if i != j and classes[i] == classes[j]]
    other = [c**2 for (i, j), c in cosines.items() if classes[i] != classes[j]]
    return (sum(like) / max(1, len(like)) + sum(other) / max(1, len(other))) / 2


@pytest.mark.parametrize("classes", [[0, 1, 2, 0, 1, 0, 3, 2, 2], [0, 0, 0], [0, 1, 2], [0]])
def test_it_is_the_formula(classes: list[int]) -> None:
    """With a class of one row, one class alone, no like pair at all, one row alone."""
    features = torch.randn(len(classes), 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    known = torch.nn.functional.one_hot(torch.tensor(classes)).double()
    found = apart(torch.nn.functional.normalize(features, dim=-1), alike(known))
    assert found.shape == (len(classes),)
    assert float(found.mean()) == pytest.approx(written_out(features, classes), rel=1e-9)


def test_it_is_zero_where_classes_are_at_right_angles() -> None:
    unit = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    found = apart(unit, alike(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])))
    assert found.tolist() == [0.0, 0.0, 0.0]
    found.sum().backward()
    assert unit.grad is not None
    assert unit.grad.isfinite().all()


def test_rows_with_several_classes_are_as_like_as_the_share_they_have_in_common() -> None:
    known = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    expected = torch.tensor([[1.0, 0.5, 0.0, 0.0], [0.5, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0] * 4])
    assert torch.equal(alike(known), expected)


def test_in_a_network_it_is_the_formula_on_its_features(tiny_encoder: Path) -> None:
    rows = labelled(12)
    run, encoded = begun(recipe(tiny_encoder, rows, "contrastive", max_steps=1), rows)
    with torch.no_grad():
        found = run.recipe.objective(run.net, run.recipe.task, encoded)
        features = run.net.body(encoded)
    assert encoded.targets is not None
    assert float(found.mean()) == pytest.approx(written_out(features.double(), encoded.targets.tolist()), rel=1e-4)


def test_groups_are_classes_and_the_rarest_where_there_are_several(tiny_encoder: Path) -> None:
    objective = CosinePairs()
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
        "error[OBJECTIVE_TASK]: cosine_pairs learns from a target of kind category or boolean or labels, and "
        "regression predicts number. Fix: choose a method that descends the task's own loss: full, lora or probe."
    )
