"""Convolutional networks: residual ones (He et al. 2015, arXiv 1512.03385) and ConvNeXT (Liu et al. 2022, arXiv
2201.03545), from a folder in the transformers layout or drawn anew in one of a few sizes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from sartor.backbone import Backbone
from sartor.errors import BadInput

if TYPE_CHECKING:
    from sartor.body import Body

SEED = 20_151_210
"""Weights that are drawn are the same everywhere: a name is one network."""
SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"layer_type": "basic", "embedding_size": 32, "hidden_sizes": [32, 64, 128], "depths": [1, 1, 1]},
    "small": {"layer_type": "basic", "embedding_size": 64, "hidden_sizes": [64, 128, 256], "depths": [1, 1, 1]},
    "resnet18": {
        "layer_type": "basic",
        "embedding_size": 64,
        "hidden_sizes": [64, 128, 256, 512],
        "depths": [2, 2, 2, 2],
    },
}
"""Residual networks of two 3 x 3 convolutions a block; their stem makes a quarter of the height and the width."""


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

    def __post_init__(self) -> None:
        if not 16 <= self.image_size <= 1024:
            said = f"convnet.image_size is {self.image_size}"
            raise BadInput("VALUE_RANGE", said, fix="give at least 16 and at most 1024")

    def build(self, layout: str, fresh: bool = False) -> Body:
        from sartor.pretrained.image import drawn, open_image
        from sartor.pretrained.place import model_folder

        if self.path:
            return open_image(model_folder(self.path, self.name), fresh)
        return drawn("resnet", SIZES[self.size], self.image_size, None if fresh else SEED)

    def reopen(self, folder: Path, layout: str) -> Body:
        from sartor.pretrained.image import open_image

        return open_image(folder)
