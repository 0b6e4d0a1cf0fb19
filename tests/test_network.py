"""Body + head + method, put together in one place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from sartor.network import assemble
from sartor.part import part
from text_samples import labelled, task_of
from tiny_runs import same_bits

ROWS = labelled(20)


def built(folder: Path, seed: int, **given: Any) -> Any:
    backbone: Any = part("backbones", f"encoder:path={folder},pooling=mean")
    method: Any = part("methods", "lora:r=2")
    return assemble(task_of(ROWS), backbone, method, steps=1, seed=seed, **given)


def test_what_is_drawn_depends_on_the_seed_alone(tiny_encoder: Path) -> None:
    first = built(tiny_encoder, 1)
    torch.rand(7)
    assert same_bits(first.state_dict(), built(tiny_encoder, 1).state_dict())
    other = built(tiny_encoder, 2).state_dict()
    drawn = {name for name, value in first.state_dict().items() if not torch.equal(value, other[name])}
    assert "head.weight" in drawn
    assert all("lora_A" in name or name == "head.weight" for name in drawn)


def test_drawing_leaves_the_random_state_as_it_was(tiny_encoder: Path) -> None:
    before = torch.get_rng_state()
    built(tiny_encoder, 1, fresh=True)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_fresh_body_is_drawn_from_the_seed(tiny_encoder: Path) -> None:
    one, same, other = (built(tiny_encoder, seed, fresh=True).body.state_dict() for seed in (1, 1, 2))
    assert same_bits(one, same)
    assert not same_bits(one, other)


def test_it_is_ready_to_answer(tiny_encoder: Path) -> None:
    net = built(tiny_encoder, 1)
    assert not net.training
    with torch.no_grad():
        assert net(net.body.encode({"text": ["a cat", "bread"]})).shape == (2, 3)
