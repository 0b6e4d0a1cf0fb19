"""Where a pretrained model lies: a folder, or the hub's copy of it."""

from __future__ import annotations

from pathlib import Path

from sartor.errors import BadInput, SartorError

WANTED = ("*.json", "*.safetensors", "*.txt", "*.model", "1_Pooling/*")


def model_folder(path: str, part: str = "encoder") -> Path:
    """The folder that `path` names: itself, or the hub's copy of it (fetched only where the user is online). `part`:
    the backbone that asks."""
    if not path:
        fix = f"write --backbone {part}:path=FOLDER, or {part}:path=owner/name"
        raise BadInput("BACKBONE_PATH", f"the {part} has no path", fix=fix)
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    if path.startswith((".", "/", "~")) or path.count("/") != 1:
        raise BadInput("MODEL_NOT_FOUND", f"there is no model folder '{path}'", fix="give a folder with config.json")
    return _hub_folder(path, part)


def _hub_folder(name: str, part: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(WANTED)))
    except (SartorError, MemoryError):
        raise
    except Exception as error:
        kind = type(error).__name__
        raise BadInput(
            "MODEL_OFFLINE",
            f"'{name}' is not a folder here and the hub did not give it ({kind})",
            fix=f"download it where there is a network and give its folder: --backbone {part}:path=FOLDER",
        ) from None
