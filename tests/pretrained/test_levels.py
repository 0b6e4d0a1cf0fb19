"""The features behind every block against transformers' own hidden states, and against models with fewer blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sartor.errors import BadInput
from sartor.part import part
from sartor.pretrained import pooling
from sartor.pretrained.levels import concatenated, mixed, returning, tapped
from text_samples import labelled

ROWS = labelled(9)


def body_of(folder: Path, how: str) -> Any:
    backbone: Any = part("backbones", f"encoder:path={folder},pooling={how}")
    return backbone.build("row").eval()


def batch_of(body: Any) -> Any:
    return body.encode({"text": list(ROWS.column("text"))})


def hidden_states(folder: Path, body: Any, batch: Any) -> tuple[list[Tensor], Tensor]:
    """(B, T, D) behind every block by plain transformers, and the mask (B, T)."""
    from transformers import AutoModel

    inputs = batch.padded({"input_ids": body.tokenizer.pad_token_id})
    model = AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        return list(model(**inputs, output_hidden_states=True).hidden_states)[1:], inputs["attention_mask"]


def means(hidden: Tensor, mask: Tensor) -> Tensor:
    found = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    return pooling.pooled(found, hidden[:, 0], 1e-12)


@pytest.mark.parametrize("packed", [True, False])
@torch.no_grad()
def test_concatenated_are_the_pooled_hidden_states(tiny_encoder: Path, packed: bool) -> None:
    body = body_of(tiny_encoder, "mean")
    body.packs = packed
    batch = batch_of(body)
    states, mask = hidden_states(tiny_encoder, body, batch)
    found = concatenated(body, batch, torch.tensor([1.0, 2.0]))
    expected = torch.cat([means(states[0], mask), 2 * means(states[1], mask)], -1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("packed", [True, False])
@torch.no_grad()
def test_mixed_is_the_pooled_sum_of_the_hidden_states(tiny_encoder: Path, packed: bool) -> None:
    body = body_of(tiny_encoder, "mean")
    body.packs = packed
    batch = batch_of(body)
    states, mask = hidden_states(tiny_encoder, body, batch)
    found = mixed(body, batch, torch.tensor([0.3, 0.7]))
    torch.testing.assert_close(found, means(0.3 * states[0] + 0.7 * states[1], mask), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("kind", ["tiny_encoder", "tiny_distilbert", "tiny_roberta"])
@torch.no_grad()
def test_by_its_own_classifier_each_level_is_a_model_with_fewer_blocks(
    kind: str, packed: bool, request: pytest.FixtureRequest
) -> None:
    body = body_of(request.getfixturevalue(kind), "native")
    body.packs = packed and body.packs
    batch = batch_of(body)
    found = concatenated(body, batch, torch.ones(2))
    whole = body(batch)
    blocks = body.model.get_submodule(body.list)
    blocks._modules = {"0": blocks[0]}
    assert len(body.blocks()) == 1
    torch.testing.assert_close(found[:, : body.width], body(batch), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[:, body.width :], whole, rtol=1e-4, atol=1e-5)


def test_nothing_is_left_of_it(tiny_encoder: Path) -> None:
    body = body_of(tiny_encoder, "mean")
    batch = batch_of(body)
    with torch.no_grad():
        before = body(batch)
        concatenated(body, batch, torch.ones(2))
        assert torch.equal(body(batch), before)
    assert all("forward" not in vars(block) and not block._forward_hooks for block in body.blocks())


def test_a_pass_that_fails_leaves_nothing_either() -> None:
    blocks = [nn.Linear(2, 2), nn.Linear(2, 2)]
    vars(blocks[1])["forward"] = own = blocks[1].forward
    with pytest.raises(StopIteration), returning(blocks, []):
        blocks[0](torch.ones(2))
    assert "forward" not in vars(blocks[0])
    assert vars(blocks[1])["forward"] is own


def test_every_call_is_kept_in_turn() -> None:
    block = nn.Identity()
    with tapped([block]) as kept:
        block(torch.zeros(1))
        block(torch.ones(1))
    assert [float(t) for t in kept[0]] == [0.0, 1.0]
    with returning([block], [(torch.full((1,), 5.0), "more")]):
        assert float(block(torch.zeros(1))[0]) == 5.0


class Funnel(nn.Module):
    """Two blocks, of which the second returns fewer values."""

    def __init__(self) -> None:
        super().__init__()
        self.list = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 2)])

    def blocks(self) -> list[nn.Module]:
        return list(self.list)

    def forward(self, batch: Any) -> Tensor:
        found: Tensor = self.list[1](self.list[0](batch.dense["x"]))
        return found


def test_blocks_of_different_shapes_are_refused() -> None:
    from sartor.batch import Batch

    batch = Batch(rows=torch.arange(3), offsets=torch.zeros(4, dtype=torch.long), dense={"x": torch.ones(3, 4)})
    for way in (concatenated, mixed):
        with pytest.raises(BadInput) as raised:
            way(Funnel(), batch, torch.ones(2))  # type: ignore[arg-type]
        assert str(raised.value) == (
            "error[LEVELS_SHAPE]: the blocks of this network return values of different shapes. "
            "Fix: read the last layer alone."
        )
