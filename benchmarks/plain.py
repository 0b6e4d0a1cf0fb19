"""The reference loop: transformers' encoder in 32 bits on padded batches, the head Sartor reads it with, torch's AdamW.

Legend: B batch, T tokens, D width, C outputs.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel

from sartor.backbones.minilm import packaged_folder
from sartor.batch import Batch
from sartor.engine.fit import rate
from sartor.engine.order import epoch_batches, step_seed
from sartor.network import Network
from sartor.pretrained.text import quiet
from sartor.recipe import Recipe

ROWS = 32
"""Rows of a pass without gradients."""


class Plain(nn.Module):
    """MiniLM, the mean of its tokens as Sartor's bundles define it (see `sartor.pretrained.pooling`), a linear head."""

    def __init__(self, recipe: Recipe, labels: int, dropout: float | None) -> None:
        super().__init__()
        with quiet():
            self.model = AutoModel.from_pretrained(packaged_folder(), add_pooling_layer=False)
        self.dropout = nn.Dropout(self.model.config.hidden_dropout_prob)
        for module in self.modules():
            if dropout is not None and isinstance(module, nn.Dropout):
                module.p = dropout
        self.head = nn.Linear(self.model.config.hidden_size, labels)
        if recipe.method.name == "lora":
            _adapt(self.model, recipe)

    def begin_as(self, net: Network) -> None:
        """The weights that move, as they stand in Sartor's network: the drawn ones are the same on both sides.

        Raises `KeyError` where the two disagree about which weights move."""
        theirs = {name.removeprefix("body."): w for name, w in net.trainable().items()}
        mine = {name: w for name, w in self.named_parameters() if w.requires_grad}
        if theirs.keys() != mine.keys():
            raise KeyError(f"only on one side: {sorted(theirs.keys() ^ mine.keys())[:5]}")
        with torch.no_grad():
            for name, weight in mine.items():
                weight.copy_(theirs[name])

    def forward(self, batch: Batch) -> Tensor:
        """(B, C)"""
        outputs: Tensor = self.head(self.features(batch))
        return outputs

    def features(self, batch: Batch) -> Tensor:
        """(B, D)"""
        inputs = batch.padded({})
        hidden, mask = self.model(**inputs).last_hidden_state, inputs["attention_mask"][..., None].float()
        mean = (hidden * mask).sum(1) / mask.sum(1)
        shape, eps = hidden.shape[-1:], self.model.config.layer_norm_eps
        twice = functional.layer_norm(
            functional.layer_norm(1000.0 * mean + hidden[:, 0], shape, eps=eps), shape, eps=eps
        )
        kept: Tensor = self.dropout(torch.tanh(0.2 * twice))
        return kept

    def _norm(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], eps=self.model.config.layer_norm_eps)

    @torch.no_grad()
    def features_of(self, examples: Batch) -> Tensor:
        self.eval()
        return torch.cat([self.features(part) for part in _in_order(examples)])

    @torch.no_grad()
    def outputs_of(self, examples: Batch) -> Tensor:
        self.eval()
        return torch.cat([self(part) for part in _in_order(examples)])


def descend(model: Plain, recipe: Recipe, examples: Batch, reverse: bool = False) -> Iterator[float]:
    """The loss of every update before it is made. `reverse`: the rows of each batch from last to first, which changes
    nothing but the order in which numbers are added."""
    plan = recipe.plan
    steps, size = plan.steps(len(examples)), plan.per_device_train_batch_size
    moving = [w for w in model.parameters() if w.requires_grad]
    optimizer = _adamw(moving, plan.weight_decay)
    step = 0
    while step < steps:
        for places in epoch_batches(examples.rows, size, plan.seed, step // -(-len(examples) // size)):
            if step >= steps:
                return
            batch = examples.take(places.flip(0) if reverse else places)
            for group in optimizer.param_groups:
                group["lr"] = rate(plan, step, steps)
            model.train()
            torch.manual_seed(step_seed(plan.seed, step))
            loss = functional.cross_entropy(model(batch), batch.targets)
            loss.backward()
            nn.utils.clip_grad_norm_(moving, plan.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            yield float(loss.detach())


def _adamw(moving: list[nn.Parameter], decay: float) -> torch.optim.AdamW:
    """Decay for matrices only."""
    matrices, vectors = [w for w in moving if w.ndim > 1], [w for w in moving if w.ndim <= 1]
    return torch.optim.AdamW([{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}])


def _adapt(model: nn.Module, recipe: Recipe) -> None:
    """LoRA in every linear layer of the blocks, or of the last ones, the rest frozen."""
    settings = recipe.method.settings()
    blocks = model.config.num_hidden_layers
    inside = tuple(f"encoder.layer.{i}." for i in range(blocks - (settings.get("last") or blocks), blocks))
    names = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and n.startswith(inside)]
    config = LoraConfig(
        r=settings["r"], lora_alpha=settings["lora_alpha"], lora_dropout=settings["lora_dropout"], target_modules=names
    )
    inject_adapter_in_model(config, model)
    for name, weight in model.named_parameters():
        weight.requires_grad_("lora_" in name)


def _in_order(examples: Batch) -> Iterator[Batch]:
    for start in range(0, len(examples), ROWS):
        yield examples.take(torch.arange(start, min(start + ROWS, len(examples))))
