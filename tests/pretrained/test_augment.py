from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from image_samples import pictured
from sartor.pretrained.augment import OPERATIONS, Draw, augmented
from sartor.pretrained.chance import uniform
from sartor.pretrained.image import drawn

NAMES = ("crop", "flip", "cutout", "colour", "randaugment")
ROWS = torch.arange(40) + 100
PIXELS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (40, 3, 16, 24), dtype=np.uint8))


@pytest.mark.parametrize("name", NAMES)
def test_it_changes_most_images_and_keeps_their_shape(name: str) -> None:
    found = augmented(PIXELS, (name,), Draw(5, ROWS))
    assert found.shape == PIXELS.shape
    assert found.dtype == torch.uint8
    changed = (found != PIXELS).flatten(1).any(1).float().mean()
    assert changed > (0.3 if name == "flip" else 0.7)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_function_of_the_seed_and_the_row_alone(name: str) -> None:
    whole = augmented(PIXELS, (name,), Draw(5, ROWS))
    some = torch.tensor([31, 2, 17])
    assert torch.equal(augmented(PIXELS[some], (name,), Draw(5, ROWS[some])), whole[some])
    assert not torch.equal(augmented(PIXELS, (name,), Draw(6, ROWS)), whole)


def test_nothing_asked_for_is_nothing_done() -> None:
    assert torch.equal(augmented(PIXELS, (), Draw(5, ROWS)), PIXELS)


def test_a_flip_exchanges_left_and_right() -> None:
    found = augmented(PIXELS, ("flip",), Draw(5, ROWS))
    flipped = uniform(5, ROWS, 2) < 0.5
    assert torch.equal(found[flipped], PIXELS[flipped].flip(3))
    assert torch.equal(found[~flipped], PIXELS[~flipped])


def test_a_crop_is_the_image_moved_with_its_border_mirrored() -> None:
    found = augmented(PIXELS, ("crop",), Draw(5, ROWS)).numpy()
    for i in range(10):
        padded = np.pad(PIXELS[i].numpy(), ((0, 0), (2, 2), (3, 3)), mode="reflect")
        places = [padded[:, y : y + 16, x : x + 24] for y in range(5) for x in range(7)]
        assert sum(np.array_equal(found[i], place) for place in places) == 1


def test_cutout_blanks_a_quarter_of_the_sides_at_most() -> None:
    found = augmented(PIXELS, ("cutout",), Draw(5, ROWS))
    blank = (found == 128).all(1)
    assert blank.flatten(1).sum(1).max() <= (16 // 4 + 1) * (24 // 4 + 1)
    assert torch.equal(found.masked_fill(blank[:, None], 0), PIXELS.masked_fill(blank[:, None], 0))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_of_no_strength_changes_nothing(operation: object) -> None:
    zero = torch.zeros(len(PIXELS))
    found = operation(PIXELS.float(), zero)  # type: ignore[operator]
    torch.testing.assert_close(found, PIXELS.float(), rtol=0, atol=1e-2)


def test_numbers_are_even_and_independent() -> None:
    found = torch.stack([uniform(seed, torch.arange(2000), k) for seed in range(4) for k in range(4)])
    assert found.min() >= 0 and found.max() < 1
    assert torch.allclose(found.mean(1), torch.tensor(0.5), atol=0.03)
    correlations = torch.corrcoef(found) - torch.eye(16)
    assert correlations.abs().max() < 0.1


def test_a_body_augments_its_training_rows_alone() -> None:
    sizes = {"layer_type": "basic", "embedding_size": 8, "hidden_sizes": [8], "depths": [1]}
    batch = drawn("resnet", sizes, 16, (), 1).encode({"image": pictured(6).column("image")})
    plain, changing = (drawn("resnet", sizes, 16, names, 1) for names in ((), ("crop", "flip")))
    assert plain.augment(batch, 3) is batch
    changed = changing.augment(batch, 3)
    assert not torch.equal(changed.dense["pixels"], batch.dense["pixels"])
    later = changing.augment(replace(batch.take(torch.tensor([4, 1]))), 3)
    assert torch.equal(later.dense["pixels"], changed.dense["pixels"][[4, 1]])
