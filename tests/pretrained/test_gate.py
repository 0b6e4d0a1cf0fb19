"""Every model folder that must not be opened, and the sentence it is refused with."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sartor.errors import BadInput
from sartor.pretrained.gate import admit, sha256


@pytest.fixture
def folder(tiny_encoder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_encoder, tmp_path / "model"))


def refusal(folder: Path) -> str:
    with pytest.raises(BadInput) as raised:
        admit(folder)
    return str(raised.value).replace(f"{folder.parent}/", "")


def changed(folder: Path, value: dict[str, Any], name: str = "config.json") -> Path:
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | value), "utf-8")
    return folder


def test_a_plain_folder_is_admitted_with_its_configuration(folder: Path) -> None:
    assert admit(folder)["model_type"] == "bert"


def test_no_folder(tmp_path: Path) -> None:
    said = "error[MODEL_NOT_FOUND]: there is no model folder 'none'. Fix: give a folder with config.json."
    assert refusal(tmp_path / "none") == said


def test_no_configuration(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert refusal(folder) == (
        "error[MODEL_CONFIG]: model: the model folder has no config.json. "
        "Fix: give a folder in the transformers layout: config.json, model.safetensors, tokenizer.json."
    )


@pytest.mark.parametrize("name", ["modeling_evil.py", "deep/inside/x.py", "x.pyc", "x.so", "x.dll", "x.dylib"])
def test_program_code(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("")
    shown = Path(name).name
    assert refusal(folder) == (f"error[MODEL_CODE]: model: '{shown}' is program code. Fix: remove it; models are data.")


@pytest.mark.parametrize("pickled", ["pytorch_model.bin", "model.pt", "model.ckpt", None])
def test_weights_that_are_no_safetensors(folder: Path, pickled: str | None) -> None:
    (folder / "model.safetensors").unlink()
    if pickled:
        (folder / pickled).write_bytes(b"\x80\x04.")
    assert refusal(folder) == (
        "error[MODEL_WEIGHTS]: model: the model folder has no .safetensors weights. "
        "Fix: save the model with save_pretrained, which writes safetensors; pickled weights are never opened."
    )


@pytest.mark.parametrize(
    "value",
    [
        {"auto_map": {"AutoModel": "modeling.Evil"}},
        {"auto_map": None},
        {"trust_remote_code": True},
        {"_target_": "os.system"},
        {"custom_pipelines": {}},
        {"text_config": {"deep": [{"auto_map": {}}]}},
    ],
    ids=str,
)
def test_keys_that_ask_for_code(folder: Path, value: dict[str, Any]) -> None:
    key = "auto_map" if "text_config" in value else next(iter(value))
    assert refusal(changed(folder, value)) == (
        f"error[MODEL_CODE]: model/config.json: the key '{key}' asks for code to be run. "
        f"Fix: remove '{key}' from the file if you trust the model without it."
    )


def test_keys_of_the_tokenizer_that_ask_for_code(folder: Path) -> None:
    changed(folder, {"auto_map": {"AutoTokenizer": ["tokenization.Evil", None]}}, "tokenizer_config.json")
    assert refusal(folder) == (
        "error[MODEL_CODE]: model/tokenizer_config.json: the key 'auto_map' asks for code to be run. "
        "Fix: remove 'auto_map' from the file if you trust the model without it."
    )


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("attn_implementation", "owner/evil-kernel"),
        ("_attn_implementation", "owner/evil-kernel"),
        ("_attn_implementation_internal", "owner/evil-kernel"),
        ("_attn_implementation", {"text_config": "owner/evil-kernel"}),
        ("kernel_repo", "owner/kernel"),
    ],
)
def test_kernels_from_elsewhere(folder: Path, key: str, found: Any) -> None:
    assert refusal(changed(folder, {key: found})) == (
        f"error[MODEL_CODE]: model/config.json: the key '{key}' names a kernel from elsewhere. "
        f"Fix: remove '{key}' from the file if you trust the model without it."
    )


@pytest.mark.parametrize("kind", ["eager", "sdpa", None])
def test_kernels_of_torch_are_admitted(folder: Path, kind: str | None) -> None:
    assert admit(changed(folder, {"_attn_implementation": kind}))["_attn_implementation"] == kind


@pytest.mark.parametrize(("kind", "near"), [("brt", "did you mean 'bert'? Known: "), ("", "known: ")])
def test_an_unknown_type(folder: Path, kind: str, near: str) -> None:
    assert refusal(changed(folder, {"model_type": kind})).startswith(
        f"error[MODEL_TYPE]: model/config.json: the model type '{kind}' is unknown. "
        f"Fix: use a model that transformers knows; {near}"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "error[CONFIG_SYNTAX]: model/config.json: the file is not JSON ("),
        (b"\xff\xfe", "error[CONFIG_SYNTAX]: model/config.json: the file is not JSON ("),
        (b"[" * 100_000, "error[CONFIG_SYNTAX]: model/config.json: the file is not JSON ("),
        (b"[]", "error[CONFIG_SHAPE]: model/config.json: the file does not hold a JSON object. Fix: "),
        (b" " * 1_000_001, "error[CONFIG_SIZE]: model/config.json: the file is larger than 1 MB. Fix: "),
    ],
    ids=["open", "bytes", "deep", "list", "large"],
)
def test_a_configuration_that_is_no_json_object(folder: Path, content: bytes, said: str) -> None:
    (folder / "config.json").write_bytes(content)
    found = refusal(folder)
    assert found.startswith(said)
    assert found.endswith("Fix: write the file again, or take it from the original.")


def test_an_adapter_of_another_model(folder: Path) -> None:
    """transformers would follow `base_model_name_or_path` to a folder that no gate has seen."""
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "/elsewhere"}), "utf-8")
    assert refusal(folder) == (
        "error[MODEL_ADAPTER]: model: the folder holds an adapter of another model. "
        "Fix: merge it into its base model and save the result with save_pretrained."
    )


def test_the_hash_is_the_known_one(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    (tmp_path / "x").write_bytes(content)
    assert sha256(tmp_path / "x") == hashlib.sha256(content).hexdigest()
