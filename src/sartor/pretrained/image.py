"""ImageBody: any transformers image classifier as a body. Legend: B batch, H x W pixels, D width, C outputs."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sartor.batch import Batch
from sartor.body import Body, Counterpart, Features
from sartor.data.media import Media
from sartor.pretrained import framing
from sartor.pretrained.augment import Augmentation, Draw, augmented
from sartor.pretrained.decoding import pixels
from sartor.pretrained.framing import Frame
from sartor.pretrained.gate import admit
from sartor.pretrained.text import block_list, last_linear, put, quiet, refused

PATCH = 16
"""Pixels of a side that count as one token where the model cuts no patches itself."""


class ImageBody(Body):
    """A transformers image classifier up to what its last linear layer reads; pixels come as bytes and are normalised
    here, so that a batch is small. Norms over the batch follow it only where their scale moves."""

    reads = frozenset({"image"})
    scale: Tensor
    shift: Tensor

    def __init__(
        self, model: Any, frame: Frame, augmentations: Sequence[Augmentation] = (), folder: Path | None = None
    ) -> None:
        super().__init__()
        self.folder = folder
        self.frame = frame
        self.augmentations = tuple(augmentations)
        self.place = last_linear(model)
        head = model.get_submodule(self.place)
        self.width: int = head.in_features
        self._heads = {"classifier": head}  # a plain dict: the head is trained as the network's, not the body's
        put(model, self.place, nn.Identity())
        self.model = model.to(memory_format=torch.channels_last)
        self.list = block_list(model.base_model)
        self.few = self._batch(torch.arange(2 * 3 * math.prod(frame.size)).byte().view(2, 3, *frame.size))
        self.register_buffer("scale", torch.tensor(frame.scale)[:, None, None], persistent=False)
        self.register_buffer("shift", torch.tensor(frame.shift)[:, None, None], persistent=False)

    @property
    def heads(self) -> Mapping[str, nn.Module]:  # type: ignore[override]
        return self._heads

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> Batch:
        """`image` -> (N, 3, H, W) bytes; a row counts as many tokens as the model cuts patches."""
        media: list[Media] = list(columns["image"])
        return self._batch(pixels(media, self.frame))

    def forward(self, batch: Batch) -> Features:
        """(B, D)"""
        features: Tensor = self.model(self._seen(batch)).logits
        return features

    def vectors(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(B, T, D) of its patches, or of the places of its last map, whose channels are as many as its features."""
        hidden: Tensor = self.model.base_model(self._seen(batch)).last_hidden_state
        hidden = hidden.flatten(2).transpose(1, 2) if hidden.ndim == 4 else hidden
        return hidden, torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device)

    def _seen(self, batch: Batch) -> Tensor:
        """(B, 3, H, W) normalised."""
        place = next(self.model.parameters()).device
        seen = batch.dense["pixels"].to(place).float() * self.scale - self.shift
        return seen.contiguous(memory_format=torch.channels_last)

    def augment(self, batch: Batch, seed: int) -> Batch:
        if not self.augmentations:
            return batch
        changed = augmented(batch.dense["pixels"], self.augmentations, Draw(seed, batch.rows))
        return replace(batch, dense={**batch.dense, "pixels": changed})

    def train(self, mode: bool = True) -> ImageBody:
        follow(self, mode)
        return self

    def linears(self) -> list[str]:
        inside = tuple(f"model.{self._blocks_at()}.{i}." for i in range(len(self.blocks())))
        return [n for n, m in self.named_modules() if isinstance(m, nn.Linear) and n.startswith(inside)]

    def blocks(self) -> list[nn.Module]:
        return list(self.model.get_submodule(self._blocks_at())) if self.list else []

    def counterpart(self) -> Counterpart | None:
        if self.folder is None:
            return None
        kind = "AutoModelForImageClassification"
        return Counterpart(kind, "model.", self.model.base_model_prefix, self.place)

    def facts(self) -> dict[str, Any]:
        """How images are framed."""
        return {"frame": dict(self.frame.said)}

    def save(self, folder: Path, head: nn.Module, config: dict[str, Any]) -> None:
        """The transformers layout: model, head and image processor; `config` says what the outputs mean."""
        model = copy.deepcopy(self.model).to(memory_format=torch.contiguous_format)
        for name, value in config.items():
            setattr(model.config, name, value)
        model.num_labels = model.config.num_labels
        put(model, self.place, copy.deepcopy(head))
        with quiet():
            model.save_pretrained(folder)
        self.frame.save(folder)

    def _blocks_at(self) -> str:
        return f"{self.model.base_model_prefix}.{self.list}"

    def _batch(self, found: Tensor) -> Batch:
        """(N, 3, H, W) bytes as encoded rows."""
        each = torch.arange(len(found) + 1) * self._tokens()
        return Batch(rows=torch.arange(len(found)), offsets=each, dense={"pixels": found})

    def _tokens(self) -> int:
        """What a row costs, in tokens."""
        height, width = self.frame.size
        side = getattr(self.model.config, "patch_size", None) if not self._has_convolutions() else None
        side = side if isinstance(side, int) else PATCH
        return 1 + (height // side) * (width // side)

    def _has_convolutions(self) -> bool:
        return any(isinstance(m, nn.Conv2d) for block in self.blocks() for m in block.modules())


def follow(body: nn.Module, mode: bool) -> None:
    """The body in or out of training; norms over the batch follow it only where their scale moves."""
    for module in body.children():
        module.train(mode)
    body.training = mode
    for norm in (m for m in body.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)):
        norm.train(mode and norm.weight.requires_grad)


def open_image(folder: Path, augmentations: Sequence[Augmentation] = (), fresh: bool = False) -> ImageBody:
    """The image classifier in `folder`, or one of its shape with weights drawn anew."""
    admit(folder)
    frame = framing.of_folder(folder)
    return ImageBody(_classifier(folder, fresh), frame, augmentations, folder)


def drawn(
    kind: str, settings: Mapping[str, Any], image_size: int, augmentations: Sequence[Augmentation], seed: int | None
) -> ImageBody:
    """A network of the model type `kind`, its weights drawn from `seed`, or from torch's generator as it stands."""
    from transformers import AutoConfig, AutoModelForImageClassification

    with torch.random.fork_rng(devices=[], enabled=seed is not None), quiet():
        if seed is not None:
            torch.manual_seed(seed)
        config = AutoConfig.for_model(kind, **settings)
        model = AutoModelForImageClassification.from_config(config, dtype=torch.float32)
    return ImageBody(model, framing.plain(image_size), augmentations)


def _classifier(folder: Path, fresh: bool) -> Any:
    from transformers import AutoConfig, AutoModelForImageClassification

    fix = "check that the folder holds a whole image classifier; save it again with save_pretrained"
    with refused("MODEL_OPEN", "the model cannot be opened", fix, folder), quiet():
        if fresh:
            return AutoModelForImageClassification.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32)
        return AutoModelForImageClassification.from_pretrained(
            folder, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )
