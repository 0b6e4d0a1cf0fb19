"""Boxes move with their image: what is painted in a box is in the moved box of the moved image."""

from __future__ import annotations

import pytest
import torch

from sartor.pretrained.augment import Draw
from sartor.pretrained.moving import Movement, moved

SIZE, COUNT = 64, 40
EVERY: tuple[Movement, ...] = ("scale", "crop", "flip", "upturn", "colour")


def painted() -> tuple[torch.Tensor, torch.Tensor]:
    """Grey images with one white box each, and where it is."""
    draw = torch.Generator().manual_seed(0)
    pixels = torch.full((COUNT, 3, SIZE, SIZE), 128, dtype=torch.uint8)
    known = torch.full((COUNT, 2, 5), -1.0)
    for i in range(COUNT):
        left, top = (int(v) for v in torch.randint(8, 36, (2,), generator=draw))
        wide, high = (int(v) for v in torch.randint(12, 20, (2,), generator=draw))
        pixels[i, :, top : top + high, left : left + wide] = 255
        known[i, 0] = torch.tensor([1.0, left, top, left + wide, top + high]) / torch.tensor([1.0, *[SIZE] * 4])
    return pixels, known


@pytest.mark.parametrize("names", [(name,) for name in EVERY] + [EVERY], ids="-".join)
def test_what_is_in_a_box_stays_in_it(names: tuple[Movement, ...]) -> None:
    pixels, known = painted()
    seen, boxes = moved(pixels, known, names, Draw(5, torch.arange(COUNT)))
    assert seen.dtype == torch.uint8
    assert boxes.shape == known.shape
    assert (boxes[:, 1, 0] == -1).all()
    there = boxes[:, 0, 0] >= 0
    assert int(there.sum()) > COUNT // 2
    y, x = torch.meshgrid(*(torch.arange(SIZE) + 0.5,) * 2, indexing="ij")
    for image, (_, left, top, right, bottom) in zip(seen[there], boxes[there, 0], strict=True):
        bright = image[0].float() > image[0].float().min() / 2 + image[0].float().max() / 2
        rows, columns = y[bright] / SIZE, x[bright] / SIZE
        near = 1.6 / SIZE
        assert float(columns.min()) == pytest.approx(float(left), abs=near)
        assert float(columns.max()) == pytest.approx(float(right), abs=near)
        assert float(rows.min()) == pytest.approx(float(top), abs=near)
        assert float(rows.max()) == pytest.approx(float(bottom), abs=near)


def test_a_row_is_moved_alike_whatever_stands_beside_it() -> None:
    pixels, known = painted()
    seen, boxes = moved(pixels, known, EVERY, Draw(5, torch.arange(COUNT)))
    few = torch.tensor([7, 3])
    alone = moved(pixels[few], known[few], EVERY, Draw(5, few))
    assert torch.equal(alone[0], seen[few])
    assert torch.equal(alone[1], boxes[few])
    other = moved(pixels, known, EVERY, Draw(6, torch.arange(COUNT)))
    assert not torch.equal(other[1], boxes)


def test_flips_exchange_the_sides_of_about_half_of_the_images() -> None:
    pixels, known = painted()
    _, boxes = moved(pixels, known, ("flip",), Draw(5, torch.arange(COUNT)))
    turned = (boxes[:, 0, 1] - known[:, 0, 1]).abs() > 1e-4
    mirrored = known[turned, 0][:, [0, 3, 2, 1, 4]] * torch.tensor([1.0, -1, 1, -1, 1]) + torch.tensor(
        [0.0, 1, 0, 1, 0]
    )
    torch.testing.assert_close(boxes[turned, 0], mirrored)
    assert 0.25 < float(turned.float().mean()) < 0.75


def test_a_box_that_is_mostly_outside_is_dropped_and_others_are_cut() -> None:
    pixels = torch.zeros(COUNT, 3, SIZE, SIZE, dtype=torch.uint8)
    known = torch.tensor([[[0.0, 0.0, 0.0, 0.15, 0.15], [2.0, 0.3, 0.3, 1.0, 1.0]]]).repeat(COUNT, 1, 1)
    _, boxes = moved(pixels, known, ("crop",), Draw(5, torch.arange(COUNT)))
    assert {-1.0, 0.0} == set(boxes[:, 0, 0].tolist())
    assert (boxes[:, 1, 0] == 2).all()
    assert boxes[..., 1:].min() >= 0
    assert boxes[..., 1:].max() <= 1


def test_nothing_asked_for_changes_nothing() -> None:
    pixels, known = painted()
    seen, boxes = moved(pixels, known, (), Draw(5, torch.arange(COUNT)))
    assert torch.equal(seen, pixels)
    assert torch.equal(boxes, known)
