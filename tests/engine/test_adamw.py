"""AdamW by rows against torch's own on the whole table, and what it keeps."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sartor.engine.adamw import AdamW

ROWS, WIDTH = 60, 5


def gradients(steps: int, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    """Rows read and their gradients: a few of the table a step, some rows often, some hardly ever, the last never."""
    drawn = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(steps):
        few = torch.unique((torch.rand(9, generator=drawn) ** 3 * (ROWS - 1)).long())
        made.append((few, torch.randn(len(few), WIDTH, generator=drawn) * 1e-3))
    return made


def rate(step: int) -> float:
    return 1e-2 * (1 + 0.5 * math.sin(step / 7))


def sparse(rows: Tensor, grad: Tensor, weight: Tensor) -> Tensor:
    return torch.sparse_coo_tensor(rows[None], grad, weight.shape, check_invariants=True)


def table() -> nn.Parameter:
    return nn.Parameter(torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(1)))


def by_rows(steps: int, decay: float, settle_every: int = 0) -> tuple[nn.Parameter, AdamW]:
    weight = table()
    optimizer = AdamW([{"params": [weight], "weight_decay": decay}], lr=0.0, tables=[weight])
    for i, (rows, grad) in enumerate(gradients(steps)):
        optimizer.param_groups[0]["lr"] = rate(i)
        optimizer.read(weight, rows)
        weight.grad = sparse(rows, grad, weight)
        optimizer.norm()
        optimizer.step()
        weight.grad = None
        if settle_every and i % settle_every == 0:
            optimizer.settle()
    return weight, optimizer


def whole(steps: int, decay: float) -> tuple[nn.Parameter, list[Tensor]]:
    """The weights after all steps, and as they stood before each: what a forward pass would have read."""
    weight = nn.Parameter(table().double())
    optimizer = torch.optim.AdamW([weight], lr=0.0, weight_decay=decay)
    seen = []
    for i, (rows, grad) in enumerate(gradients(steps)):
        seen.append(weight.detach().clone())
        optimizer.param_groups[0]["lr"] = rate(i)
        weight.grad = torch.zeros_like(weight).index_add(0, rows, grad.double())
        optimizer.step()
    return weight, seen


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("steps", [1, 40, 700])
def test_rows_follow_adamw(steps: int, decay: float) -> None:
    found, optimizer = by_rows(steps, decay)
    optimizer.settle()
    expected, _ = whole(steps, decay)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-4 * rate(0))
    assert not torch.equal(found, table())


def test_a_row_is_up_to_date_when_it_is_read() -> None:
    weight = table()
    optimizer = AdamW([{"params": [weight], "weight_decay": 0.1}], lr=0.0, tables=[weight])
    _, seen = whole(300, 0.1)
    for i, (rows, grad) in enumerate(gradients(300)):
        optimizer.param_groups[0]["lr"] = rate(i)
        optimizer.read(weight, rows)
        torch.testing.assert_close(weight[rows].double(), seen[i][rows], rtol=1e-4, atol=1e-5)
        weight.grad = sparse(rows, grad, weight)
        optimizer.norm()
        optimizer.step()


def test_settling_on_the_way_changes_nothing_but_rounding() -> None:
    often, optimizer = by_rows(200, 0.1, settle_every=3)
    optimizer.settle()
    once, other = by_rows(200, 0.1)
    other.settle()
    torch.testing.assert_close(often, once, rtol=1e-5, atol=1e-6)


def test_settling_what_was_read_leaves_the_rest_to_a_later_time() -> None:
    weight, optimizer = by_rows(50, 0.1)
    optimizer.settle(unread=False)
    assert torch.equal(weight[-1], table()[-1])
    optimizer.settle()
    assert float((weight[-1] / table()[-1]).detach().mean()) == pytest.approx(
        math.prod(1 - 0.1 * rate(i) for i in range(50))
    )


def test_a_saved_state_goes_on_to_the_bit() -> None:
    straight, _ = by_rows(120, 0.1)
    weight = table()
    optimizer = AdamW([{"params": [weight], "weight_decay": 0.1}], lr=0.0, tables=[weight])
    for i, (rows, grad) in enumerate(gradients(120)):
        if i == 70:
            kept = {place: dict(values) for place, values in optimizer.state_dict()["state"].items()}
            weight = nn.Parameter(weight.detach().clone())
            optimizer = AdamW([{"params": [weight], "weight_decay": 0.1}], lr=0.0, tables=[weight])
            optimizer.load_state_dict({**optimizer.state_dict(), "state": kept})
        optimizer.param_groups[0]["lr"] = rate(i)
        optimizer.read(weight, rows)
        weight.grad = sparse(rows, grad, weight)
        optimizer.norm()
        optimizer.step()
    assert torch.equal(weight, straight)


def test_a_whole_gradient_of_a_table_is_taken_whole() -> None:
    weight, reference = table(), nn.Parameter(table().detach().clone())
    optimizer = AdamW([{"params": [weight], "weight_decay": 0.1}], lr=1e-2, tables=[weight])
    other = torch.optim.AdamW([reference], lr=1e-2, weight_decay=0.1)
    for i, (rows, grad) in enumerate(gradients(30)):
        dense = torch.zeros_like(reference).index_add(0, rows, grad)
        reference.grad = dense.clone()
        weight.grad = dense if i % 3 == 0 else sparse(rows, grad, weight)
        optimizer.read(weight, rows)
        optimizer.norm(), optimizer.step(), other.step()
    optimizer.settle()
    torch.testing.assert_close(weight, reference, rtol=1e-5, atol=1e-6)


def test_shrinking_is_clipping() -> None:
    weights = [nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(4, 2))]
    others = [nn.Parameter(w.detach().clone()) for w in weights]
    for w, o in zip(weights, others, strict=True):
        w.grad, o.grad = torch.full_like(w, 3.0), torch.full_like(o, 3.0)
    mine, torchs = AdamW([{"params": weights}], lr=0.1), torch.optim.AdamW(others, lr=0.1, weight_decay=0.0, eps=1e-8)
    norm = mine.norm()
    assert norm == pytest.approx(float(torch.nn.utils.clip_grad_norm_(others, 0.5)))
    mine.step(shrink=0.5 / (norm + 1e-6)), torchs.step()
    for w, o in zip(weights, others, strict=True):
        torch.testing.assert_close(w, o)


def test_moments_of_rows_never_read_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    weight = nn.Parameter(torch.zeros(200_000, 64))
    optimizer: Any = AdamW([{"params": [weight], "weight_decay": 0.01}], lr=0.1, tables=[weight])
    rows = torch.arange(100)
    before = psutil.Process().memory_info().rss
    weight.grad = sparse(rows, torch.ones(100, 64), weight)
    optimizer.norm(), optimizer.step()
    assert psutil.Process().memory_info().rss - before < 20e6  # two moments of the whole table: 102 MB


def narrow(steps: int, widened: bool, monkeypatch: pytest.MonkeyPatch) -> tuple[nn.Parameter, AdamW, list[float]]:
    """Updates of a matrix by gradients of 16 bits, as they are or widened before; more than one piece of it."""
    monkeypatch.setattr("sartor.engine.adamw.PIECE", 77)
    weight = table()
    if not widened:
        weight.grad_dtype = torch.bfloat16
    optimizer = AdamW([{"params": [weight], "weight_decay": 0.1}], lr=1e-2)
    optimizer.copies = {id(weight): (weight._version, weight.detach().bfloat16())}
    norms = []
    for i in range(steps):
        drawn = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(i)).bfloat16()
        weight.grad = drawn.float() if widened else drawn
        norms.append(optimizer.norm())
        optimizer.step(shrink=min(1.0, 5.0 / norms[-1]))
        weight.grad = None
    return weight, optimizer, norms


def test_a_gradient_in_16_bits_is_widened_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, optimizer, norms = narrow(9, False, monkeypatch)
    expected, other, same_norms = narrow(9, True, monkeypatch)
    assert norms == pytest.approx(same_norms, rel=1e-6)
    torch.testing.assert_close(weight, expected, rtol=1e-6, atol=1e-7)
    assert float(optimizer.state[weight]["step"]) == float(other.state[expected]["step"]) == 9.0


def test_the_copy_in_16_bits_is_kept_up_and_known_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, optimizer, _ = narrow(3, False, monkeypatch)
    version, copy = optimizer.copies[id(weight)]
    assert version == weight._version
    assert torch.equal(copy, weight.detach().bfloat16())
