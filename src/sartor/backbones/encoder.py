"""Any transformers text encoder, by folder or hub name (Devlin et al. 2019, BERT, arXiv 1810.04805, and its kin)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from sartor.backbone import Backbone
from sartor.errors import BadInput, SartorError

if TYPE_CHECKING:
    from sartor.body import Body


@dataclass(frozen=True, kw_only=True)
class Encoder(Backbone):
    """A text encoder from a folder in the transformers layout, or from the hub's cache by its name."""

    reads: ClassVar[frozenset[str]] = frozenset({"text"})

    path: str = ""
    """A folder, or a hub name such as `sentence-transformers/all-mpnet-base-v2`."""
    pooling: Literal["auto", "mean", "native"] = "auto"
    """`auto`: the mean where the folder says it is a sentence encoder, else the architecture's own classifier."""
    max_length: int = 256

    def origin(self) -> str:
        return self.path

    def build(self, layout: str, fresh: bool = False) -> Body:
        from sartor.pretrained.text import open_text

        return open_text(model_folder(self.path), self.pooling, self.max_length, fresh)

    def reopen(self, folder: Path, layout: str) -> Body:
        from sartor.pretrained.text import reopen_text

        return reopen_text(folder, self.pooling, self.max_length)


def model_folder(path: str) -> Path:
    """The folder that `path` names: itself, or the hub's copy of it (fetched only where the user is online)."""
    if not path:
        fix = "write --backbone encoder:path=FOLDER, or encoder:path=owner/name"
        raise BadInput("BACKBONE_PATH", "the encoder has no path", fix=fix)
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    if path.startswith((".", "/", "~")) or path.count("/") != 1:
        raise BadInput("MODEL_NOT_FOUND", f"there is no model folder '{path}'", fix="give a folder with config.json")
    return _hub_folder(path)


def _hub_folder(name: str) -> Path:
    from huggingface_hub import snapshot_download

    wanted = ["*.json", "*.safetensors", "*.txt", "*.model", "1_Pooling/*"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except (SartorError, MemoryError):
        raise
    except Exception as error:
        kind = type(error).__name__
        raise BadInput(
            "MODEL_OFFLINE",
            f"'{name}' is not a folder here and the hub did not give it ({kind})",
            fix="download it where there is a network and give its folder: --backbone encoder:path=FOLDER",
        ) from None
