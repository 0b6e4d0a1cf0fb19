"""BitFit: which weights move, how many, and networks that have none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sartor.errors import BadInput
from sartor.methods.bitfit import BitFit
from text_samples import labelled
from tiny_runs import begun, recipe, steps, weights

ROWS = labelled(24)


def trained(folder: Path, method: str) -> tuple[Any, dict[str, torch.Tensor]]:
    run, encoded = begun(recipe(folder, ROWS, method, max_steps=5, learning_rate=1e-2), ROWS)
    before = weights(run)
    list(steps(run, encoded))
    return run, before


@pytest.mark.parametrize(("method", "where"), [("bitfit", "body.model."), ("bitfit:last=1", "encoder.layer.1.")])
def test_the_biases_and_the_head_move_and_nothing_else(tiny_sentence_encoder: Path, method: str, where: str) -> None:
    run, before = trained(tiny_sentence_encoder, method)
    moved = {name for name, value in weights(run).items() if not torch.equal(value, before[name])}
    wanted = {n for n in before if n.startswith("head.") or (where in n and n.endswith(".bias"))}
    assert moved <= wanted
    assert {n for n in wanted if ".key." not in n} <= moved  # a key's bias shifts all scores of a query alike
    assert "body.model.encoder.layer.1.output.LayerNorm.bias" in moved


def test_the_last_blocks_leave_a_frozen_prefix(tiny_sentence_encoder: Path) -> None:
    assert trained(tiny_sentence_encoder, "bitfit:last=1")[0].depth == 1
    assert trained(tiny_sentence_encoder, "bitfit")[0].depth == 0


def test_the_share_on_bert_base_is_the_papers() -> None:
    """0.08 to 0.09 % of BERT-base (table 1 says 0.08 %), counted on its shapes without making it."""
    from transformers import BertConfig, BertModel

    with torch.device("meta"):
        model = BertModel(BertConfig())

    class Body(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def blocks(self) -> list[nn.Module]:
            return list(self.model.encoder.layer)

    net: Any = nn.Module()
    net.body = Body()
    BitFit().apply(net, 1)
    share = sum(p.numel() for p in model.parameters() if p.requires_grad) / sum(p.numel() for p in model.parameters())
    assert 0.0008 < share < 0.001


def test_a_network_without_biases_is_refused() -> None:
    net: Any = nn.Module()
    net.body = nn.Linear(3, 3, bias=False)
    net.body.blocks = lambda: []
    with pytest.raises(BadInput) as raised:
        BitFit().apply(net, 1)
    assert str(raised.value) == (
        "error[BITFIT_NONE]: this network has no biases. Fix: use a method that moves other weights: lora or full."
    )


@pytest.mark.parametrize(("last", "said"), [(0, "VALUE_RANGE"), (3, "BITFIT_LAST")])
def test_blocks_that_are_not_there_are_refused(tiny_encoder: Path, last: int, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        begun(recipe(tiny_encoder, ROWS, f"bitfit:last={last}", max_steps=1), ROWS)
