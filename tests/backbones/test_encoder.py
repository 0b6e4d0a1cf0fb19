"""Where an encoder comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sartor.errors import BadInput, Interrupted
from sartor.pretrained.place import model_folder


def sentence(path: str) -> str:
    with pytest.raises(BadInput) as raised:
        model_folder(path)
    return str(raised.value)


def test_a_folder_is_itself(tiny_encoder: Path) -> None:
    assert model_folder(str(tiny_encoder)) == tiny_encoder


def test_no_path() -> None:
    assert sentence("") == (
        "error[BACKBONE_PATH]: the encoder has no path. "
        "Fix: write --backbone encoder:path=FOLDER, or encoder:path=owner/name."
    )


@pytest.mark.parametrize("path", ["./none", "/none/there", "~/none-there", "none", "a/b/c"])
def test_a_folder_that_is_not_there(path: str) -> None:
    assert sentence(path) == (
        f"error[MODEL_NOT_FOUND]: there is no model folder '{path}'. Fix: give a folder with config.json."
    )


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`hub(error)` makes the hub answer with it; the calls are kept."""
    calls: list[Any] = []

    def install(error: Exception | None) -> list[Any]:
        def download(name: str, allow_patterns: list[str]) -> str:
            calls.append((name, allow_patterns))
            if error is not None:
                raise error
            return "/cache/model"

        monkeypatch.setattr("huggingface_hub.snapshot_download", download)
        return calls

    return install


def test_a_hub_name_is_asked_for_without_pickles(hub: Any) -> None:
    calls = hub(None)
    assert model_folder("owner/name") == Path("/cache/model")
    [(name, patterns)] = calls
    assert name == "owner/name"
    assert not {"*.bin", "*.pt", "*.py", "*"} & set(patterns)


def test_a_hub_that_does_not_answer(hub: Any) -> None:
    hub(ConnectionError("no route"))
    assert sentence("owner/name") == (
        "error[MODEL_OFFLINE]: 'owner/name' is not a folder here and the hub did not give it (ConnectionError). "
        "Fix: download it where there is a network and give its folder: --backbone encoder:path=FOLDER."
    )


def test_a_signal_while_downloading_is_no_bad_input(hub: Any) -> None:
    hub(Interrupted(2, kept="nothing"))
    with pytest.raises(Interrupted):
        model_folder("owner/name")
