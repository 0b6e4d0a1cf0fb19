"""The gate every model folder passes before a library opens it: plain weights, plain configuration, no code.

A switch such as `trust_remote_code=False` has been bypassed by files inside a model folder more than once, so Sartor
reads the configuration itself, strictly, and refuses what could run (safetensors weights and known model types only).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sartor.errors import BadInput, did_you_mean

CODE = frozenset({".py", ".pyc", ".so", ".dll", ".dylib"})
REFUSED_KEYS = frozenset({"auto_map", "custom_pipelines", "trust_remote_code", "_target_"})
ATTENTION = ("eager", "sdpa", "flash_attention_2", "flash_attention_3")
LARGEST_CONFIG = 1_000_000


def admit(folder: Path) -> dict[str, Any]:
    """The configuration of a model folder that is safe to open. Raises `BadInput` that names the file or key."""
    if not folder.is_dir():
        raise BadInput("MODEL_NOT_FOUND", f"there is no model folder '{folder}'", fix="give a folder with config.json")
    config = folder / "config.json"
    if not config.is_file():
        fix = "give a folder in the transformers layout: config.json, model.safetensors, tokenizer.json"
        raise BadInput("MODEL_CONFIG", "the model folder has no config.json", fix=fix, where=str(folder))
    for file in sorted(folder.rglob("*")):
        if file.suffix in CODE:
            raise BadInput(
                "MODEL_CODE", f"'{file.name}' is program code", fix="remove it; models are data", where=str(folder)
            )
    if not list(folder.glob("*.safetensors")):
        fix = "save the model with save_pretrained, which writes safetensors; pickled weights are never opened"
        raise BadInput("MODEL_WEIGHTS", "the model folder has no .safetensors weights", fix=fix, where=str(folder))
    if (folder / "adapter_config.json").exists():  # transformers would open the base model that it names, ungated
        fix = "merge it into its base model and save the result with save_pretrained"
        raise BadInput("MODEL_ADAPTER", "the folder holds an adapter of another model", fix=fix, where=str(folder))
    value = read_json(config)
    for file in (config, *folder.glob("tokenizer_config.json")):
        for key, found in _walk(read_json(file)):
            _refuse(key, found, file)
    _known_type(value, config)
    return value


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a small file; raises `BadInput` that names the file."""
    fix = "write the file again, or take it from the original"
    if path.stat().st_size > LARGEST_CONFIG:
        raise BadInput("CONFIG_SIZE", "the file is larger than 1 MB", fix=fix, where=str(path))
    try:
        value = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadInput("CONFIG_SYNTAX", f"the file is not JSON ({error})", fix=fix, where=str(path)) from None
    if not isinstance(value, dict):
        raise BadInput("CONFIG_SHAPE", "the file does not hold a JSON object", fix=fix, where=str(path))
    return value


def sha256(path: Path) -> str:
    """The file's sha256, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _walk(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key), inner
            yield from _walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner)


def _refuse(key: str, found: Any, where: Path) -> None:
    fix = f"remove '{key}' from the file if you trust the model without it"
    if key in REFUSED_KEYS:
        raise BadInput("MODEL_CODE", f"the key '{key}' asks for code to be run", fix=fix, where=str(where))
    kernels = list(found.values()) if isinstance(found, dict) else [found]
    if key.lstrip("_").startswith("attn_implementation") and not all(k is None or k in ATTENTION for k in kernels):
        raise BadInput("MODEL_CODE", f"the key '{key}' names a kernel from elsewhere", fix=fix, where=str(where))
    if "kernel" in key and isinstance(found, str) and "/" in found:
        raise BadInput("MODEL_CODE", f"the key '{key}' names a kernel from elsewhere", fix=fix, where=str(where))


def _known_type(config: dict[str, Any], where: Path) -> None:
    from transformers import CONFIG_MAPPING

    kind = str(config.get("model_type", ""))
    if kind not in CONFIG_MAPPING:
        fix = f"use a model that transformers knows; {did_you_mean(kind, CONFIG_MAPPING.keys())}"
        raise BadInput("MODEL_TYPE", f"the model type '{kind}' is unknown", fix=fix, where=str(where))
