"""Convolutional networks: residual ones (He et al. 2015, arXiv 1512.03385) drawn anew in a few sizes, or any that
transformers knows from a folder, such as ConvNeXT (Liu et al. 2022, arXiv 2201.03545)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from sartor.backbone import Backbone, anew
from sartor.errors import BadInput

if TYPE_CHECKING:
    from sartor.body import Body
    from sartor.recipe import Plan

SEED = 20_151_210
"""Weights that are drawn are the same everywhere: a name is one network."""
SIZES: dict[str, tuple[int, list[int], list[int]]] = {
    "tiny": (32, [32, 64, 128], [1, 1, 1]),
    "small": (64, [64, 128, 256], [1, 1, 1]),
    "resnet18": (64, [64, 128, 256, 512], [2, 2, 2, 2]),
}
"""Channels behind the stem and of each stage, and the stage's blocks of two 3 x 3 convolutions; the stem makes a quarter
of the height and of the width."""
EPOCHS = 20.0


@dataclass(frozen=True, kw_only=True)
class ConvNet(Backbone):
    """A convolutional image network. Without a path its weights are drawn anew, and all of them have to move."""

    reads: ClassVar[frozenset[str]] = frozenset({"image"})

    path: str = ""
    """A folder, or a hub name such as `microsoft/resnet-18`."""
    size: Literal["tiny", "small", "resnet18"] = "small"
    """Of a network that is drawn anew: 0.3, 1.2 or 11 million weights."""
    image_size: int = 64
    """Pixels of a side that images are resized to; a folder says its own."""
    augment: tuple[Literal["crop", "flip", "cutout", "colour", "randaugment"], ...] = ("crop", "flip")
    """What training does to images; none: write `augment=`."""
    learning_rate: float = 2e-3
    """Of weights that are drawn anew, where the plan has none."""

    def __post_init__(self) -> None:
        if not 16 <= self.image_size <= 1024:
            said = f"convnet.image_size is {self.image_size}"
            raise BadInput("VALUE_RANGE", said, fix="give at least 16 and at most 1024")

    def plan(self, plan: Plan) -> Plan:
        return plan if self.path else anew(plan, self.learning_rate, EPOCHS)

    def build(self, layout: str, fresh: bool = False) -> Body:
        from sartor.pretrained.image import drawn, open_image
        from sartor.pretrained.place import model_folder

        if self.path:
            return open_image(model_folder(self.path, self.name), self.augment, fresh)
        return drawn("resnet", self._settings(), self.image_size, self.augment, None if fresh else SEED)

    def reopen(self, folder: Path, layout: str) -> Body:
        from sartor.pretrained.image import open_image

        return open_image(folder, self.augment)

    def _settings(self) -> dict[str, Any]:
        stem, channels, depths = SIZES[self.size]
        return {"layer_type": "basic", "embedding_size": stem, "hidden_sizes": channels, "depths": depths}
