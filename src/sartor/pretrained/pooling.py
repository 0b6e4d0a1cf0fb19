"""Mean pooling written as one more attention block, so that plain transformers computes the very same thing.

A sentence encoder is read by the mean of its token vectors, but the `...ForSequenceClassification` classes read the
first token only. An attention block whose queries and keys are zero attends to every real token equally; with identity
values and a scaled identity output its first token becomes

    LayerNorm(K mean(h) + h_first)        then the pooler gives        tanh(E x)

so a model saved with this block appended loads unmodified and gives the same logits. On frozen MiniLM features a linear
head gains 10 to 20 points over the first token (docs/log.md).

Legend: B batch, S tokens of all rows, D width.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

MEAN = 1000.0
"""K: how much the mean outweighs the first token, which the block's residual connection adds."""
SLOPE = 0.2
"""E: small enough that tanh is nearly a line over the few units a normalised vector spans."""


def pooled(mean: Tensor, first: Tensor, eps: float) -> Tensor:
    """(B, D) the mean of each row's token vectors and its first one -> (B, D) what the appended block and pooler give.

    In 32 bits: a norm of what was scaled by 1,000."""
    x = functional.layer_norm(MEAN * mean + first, mean.shape[-1:], eps=eps)
    return torch.tanh(SLOPE * functional.layer_norm(x, mean.shape[-1:], eps=eps))


def row_means(hidden: Tensor, lengths: Tensor) -> Tensor:
    """(S, D) token vectors of rows end to end -> (B, D) each row's mean, summed in 32 bits."""
    rows = torch.arange(len(lengths), device=hidden.device).repeat_interleave(lengths)
    sums = hidden.new_zeros(len(lengths), hidden.shape[-1], dtype=torch.float32)
    return sums.index_add(0, rows, hidden.float()) / lengths[:, None]


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


def says_mean(folder: Path) -> bool:
    """Whether the folder is a sentence encoder that is read by its mean (sentence-transformers' own file)."""
    from sartor.pretrained.gate import read_json

    file = folder / "1_Pooling" / "config.json"
    return file.is_file() and bool(read_json(file).get("pooling_mode_mean_tokens"))


def drop_block(model: Any) -> bool:
    """Take the appended pooling block out; whether there was one."""
    layers = model.base_model.encoder.layer
    if bool(layers[-1].attention.self.query.weight.any()):
        return False
    del layers[-1]
    model.config.num_hidden_layers = len(layers)
    return True


def dense_before_tanh(model: Any) -> nn.Linear:
    """The dense layer that the architecture puts before its tanh: BERT's pooler, RoBERTa's classifier."""
    pooler = getattr(model.base_model, "pooler", None)
    dense: nn.Linear = pooler.dense if pooler is not None else model.classifier.dense
    return dense


def head_dropout(config: Any) -> float:
    own = getattr(config, "classifier_dropout", None)
    return float(own if own is not None else getattr(config, "hidden_dropout_prob", 0.1))
