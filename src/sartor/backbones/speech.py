"""Speech networks: a small Conformer on log-mel spectra drawn anew (Gulati et al. 2020, arXiv 2005.08100; its layout in
transformers is that of w2v-BERT: Chung et al. 2021, arXiv 2108.06209), or any CTC encoder that transformers knows from
a folder, such as wav2vec 2.0 (Baevski et al. 2020, arXiv 2006.11477) or HuBERT (Hsu et al. 2021, arXiv 2106.07447)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from sartor.backbone import Backbone, anew

if TYPE_CHECKING:
    from sartor.body import Body
    from sartor.recipe import Plan

SEED = 20_200_516
"""Weights that are drawn are the same everywhere: a name is one network."""
SIZES = {"micro": (64, 2, 4), "tiny": (96, 3, 4), "small": (160, 6, 4), "medium": (256, 12, 4)}
"""Width, blocks and heads."""
EPOCHS = 20.0
KERNEL = 15
"""Frames that a block's convolution reaches back."""


@dataclass(frozen=True, kw_only=True)
class Speech(Backbone):
    """A speech encoder. Without a path its weights are drawn anew, and all of them have to move."""

    reads: ClassVar[frozenset[str]] = frozenset({"audio"})
    layouts: ClassVar[frozenset[str]] = frozenset({"row", "frames"})

    path: str = ""
    """A folder, or a hub name such as `facebook/wav2vec2-base`."""
    size: Literal["micro", "tiny", "small", "medium"] = "tiny"
    """Of a network that is drawn anew: 0.1, 0.5, 2.4 or 12 million weights."""
    augment: tuple[Literal["speed", "noise", "mask"], ...] = ("speed", "noise", "mask")
    """What training does to sounds; none: write `augment=`."""
    learning_rate: float = 2e-3
    """Of weights that are drawn anew, where the plan has none."""

    def origin(self) -> str:
        return self.path

    def plan(self, plan: Plan) -> Plan:
        return plan if self.path else anew(plan, self.learning_rate, EPOCHS)

    def build(self, layout: str, fresh: bool = False) -> Body:
        from sartor.pretrained import hearing
        from sartor.pretrained.place import model_folder
        from sartor.pretrained.speech import drawn, open_speech

        if self.path:
            return open_speech(model_folder(self.path, self.name), layout, self.augment, fresh)
        return drawn(self._settings(), hearing.plain(), layout, self.augment, None if fresh else SEED)

    def reopen(self, folder: Path, layout: str) -> Body:
        from sartor.pretrained.speech import open_speech

        return open_speech(folder, layout, self.augment)

    def _settings(self) -> dict[str, Any]:
        width, blocks, heads = SIZES[self.size]
        return {
            "hidden_size": width,
            "num_hidden_layers": blocks,
            "num_attention_heads": heads,
            "intermediate_size": 2 * width,
            "conv_depthwise_kernel_size": KERNEL,
            "classifier_proj_size": width,
            "initializer_range": 0.5 / width**0.5,  # what is usual, 0.02, is for ten times the width
        }
