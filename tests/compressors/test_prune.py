"""Which weights become zero, and what that does to what a layer answers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sartor.compressors.prune import Prune, _sparse
from sartor.engine.calibrate import drawn
from sartor.errors import BadInput
from text_samples import labelled
from tiny_runs import begun, recipe

ROWS = labelled(32)


def pruned(encoder: Path, **settings: object) -> dict[str, Tensor]:
    run, _ = begun(recipe(encoder, ROWS, "full", max_steps=1), ROWS)
    Prune(**settings).compress(run.net.requires_grad_(False), run.recipe, ROWS)  # type: ignore[arg-type]
    return {name: run.net.body.get_parameter(f"{name}.weight") for name in run.net.body.linears()}


@pytest.mark.parametrize("by", ["magnitude", "wanda", "sparsegpt"])
@pytest.mark.parametrize("amount", [0.3, 0.8])
def test_so_many_are_zero(by: str, amount: float, tiny_encoder: Path) -> None:
    for weight in pruned(tiny_encoder, by=by, amount=amount).values():
        assert float((weight == 0).float().mean()) == pytest.approx(amount, abs=0.03)


@pytest.mark.parametrize("by", ["magnitude", "wanda", "sparsegpt"])
def test_two_of_every_four_are_left(by: str, tiny_encoder: Path) -> None:
    for weight in pruned(tiny_encoder, by=by, pattern="2:4").values():
        assert ((weight.reshape(-1, 4) == 0).sum(1) == 2).all()


def test_wanda_takes_the_same_share_of_every_output(tiny_encoder: Path) -> None:
    for weight in pruned(tiny_encoder, by="wanda", amount=0.5).values():
        assert set((weight == 0).sum(1).tolist()) == {weight.shape[1] // 2}


def test_one_threshold_over_all_layers(tiny_encoder: Path) -> None:
    found = pruned(tiny_encoder, by="magnitude", amount=0.5, globally=True)
    zero = torch.cat([(w == 0).flatten() for w in found.values()])
    assert float(zero.float().mean()) == pytest.approx(0.5, abs=0.01)
    assert len({round(float((w == 0).float().mean()), 2) for w in found.values()}) > 1


def test_sparsegpt_errs_least_on_what_the_layer_reads() -> None:
    """|XW - XW'|² over inputs of unequal size and some likeness: SparseGPT below Wanda below magnitude."""
    torch.manual_seed(0)
    x = torch.randn(512, 64, dtype=torch.float64) @ torch.randn(64, 64, dtype=torch.float64) * torch.rand(64).double()
    w, moment = torch.randn(32, 64), x.T @ x
    keep = Prune(amount=0.5)._kept
    magnitude = w * keep(w.abs(), 0.5, by_row=True)
    wanda = w * keep(w.abs() * moment.diagonal().sqrt().float(), 0.5, by_row=True)
    sparse = _sparse(w, moment, lambda scores: keep(scores, 0.5))
    errors = [float((x @ (w - other).double().T).square().sum()) for other in (sparse, wanda, magnitude)]
    assert errors == sorted(errors)
    assert errors[0] < 0.85 * errors[1] < 0.85 * errors[2]


def test_sparsegpt_without_zeros_changes_nothing() -> None:
    w, x = torch.randn(8, 130), torch.randn(300, 130, dtype=torch.float64)
    found = _sparse(w, x.T @ x, lambda scores: torch.ones_like(scores, dtype=torch.bool))
    torch.testing.assert_close(found, w)


def test_an_input_that_is_never_there_loses_its_weights() -> None:
    w, x = torch.randn(4, 16), torch.randn(50, 16, dtype=torch.float64)
    x[:, 5] = 0
    found = _sparse(w, x.T @ x, lambda scores: torch.ones_like(scores, dtype=torch.bool))
    assert (found[:, 5] == 0).all()


def test_gradually_the_share_is_met_at_the_end_and_holds(tiny_encoder: Path) -> None:
    found = pruned(tiny_encoder, by="magnitude", amount=0.7, gradual=True, epochs=4.0)
    for weight in found.values():
        assert float((weight == 0).float().mean()) == pytest.approx(0.7, abs=0.02)


def test_zeros_stay_zero_in_the_epochs_that_follow(tiny_encoder: Path) -> None:
    found = pruned(tiny_encoder, by="wanda", amount=0.5, epochs=2.0)
    for weight in found.values():
        assert set((weight == 0).sum(1).tolist()) == {weight.shape[1] // 2}


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"amount": 1.0}, "PRUNE_AMOUNT"),
        ({"amount": 0.0}, "PRUNE_AMOUNT"),
        ({"amount": 0.3, "pattern": "2:4"}, "PRUNE_PATTERN"),
        ({"globally": True}, "PRUNE_GLOBALLY"),
        ({"gradual": True, "by": "magnitude"}, "PRUNE_GRADUAL"),
        ({"epochs": -1.0}, "VALUE_RANGE"),
    ],
)
def test_what_does_not_go_together_is_said(settings: dict[str, object], code: str) -> None:
    with pytest.raises(BadInput) as raised:
        Prune(**settings)  # type: ignore[arg-type]
    assert raised.value.code == code


def test_rows_are_needed_to_calibrate(tiny_encoder: Path) -> None:
    run, _ = begun(recipe(tiny_encoder, ROWS, "full", max_steps=1), ROWS)
    with pytest.raises(BadInput, match="no rows"):
        drawn(run.net, run.recipe.task, ROWS.take(torch.zeros(0, dtype=torch.long).numpy()))


def test_only_linear_layers_of_blocks_are_touched(tiny_encoder: Path) -> None:
    run, _ = begun(recipe(tiny_encoder, ROWS, "full", max_steps=1), ROWS)
    before = {n: p.clone() for n, p in run.net.named_parameters()}
    Prune(by="magnitude").compress(run.net.requires_grad_(False), run.recipe, ROWS)
    mine = {f"body.{name}.weight" for name in run.net.body.linears()}
    for name, weight in run.net.named_parameters():
        assert (not torch.equal(weight, before[name])) == (name in mine)
    assert all(isinstance(run.net.body.get_submodule(n), nn.Linear) for n in run.net.body.linears())
