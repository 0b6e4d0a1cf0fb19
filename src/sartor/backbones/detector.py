"""Networks that find boxes: a residual trunk (He et al. 2015, arXiv 1512.03385) whose places speak for themselves
(Tian et al. 2019, arXiv 1904.01355), drawn anew; or a detection transformer (Carion et al. 2020, arXiv 2005.12872) by
name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from sartor.backbone import Backbone, anew
from sartor.errors import BadInput

if TYPE_CHECKING:
    from sartor.body import Body
    from sartor.recipe import Plan

SEED = 20_190_402
"""Weights that are drawn are the same everywhere: a name is one network."""
SIZES: dict[str, tuple[int, list[int], list[int], int]] = {
    "tiny": (32, [32, 64, 128], [1, 1, 1], 64),
    "small": (64, [64, 128, 256], [1, 1, 1], 96),
    "resnet18": (64, [64, 128, 256, 512], [2, 2, 2, 2], 128),
}
"""Channels behind the stem and of each stage, the stage's blocks, and the width of the neck. Maps of an eighth of the
sides and coarser are read."""
EPOCHS = 60.0


@dataclass(frozen=True, kw_only=True)
class Detector(Backbone):
    """A network that finds boxes. Without a path its weights are drawn anew, and all of them have to move: places learn
    from some hundred images, where a detection transformer that is drawn anew needs many thousands."""

    reads: ClassVar[frozenset[str]] = frozenset({"image"})
    layouts: ClassVar[frozenset[str]] = frozenset({"boxes"})

    path: str = ""
    """A folder, or a hub name, of a DETR or YOLOS, such as `hustvl/yolos-tiny`."""
    size: Literal["tiny", "small", "resnet18"] = "tiny"
    """Of a network that is drawn anew: 0.5, 2 or 13 million weights."""
    image_size: int = 256
    """Pixels of a side that images are warped to; a folder that says its own keeps it."""
    augment: tuple[Literal["scale", "crop", "flip", "upturn", "colour"], ...] = ("scale", "crop", "flip", "colour")
    """What training does to images and to their boxes; none: write `augment=`."""
    learning_rate: float = 2e-3
    """Of weights that are drawn anew, where the plan has none."""

    def __post_init__(self) -> None:
        if not 64 <= self.image_size <= 2048 or self.image_size % 32:
            said = f"detector.image_size is {self.image_size}"
            raise BadInput("VALUE_RANGE", said, fix="give a multiple of 32, at least 64 and at most 2048")

    def origin(self) -> str:
        return self.path

    def plan(self, plan: Plan) -> Plan:
        return plan if self.path else anew(plan, self.learning_rate, EPOCHS)

    def build(self, layout: str, fresh: bool = False) -> Body:
        from sartor.pretrained.detector import drawn_detector, open_detector
        from sartor.pretrained.place import model_folder

        if self.path:
            return open_detector(model_folder(self.path, self.name), self.image_size, self.augment, fresh)
        *_, width = SIZES[self.size]
        return drawn_detector(self._settings(), width, self.image_size, self.augment, None if fresh else SEED)

    def reopen(self, folder: Path, layout: str) -> Body:
        from sartor.pretrained.detector import open_detector

        return open_detector(folder, None, self.augment)

    def _settings(self) -> dict[str, Any]:
        stem, channels, depths, _ = SIZES[self.size]
        read = [f"stage{i}" for i in range(2, len(channels) + 1)]
        sizes = {"embedding_size": stem, "hidden_sizes": channels, "depths": depths}
        return {"layer_type": "basic", **sizes, "out_features": read}
