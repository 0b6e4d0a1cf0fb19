"""Full fine-tuning's rates by depth and its gradual unfreezing, against torch's own optimizer driven by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sartor.engine.fit import rate
from sartor.engine.order import epoch_batches
from sartor.engine.train import advance
from sartor.errors import BadInput
from sartor.methods.full import Full, depths
from text_samples import labelled
from tiny_runs import begun, recipe, same_bits, steps, weights

ROWS = labelled(24)
BLOCKS = 2


def depth(name: str) -> int:
    """Of a weight of the tiny encoder, by its name: the head 0, its two blocks 1 and 2, the tables in front 3."""
    if name.startswith("head."):
        return 0
    if ".layer." in name:
        return BLOCKS - int(name.split(".layer.")[1].split(".")[0])
    return BLOCKS + 1


def by_hand(run: Any, encoded: Any, decay: float, moves: Any) -> None:
    """The run's updates by torch's AdamW with one group a weight; `moves(depth, step)`: whether it gets a gradient."""
    net, plan = run.net, run.recipe.plan
    named = list(net.named_parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [w], "factor": decay ** depth(name), "weight_decay": plan.weight_decay if w.ndim > 1 else 0.0}
            for name, w in named
        ]
    )
    net.train()
    for i in range(plan.max_steps):
        places = epoch_batches(encoded.rows, 8, 0, i // 3)[i % 3]
        batch = encoded.take(places)
        for group in optimizer.param_groups:
            group["lr"] = rate(plan, i, plan.max_steps) * group["factor"]
        optimizer.zero_grad()
        run.recipe.task.loss(net(batch), batch).mean().backward()
        for name, w in named:
            if not moves(depth(name), i):
                w.grad = None
        nn.utils.clip_grad_norm_([w for _, w in named if w.grad is not None], plan.max_grad_norm)
        optimizer.step()
    net.eval()


def close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if name.endswith("key.bias"):
            continue  # softmax does not see it: its gradient is nothing but rounding, which Adam makes steps of
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_layer_decay_is_one_rate_for_each_depth(tiny_encoder: Path) -> None:
    made = recipe(tiny_encoder, ROWS, "full:layer_decay=0.3", max_steps=7, learning_rate=3e-3)
    run, encoded = begun(made, ROWS)
    list(steps(run, encoded))
    reference, _ = begun(made, ROWS)
    by_hand(reference, encoded, 0.3, lambda depth, step: True)
    close(weights(run), weights(reference))


def test_blocks_begin_to_move_from_the_top_at_equal_intervals(tiny_encoder: Path) -> None:
    """Of 12 updates 8 thaw: the head alone in the first two, then a depth more every two updates."""
    made = recipe(tiny_encoder, ROWS, "full:unfreeze_ratio=0.67,layer_decay=0.5", max_steps=12, learning_rate=3e-3)
    run, encoded = begun(made, ROWS)
    start = weights(run)
    for until, moving in ((2, 0), (4, 1), (6, 2)):
        for _ in advance(run, encoded, until):
            pass
        now = weights(run)
        moved = {depth(n) for n in start if n in run.net.trainable() and not torch.equal(start[n], now[n])}
        assert moved == set(range(moving + 1))
        still = {n: w for n, w in now.items() if depth(n) > moving}
        assert same_bits(still, {n: start[n] for n in still})
    list(steps(run, encoded))
    reference, _ = begun(made, ROWS)
    by_hand(reference, encoded, 0.5, lambda depth, step: step >= 2.01 * depth)
    close(weights(run), weights(reference))


def test_everything_counts_as_moving_from_the_start(tiny_encoder: Path) -> None:
    """What a checkpoint keeps, and what a frozen prefix may hold, does not change while blocks rest."""
    run, encoded = begun(recipe(tiny_encoder, ROWS, "full:unfreeze_ratio=1", max_steps=4), ROWS)
    names = list(run.net.trainable())
    assert run.depth == 0
    next(steps(run, encoded))
    assert list(run.net.trainable()) == names == [n for n, _ in run.net.named_parameters()]
    assert all(p.grad is None for p in run.net.parameters())


def test_what_rests_has_no_moments(tiny_encoder: Path) -> None:
    """An optimizer begins them at the first gradient, as torch's own does."""
    run, encoded = begun(recipe(tiny_encoder, ROWS, "full:unfreeze_ratio=1", max_steps=4), ROWS)
    resting = run.recipe.method.resting(run.net, 0, 4)
    assert set(resting) == {n for n, _ in run.net.named_parameters() if n.startswith("body.")}
    assert not run.recipe.method.resting(run.net, 4, 4)
    next(steps(run, encoded))
    assert run.state is not None
    assert {id(w) for w in run.state.optimizer.state} == {id(w) for w in run.net.head.parameters()}


def test_only_the_last_blocks_move_and_the_rest_is_kept(tiny_encoder: Path) -> None:
    run, encoded = begun(recipe(tiny_encoder, ROWS, "full:last=1", max_steps=3, learning_rate=3e-3), ROWS)
    start = weights(run)
    assert run.depth == 1
    list(advance(run, encoded, 3))
    moved = {depth(n) for n, w in weights(run).items() if not torch.equal(start[n], w)}
    assert moved == {0, 1}


def test_last_and_unfreezing_go_together(tiny_encoder: Path) -> None:
    made = recipe(tiny_encoder, ROWS, "full:last=1,unfreeze_ratio=0.5", max_steps=4)
    run, _ = begun(made, ROWS)
    resting = made.method.resting(run.net, 0, 4)
    assert {depth(n) for n in resting if n in run.net.trainable()} == {1}
    assert {depth(n) for n in made.method.resting(run.net, 1, 4)} == {2, 3}  # which never move
    assert not made.method.resting(run.net, 2, 4)


def test_what_stands_behind_the_blocks_learns_as_the_head_does(tiny_encoder: Path) -> None:
    run, _ = begun(recipe(tiny_encoder, ROWS, "full", pooling="native", max_steps=1), ROWS)
    found = depths(run.net)
    assert {found[n] for n in found if "pooler" in n} == {0}
    assert {found[n] for n in found if "embeddings" in n} == {3}
    assert {found[n] for n in found if ".layer.1." in n} == {1}


def test_another_anatomy_has_depths_too(tiny_distilbert: Path) -> None:
    run, _ = begun(recipe(tiny_distilbert, ROWS, "full:layer_decay=0.9", "native", max_steps=1), ROWS)
    found = depths(run.net)
    assert set(found.values()) == {0, 1, 2, 3}
    assert {found[n] for n in found if "embeddings" in n} == {3}


SENTENCES = {
    "layer_decay=0": "full.layer_decay is 0. Fix: give one above 0 and at most 1.",
    "layer_decay=1.5": "full.layer_decay is 1.5. Fix: give one above 0 and at most 1.",
    "unfreeze_ratio=1.5": "full.unfreeze_ratio is 1.5. Fix: give one from 0 to 1.",
    "last=0": "full.last is 0. Fix: give at least 1.",
}


@pytest.mark.parametrize("setting", SENTENCES)
def test_values_out_of_range_are_refused(setting: str) -> None:
    name, _, value = setting.partition("=")
    with pytest.raises(BadInput) as raised:
        Full(**{name: int(value) if name == "last" else float(value)})  # type: ignore[arg-type]
    assert str(raised.value) == f"error[VALUE_RANGE]: {SENTENCES[setting]}"


def test_more_blocks_than_there_are_are_refused(tiny_encoder: Path) -> None:
    with pytest.raises(BadInput) as raised:
        begun(recipe(tiny_encoder, ROWS, "full:last=3", max_steps=1), ROWS)
    assert str(raised.value) == "error[FULL_LAST]: full.last is 3 and the network has 2 blocks. Fix: give at most 2."


def test_a_network_without_blocks_has_no_depths(tiny_encoder: Path) -> None:
    run, _ = begun(recipe(tiny_encoder, ROWS, "full", max_steps=1), ROWS)
    run.net.body.blocks = list  # type: ignore[method-assign]
    for setting in ({"layer_decay": 0.9}, {"unfreeze_ratio": 0.5}):
        with pytest.raises(BadInput) as raised:
            Full(**setting).apply(run.net, 1)  # type: ignore[arg-type]
        assert str(raised.value) == (
            "error[FULL_BLOCKS]: this network has no blocks to tell apart by their depth. "
            "Fix: leave layer_decay and unfreeze_ratio out."
        )
    with pytest.raises(BadInput) as raised:
        Full(last=1).apply(run.net, 1)
    assert str(raised.value) == (
        "error[FULL_LAST]: full.last is 1 and the network has 0 blocks. Fix: leave full.last out."
    )


def test_an_update_that_reaches_no_moving_weight_is_refused(tiny_encoder: Path) -> None:
    """The objective that leaves the head alone, while the head alone moves."""
    from dataclasses import replace

    from sartor.part import part

    made = recipe(tiny_encoder, ROWS, "full:unfreeze_ratio=1", max_steps=4)
    made = replace(made, objective=part("objectives", "cosine_pairs")).settled()  # type: ignore[arg-type]
    run, encoded = begun(made, ROWS)
    with pytest.raises(BadInput) as raised:
        next(steps(run, encoded))
    assert str(raised.value) == (
        "error[NO_GRADIENT]: the loss depends on no weight that moves in this update. "
        "Fix: let more weights move from the start, or descend another objective."
    )
