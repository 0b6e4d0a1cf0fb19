"""A frame against transformers' own image processors, and saved networks in plain transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from image_samples import encoded, picture
from sartor.data.media import Held, Media
from sartor.errors import BadInput
from sartor.pretrained import framing
from sartor.pretrained.image import ImageBody, drawn, open_image
from sartor.pretrained.text import quiet

DRAW = np.random.default_rng(0)
IMAGES = [picture("disc", DRAW, 40).resize(size, Image.Resampling.BILINEAR) for size in ((40, 40), (61, 33), (30, 57))]
MEDIA = [Media(f"{i}.png", Held(encoded(image))) for i, image in enumerate(IMAGES)]
CONFIGS: dict[str, dict[str, Any]] = {
    "warped": {"image_processor_type": "ViTImageProcessor", "size": {"height": 24, "width": 20}},
    "one number": {"image_processor_type": "ViTImageProcessor", "size": 24},
    "another mean": {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 16, "width": 16},
        "image_mean": [0.4, 0.5, 0.6],
        "image_std": [0.2, 0.3, 0.1],
        "resample": 3,
    },
    "middle": {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 24},
        "do_center_crop": True,
        "crop_size": {"height": 20, "width": 20},
        "image_mean": [0.4, 0.5, 0.6],
        "image_std": [0.2, 0.3, 0.1],
        "resample": 3,
    },
    "convnext": {
        "image_processor_type": "ConvNextImageProcessor",
        "size": {"shortest_edge": 24},
        "crop_pct": 0.875,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "resample": 3,
    },
    "convnext, large": {
        "image_processor_type": "ConvNextImageProcessor",
        "size": {"shortest_edge": 384},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "resample": 3,
    },
}


def processed(folder: Path) -> torch.Tensor:
    """What transformers makes of the images."""
    from transformers import AutoImageProcessor

    with quiet():
        processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    values: torch.Tensor = processor(IMAGES, return_tensors="pt")["pixel_values"]
    return values


@pytest.mark.parametrize("name", CONFIGS)
def test_the_frame_is_transformers_own(name: str, tmp_path: Path) -> None:
    (tmp_path / framing.FILE).write_text(json.dumps(CONFIGS[name]), "utf-8")
    frame = framing.of_folder(tmp_path)
    pixels = torch.from_numpy(np.stack([frame.pixels(m) for m in MEDIA]))
    assert tuple(pixels.shape[2:]) == frame.size
    seen = pixels.float() * torch.tensor(frame.scale)[:, None, None] - torch.tensor(frame.shift)[:, None, None]
    torch.testing.assert_close(seen, processed(tmp_path), rtol=0, atol=1e-5)


def test_a_folder_that_says_nothing_of_sizes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as raised:
        framing.of_folder(tmp_path)
    assert str(raised.value) == (
        f"error[IMAGE_PROCESSOR]: {tmp_path}: the model folder has no preprocessor_config.json. "
        "Fix: save the image processor into the same folder with save_pretrained."
    )
    (tmp_path / framing.FILE).write_text('{"size": {"shortest_edge": 24}}', "utf-8")
    with pytest.raises(BadInput, match=r"preprocessor_config.json describes no resizing that is known"):
        framing.of_folder(tmp_path)


NETWORKS: dict[str, dict[str, Any]] = {
    "resnet": {"layer_type": "basic", "embedding_size": 8, "hidden_sizes": [8, 12], "depths": [1, 1]},
    "convnext": {"hidden_sizes": [8, 12], "depths": [1, 1], "num_stages": 2, "patch_size": 4},
    "vit": {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "image_size": 32,
        "patch_size": 8,
    },
}


@pytest.fixture(params=NETWORKS)
def body(request: pytest.FixtureRequest) -> ImageBody:
    return drawn(request.param, NETWORKS[request.param], 32, (), 1).eval()


def saved(body: ImageBody, folder: Path) -> torch.nn.Linear:
    torch.manual_seed(3)
    head = torch.nn.Linear(body.width, 3)
    told = {"num_labels": 3, "id2label": {0: "a", 1: "b", 2: "c"}, "label2id": {"a": 0, "b": 1, "c": 2}}
    body.save(folder, head, told)
    return head


def test_what_is_saved_loads_in_plain_transformers(body: ImageBody, tmp_path: Path) -> None:
    from transformers import AutoModelForImageClassification

    head = saved(body, tmp_path)
    with quiet():
        model = AutoModelForImageClassification.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        ours = head(body(body.encode({"image": MEDIA})))
        torch.testing.assert_close(model(processed(tmp_path)).logits, ours, rtol=0, atol=1e-5)
    assert model.config.id2label == {0: "a", 1: "b", 2: "c"}
    assert type(model).__name__.endswith("ForImageClassification")


def test_a_folder_opens_as_what_was_saved(body: ImageBody, tmp_path: Path) -> None:
    head = saved(body, tmp_path)
    again = open_image(tmp_path, ("flip",)).eval()
    with torch.no_grad():
        expected = head(body(body.encode({"image": MEDIA})))
        found = again.heads["classifier"](again(again.encode({"image": MEDIA})))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert again.linears() == body.linears()
    part = again.counterpart()
    assert part is not None and part.kind == "AutoModelForImageClassification"
    assert body.counterpart() is None


def test_a_name_is_one_network(body: ImageBody) -> None:
    kind = body.model.config.model_type
    again = drawn(kind, NETWORKS[kind], 32, (), 1)
    assert all(torch.equal(a, b) for a, b in zip(body.parameters(), again.parameters(), strict=True))
    other = drawn(kind, NETWORKS[kind], 32, (), 2)
    assert not all(torch.equal(a, b) for a, b in zip(body.parameters(), other.parameters(), strict=True))


def test_norms_over_the_batch_follow_it_only_where_their_scale_moves() -> None:
    body = drawn("resnet", NETWORKS["resnet"], 32, (), 1)
    batch = body.encode({"image": MEDIA})
    norm = next(m for m in body.modules() if isinstance(m, torch.nn.BatchNorm2d))
    for moves in (False, True):
        body.requires_grad_(moves).train()
        before = norm.running_mean.clone()
        body(batch)
        assert torch.equal(norm.running_mean, before) is not moves
    assert not body.eval().training and not norm.training
