"""Mean pooling written as one more attention block, so that plain transformers computes the very same thing.

A sentence encoder is read by the mean of its token vectors, but the `...ForSequenceClassification` classes read the
first token only. An attention block whose queries and keys are zero attends to every real token equally; with identity
values and a scaled identity output its first token becomes

    LayerNorm(K mean(h) + h_first)        then the pooler gives        tanh(E x)

so a model saved with this block appended loads unmodified and gives the same logits. On frozen MiniLM features a linear
head gains 10 to 20 points over the first token (docs/log.md).

Legend: B batch, T tokens, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

MEAN = 1000.0
"""K: how much the mean outweighs the first token, which the block's residual connection adds."""
SLOPE = 0.2
"""E: small enough that tanh is nearly a line over the few units a normalised vector spans."""


def pooled(hidden: Tensor, mask: Tensor, eps: float) -> Tensor:
    """(B, T, D) token vectors and their (B, T) mask -> (B, D) what the appended block and pooler give."""
    hidden = hidden.float()  # a mean over many tokens, and norms: 32 bits under autocast too
    weights = mask.to(hidden.dtype).unsqueeze(-1)  # (B, T, 1)
    mean = (hidden * weights).sum(1) / weights.sum(1)  # (B, D)
    x = functional.layer_norm(MEAN * mean + hidden[:, 0], hidden.shape[-1:], eps=eps)
    return torch.tanh(SLOPE * functional.layer_norm(x, hidden.shape[-1:], eps=eps))


def expressible(base: nn.Module) -> bool:
    """Whether the encoder is of the post-norm BERT anatomy that the block is written in."""
    layers = getattr(getattr(base, "encoder", None), "layer", None)
    if not isinstance(layers, nn.ModuleList) or not len(layers):
        return False
    names = dict(layers[0].named_modules())
    needed = ("attention.self.query", "attention.output.LayerNorm", "intermediate.dense", "output.LayerNorm")
    return all(name in names for name in needed)


@torch.no_grad()
def write_block(layer: Any) -> None:
    """Turn one BERT layer into the pooling block."""
    for weight in layer.parameters():
        weight.zero_()
    layer.attention.self.value.weight.copy_(torch.eye(layer.attention.self.value.weight.shape[0]))
    layer.attention.output.dense.weight.copy_(MEAN * torch.eye(layer.attention.output.dense.weight.shape[0]))
    for norm in (layer.attention.output.LayerNorm, layer.output.LayerNorm):
        norm.weight.fill_(1.0)


@torch.no_grad()
def write_pooler(dense: nn.Linear) -> None:
    """Turn the dense layer in front of tanh into the slope."""
    dense.weight.copy_(SLOPE * torch.eye(dense.weight.shape[0]))
    dense.bias.zero_()
