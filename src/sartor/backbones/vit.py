"""Vision transformers (Dosovitskiy et al. 2020, arXiv 2010.11929; DeiT's sizes: Touvron et al. 2020, arXiv 2012.12877):
drawn anew in a few sizes, or any image transformer that transformers knows from a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from sartor.backbone import Backbone, anew
from sartor.errors import BadInput

if TYPE_CHECKING:
    from sartor.body import Body
    from sartor.recipe import Plan

SEED = 20_201_022
"""Weights that are drawn are the same everywhere: a name is one network."""
SIZES = {"micro": (96, 4, 3), "tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12)}
"""Width, blocks and heads."""
EPOCHS = 30.0


@dataclass(frozen=True, kw_only=True)
class ViT(Backbone):
    """A vision transformer. Without a path its weights are drawn anew, and all of them have to move: it then needs far
    more images than a convolutional network."""

    reads: ClassVar[frozenset[str]] = frozenset({"image"})

    path: str = ""
    """A folder, or a hub name such as `google/vit-base-patch16-224`."""
    size: Literal["micro", "tiny", "small", "base"] = "micro"
    """Of a network that is drawn anew: 0.5, 5.4, 21 or 85 million weights."""
    image_size: int = 64
    """Pixels of a side that images are resized to; a folder says its own."""
    patch_size: int = 8
    """Pixels of a side of a token; a folder says its own."""
    augment: tuple[Literal["crop", "flip", "cutout", "colour", "randaugment"], ...] = ("crop", "flip")
    """What training does to images; none: write `augment=`."""
    learning_rate: float = 1e-3
    """Of weights that are drawn anew, where the plan has none."""

    def __post_init__(self) -> None:
        if not 16 <= self.image_size <= 1024:
            said = f"vit.image_size is {self.image_size}"
            raise BadInput("VALUE_RANGE", said, fix="give at least 16 and at most 1024")
        if not 1 <= self.patch_size <= self.image_size or self.image_size % self.patch_size:
            said = f"vit.patch_size is {self.patch_size} and vit.image_size {self.image_size}"
            raise BadInput("VALUE_RANGE", said, fix="give a patch size that divides the image size")

    def plan(self, plan: Plan) -> Plan:
        return plan if self.path else anew(plan, self.learning_rate, EPOCHS)

    def build(self, layout: str, fresh: bool = False) -> Body:
        from sartor.pretrained.image import drawn, open_image
        from sartor.pretrained.place import model_folder

        if self.path:
            return open_image(model_folder(self.path, self.name), self.augment, fresh)
        return drawn("vit", self._settings(), self.image_size, self.augment, None if fresh else SEED)

    def reopen(self, folder: Path, layout: str) -> Body:
        from sartor.pretrained.image import open_image

        return open_image(folder, self.augment)

    def _settings(self) -> dict[str, Any]:
        width, blocks, heads = SIZES[self.size]
        return {
            "hidden_size": width,
            "num_hidden_layers": blocks,
            "num_attention_heads": heads,
            "intermediate_size": 4 * width,
            "image_size": self.image_size,
            "patch_size": self.patch_size,
        }
