"""PCGrad against its algorithm written out, on vectors and through the loop."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sartor.engine.order import step_seed
from sartor.method import Method
from sartor.methods.full import Full
from sartor.objectives.pcgrad import PCGrad, projected
from text_samples import labelled, several
from tiny_runs import begun, recipe, same_bits, steps, weights


def by_the_paper(gradients: list[Any], seed: int) -> Any:
    """Algorithm 1 of Yu et al. 2020; the order of the tasks from the same generator."""
    order = np.random.default_rng(seed)
    out = [g.copy() for g in gradients]
    for i in range(len(gradients)):
        for j in order.permutation([k for k in range(len(gradients)) if k != i]):
            if out[i] @ gradients[j] < 0:
                out[i] = out[i] - (out[i] @ gradients[j]) / (gradients[j] @ gradients[j]) * gradients[j]
    return sum(out)


@pytest.mark.parametrize("count", [1, 2, 3, 6])
@pytest.mark.parametrize("seed", range(4))
def test_the_shares_are_those_of_the_algorithm(count: int, seed: int) -> None:
    gradients = list(np.random.default_rng(seed).normal(size=(count, 5)))
    matrix = np.stack(gradients)
    np.testing.assert_allclose(projected(matrix @ matrix.T, seed) @ matrix, by_the_paper(gradients, seed), atol=1e-12)


def test_gradients_without_conflict_are_added() -> None:
    assert projected(np.array([[1.0, 0.5], [0.5, 1.0]]), 0).tolist() == [1.0, 1.0]


def test_two_opposite_gradients_leave_nothing() -> None:
    matrix = np.array([[1.0, 0.0], [-2.0, 0.0]])
    np.testing.assert_allclose(projected(matrix @ matrix.T, 0) @ matrix, 0, atol=1e-12)


SEEN: list[dict[str, Tensor]] = []


@dataclass(frozen=True, kw_only=True)
class Watching(Method):
    """Full fine-tuning that keeps the gradients of each update."""

    learning_rate = 1e-3

    def apply(self, net: Any, steps: int) -> None:
        Full().apply(net, steps)

    def after_step(self, net: Any, *_: int) -> None:
        SEEN.append({name: w.grad.clone() for name, w in net.trainable().items() if w.grad is not None})


@pytest.mark.parametrize("more", [{}, {"gradient_accumulation_steps": 3, "per_device_train_batch_size": 8}])
def test_the_loop_descends_the_projected_gradients(tiny_encoder: Path, more: dict[str, Any]) -> None:
    """The tiny encoder's table is small, so that every gradient is dense; the head keeps the plain sum."""
    rows = several(24)
    plan = {"max_steps": 1, "max_grad_norm": 0.0, "per_device_train_batch_size": 24, **more}
    made = replace(recipe(tiny_encoder, rows, **plan), objective=PCGrad(), method=Watching())
    run, encoded = begun(made, rows)
    torch.nn.init.normal_(run.net.head.weight, generator=torch.Generator().manual_seed(1))  # heads that disagree
    before, names = weights(run), list(run.net.trainable())
    apart = []
    for k in range(3):
        run.net.zero_grad()
        (made.task.loss(run.net(encoded), encoded)[encoded.dense["task"] == k].sum() / 24).backward()
        apart.append({n: w.grad.clone() for n, w in run.net.trainable().items() if w.grad is not None})
    run.net.zero_grad(set_to_none=True)
    run.net.load_state_dict(before)
    SEEN.clear()
    list(steps(run, encoded))
    body = [name for name in names if name.startswith("body.") and name in SEEN[0]]
    flat = [np.concatenate([g[n].double().flatten().numpy() for n in body]) for g in apart]
    expected = by_the_paper(flat, step_seed(made.plan.seed, 0))
    assert np.abs(expected - sum(flat)).max() > 1e-4  # they do conflict
    found = np.concatenate([SEEN[0][n].double().flatten().numpy() for n in body])
    np.testing.assert_allclose(found, expected, atol=2e-6)
    for name in ("head.weight", "head.bias"):
        torch.testing.assert_close(SEEN[0][name], sum(g[name] for g in apart), rtol=1e-4, atol=1e-6)


def test_rows_of_a_table_are_multiplied_where_both_have_them() -> None:
    a = torch.sparse_coo_tensor(
        torch.tensor([[1, 4]]), torch.tensor([[1.0, 2.0], [3.0, 4.0]]), (9, 2), check_invariants=True
    ).coalesce()
    b = torch.sparse_coo_tensor(
        torch.tensor([[4, 7]]), torch.tensor([[-5.0, 1.0], [9.0, 9.0]]), (9, 2), check_invariants=True
    ).coalesce()
    combined = PCGrad().combine([{"body.table": a}, {"body.table": b}], 0)["body.table"].to_dense()
    dense = PCGrad().combine([{"body.table": a.to_dense()}, {"body.table": b.to_dense()}], 0)["body.table"]
    torch.testing.assert_close(combined, dense)
    assert not torch.equal(dense, a.to_dense() + b.to_dense())


def test_one_task_is_descended_as_ever(tiny_encoder: Path) -> None:
    rows = labelled(30)
    made = recipe(tiny_encoder, rows, max_steps=5, learning_rate=1e-3)
    runs = [begun(one, rows) for one in (made, replace(made, objective=PCGrad()))]
    for run, encoded in runs:
        list(steps(run, encoded))
    assert same_bits(weights(runs[0][0]), weights(runs[1][0]))
