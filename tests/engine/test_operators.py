"""The operators against plain torch: values, gradients, and what they leave alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sartor.engine.operators import Operators, adapted

S, D = 50, 16


def layer(frozen: bool = False) -> nn.Linear:
    torch.manual_seed(0)
    made = nn.Linear(D, 2 * D)
    made.weight.requires_grad_(not frozen)
    return made


def rounded(x: Tensor) -> Tensor:
    return x.bfloat16().float()


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_a_linear_layer_is_the_product_of_rounded_factors(frozen: bool, bias: bool) -> None:
    made = layer(frozen)
    if not bias:
        made.bias = None
    x = torch.randn(S, D, requires_grad=True)
    grad = torch.randn(S, 2 * D)
    with Operators(made, "bf16"):
        y = made(x)
    y.backward(grad.bfloat16())
    assert y.dtype == torch.bfloat16
    expected = rounded(x) @ rounded(made.weight).T + (rounded(made.bias) if bias else 0.0)
    torch.testing.assert_close(y.float(), expected, rtol=2e-2, atol=2e-2)
    assert x.grad is not None
    torch.testing.assert_close(x.grad, rounded(grad) @ rounded(made.weight), rtol=2e-2, atol=3e-2)
    assert (made.weight.grad is None) == frozen
    if not frozen:
        assert made.weight.grad is not None and made.weight.grad.dtype == torch.float32
        torch.testing.assert_close(made.weight.grad, rounded(grad).T @ rounded(x), rtol=2e-2, atol=0.1)
    if bias:
        assert made.bias.grad is not None
        torch.testing.assert_close(made.bias.grad, rounded(grad).sum(0), rtol=2e-2, atol=5e-2)


@pytest.mark.parametrize("bias", [False, True])
def test_a_low_rank_update_is_fused_into_the_layer(bias: bool) -> None:
    """bf16 against the same function on the same rounded numbers in 32 bits: values and all three gradients."""
    made = layer(frozen=True)
    given = made.bias.requires_grad_(False) if bias else None
    parts = [torch.randn(S, D), torch.randn(4, D) * 0.3, torch.randn(2 * D, 4) * 0.3]
    grad = torch.randn(S, 2 * D)
    found = []
    for mode in (True, False):
        x, a, b = (rounded(p).requires_grad_() for p in parts)
        weight = made.weight if mode else rounded(made.weight)
        if mode:
            with Operators(nn.ParameterList([made.weight, a, b]), "bf16"):
                y = adapted(x, weight, given, a, b, 2.0)
        else:
            y = adapted(x, weight, given, a, b, 2.0)
        y.backward(grad.to(y.dtype))
        found.append([y.float(), x.grad, a.grad, b.grad])
        assert (y.dtype == torch.bfloat16) == mode
    for mine, expected in zip(*found, strict=True):
        assert mine is not None and expected is not None
        assert float(((mine - expected).norm() / expected.norm()).detach()) < 1e-2


def test_a_weight_that_changed_is_cast_again() -> None:
    made = layer()
    mode = Operators(made, "bf16")
    x = torch.ones(1, D)
    with mode:
        before = made(x)
        with torch.no_grad():
            made.weight.mul_(2.0)
            made.bias.mul_(2.0)
        torch.testing.assert_close(made(x), before * 2)


def test_an_optimizers_step_is_seen() -> None:
    from sartor.engine.adamw import AdamW

    made = layer()
    mode, optimizer = Operators(made, "bf16"), AdamW([{"params": list(made.parameters())}], lr=0.1)
    with mode:
        before = made(torch.ones(1, D))
        before.sum().backward()
        optimizer.step()
        assert float((made(torch.ones(1, D)) - before).detach().abs().min()) > 0.5


def test_gradients_stay_narrow_only_where_nothing_is_summed_up_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sartor.engine.operators.LARGE", 1)
    made = layer()
    operators = Operators(made, "bf16")
    for alone, kind in ((True, torch.bfloat16), (False, torch.float32), (True, torch.bfloat16)):
        operators.narrow_gradients(alone)
        with operators:
            y = made(torch.randn(S, D))
        y.sum().backward()
        assert made.weight.grad is not None and made.weight.grad.dtype == kind
        assert made.bias.grad is not None and made.bias.grad.dtype == torch.float32
        made.zero_grad(set_to_none=True)


def test_weights_of_others_stay_in_32_bits() -> None:
    body, head = layer(), layer()
    with Operators(body, "bf16"):
        assert body(torch.ones(1, D)).dtype == torch.bfloat16
        assert head(torch.ones(1, D)).dtype == torch.float32
        assert functional.layer_norm(torch.ones(2, D), (D,)).dtype == torch.float32
    assert body(torch.ones(1, D)).dtype == torch.float32


def test_a_norm_sums_in_32_bits_and_gives_bf16() -> None:
    norm = nn.LayerNorm(D)
    x = torch.randn(S, D) * 100
    with Operators(norm, "bf16"):
        for given in (x, x.bfloat16()):
            found = norm(given)
            assert found.dtype == torch.bfloat16
            torch.testing.assert_close(found.float(), norm_of(given.float()), rtol=1e-2, atol=1e-2)


def norm_of(x: Tensor) -> Tensor:
    return functional.layer_norm(x, (D,))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.003])
def test_dropout_keeps_its_share_and_its_scale(p: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(1000, 400, requires_grad=True)
    with Operators(nn.Module(), "fp32"):
        y = functional.dropout(x, p)
        assert functional.dropout(x, p, training=False) is x
    dropped = float((y == 0).float().mean())
    assert dropped == pytest.approx(p, abs=5 * (p * (1 - p) / x.numel()) ** 0.5)
    assert set(y.unique().tolist()) == {0.0, torch.tensor(1.0 / (1.0 - p)).item()}
    y.sum().backward()
    assert x.grad is not None and torch.equal(x.grad, y.detach())


def test_masks_depend_on_the_seed_alone() -> None:
    def drawn(seed: int) -> Tensor:
        torch.manual_seed(seed)
        with Operators(nn.Module(), "fp32"):
            return functional.dropout(torch.ones(99), 0.3)

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


@pytest.mark.parametrize("padding", [None, 3])
def test_a_tables_gradient_has_the_rows_that_were_read(padding: int | None) -> None:
    table = nn.Embedding(40, D, padding_idx=padding)
    ids = torch.tensor([[3, 7, 7], [1, 3, 39]])
    grad = torch.randn(2, 3, D)
    table(ids).backward(grad)
    expected = table.weight.grad
    table.weight.grad = None
    heard: list[list[int]] = []
    with Operators(table, "fp32", [table.weight], lambda _, rows: heard.append(rows.tolist())):
        found = table(ids)
    torch.testing.assert_close(found, table(ids))
    found.backward(grad)
    assert heard == [[1, 3, 7, 39]]
    assert table.weight.grad is not None and table.weight.grad.is_sparse
    torch.testing.assert_close(table.weight.grad.to_dense(), expected)


def test_convolutions_work_in_bf16_and_their_gradients_in_32_bits() -> None:
    torch.manual_seed(0)
    body, other = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(3, 5, 3, padding=1)
    x = torch.randn(2, 3, 8, 8)
    exact = body(x)
    exact.square().sum().backward()
    expected, body.weight.grad = body.weight.grad, None
    with Operators(body, "bf16"):
        narrow = body(x)
        assert narrow.dtype == torch.bfloat16
        assert other(x).dtype == torch.float32
    torch.testing.assert_close(narrow.float(), exact, rtol=2e-2, atol=2e-2)
    narrow.float().square().sum().backward()
    assert body.weight.grad is not None and expected is not None
    assert body.weight.grad.dtype == torch.float32
    torch.testing.assert_close(body.weight.grad, expected, rtol=5e-2, atol=0.2)
    with Operators(body, "fp32"):
        assert torch.equal(body(x), exact)
