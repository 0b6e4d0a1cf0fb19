from __future__ import annotations

from pathlib import Path

import pytest
import torch

from image_samples import pictured
from sartor.data.media import Held, Media
from sartor.errors import BadInput
from sartor.pretrained.decoding import pixels
from sartor.pretrained.framing import plain


def test_many_pixels_lie_in_a_file_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SARTOR_CACHE", str(tmp_path))
    media = list(pictured(9).column("image"))
    kept = pixels(media, plain(16))
    mapped = pixels(media, plain(16), limit=100)
    assert torch.equal(kept, mapped)
    assert mapped.shape == (9, 3, 16, 16)
    assert list((tmp_path / "pixels").iterdir()) == []


def test_the_first_bad_image_is_named() -> None:
    media = [*pictured(3).column("image"), Media("late.png", Held(b""))]
    with pytest.raises(BadInput, match=r"error\[IMG_EMPTY\]: the image 'late.png' has no bytes"):
        pixels(media, plain(16))
