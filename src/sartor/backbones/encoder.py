"""Any transformers text encoder, by folder or hub name (Devlin et al. 2019, BERT, arXiv 1810.04805, and its kin)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from sartor.backbone import Backbone

if TYPE_CHECKING:
    from sartor.body import Body


@dataclass(frozen=True, kw_only=True)
class Encoder(Backbone):
    """A text encoder from a folder in the transformers layout, or from the hub's cache by its name."""

    reads: ClassVar[frozenset[str]] = frozenset({"text", "tokens"})
    layouts: ClassVar[frozenset[str]] = frozenset({"row", "tokens", "sides"})

    path: str = ""
    """A folder, or a hub name such as `sentence-transformers/all-mpnet-base-v2`."""
    pooling: Literal["auto", "mean", "native"] = "auto"
    """`auto`: the mean where the folder says it is a sentence encoder, else the architecture's own classifier."""
    max_length: int = 256

    def origin(self) -> str:
        return self.path

    def build(self, layout: str, fresh: bool = False) -> Body:
        from sartor.pretrained.place import model_folder
        from sartor.pretrained.text import open_text

        return open_text(model_folder(self.path), self.pooling, self.max_length, layout, fresh)

    def reopen(self, folder: Path, layout: str) -> Body:
        from sartor.pretrained.text import reopen_text

        return reopen_text(folder, self.pooling, self.max_length, layout)
