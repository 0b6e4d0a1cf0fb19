"""Losses of boxes: against transformers' own, and what the assignment of places must be."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sartor.engine import boxes
from sartor.engine.boxes import Said, aligned, apart, focal, generalised, losses, overlap
from sartor.pretrained.finding import places

KINDS, THERE = torch.tensor([0, 2]), torch.tensor([[0.3, 0.4, 0.2, 0.3], [0.7, 0.6, 0.3, 0.5]])
"""Two boxes as transformers has them: the middle, width and height."""


def corners(found: torch.Tensor) -> torch.Tensor:
    return torch.cat([found[..., :2] - found[..., 2:] / 2, found[..., :2] + found[..., 2:] / 2], -1)


KNOWN = torch.cat([KINDS[:, None].float(), corners(THERE)], 1)[None]


@pytest.mark.parametrize("name", ["YolosForObjectDetection", "DetrForObjectDetection"])
def test_the_loss_of_a_set_is_transformers_own(name: str, tiny_yolos: Path, tiny_detr: Path) -> None:
    """Theirs is per box, and the loss of the classes a mean over queries: ours counts it once for each box too."""
    import transformers

    folder = tiny_yolos if name.startswith("Yolos") else tiny_detr
    model = getattr(transformers, name).from_pretrained(folder).eval()
    pixels = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        said = model(pixels, labels=[{"class_labels": KINDS, "boxes": THERE}])
    nowhere = torch.zeros(said.logits.shape[1], 3)
    outputs = torch.cat([said.logits[0], corners(said.pred_boxes[0]), nowhere], 1)
    assert float(losses(outputs, KNOWN, 3, 1.0)) == pytest.approx(2 * float(said.loss), rel=1e-5)


def test_generalised_overlap_is_transformers_own() -> None:
    from transformers.loss.loss_for_object_detection import generalized_box_iou

    draw = torch.Generator().manual_seed(0)
    one, other = (corners(torch.rand(n, 4, generator=draw)) for n in (5, 7))
    torch.testing.assert_close(generalised(one[:, None], other[None]), generalized_box_iou(one, other))


def test_an_image_without_boxes_has_a_loss_and_pulls_every_score_down() -> None:
    outputs = torch.zeros(6, 4 + 4 + 3, requires_grad=True)
    none = torch.full((1, 1, 5), -1.0)
    found = losses(outputs, none, 3, 1.0)
    found.sum().backward()
    assert found.isfinite().all()
    assert outputs.grad is not None
    assert (outputs.grad[:, 3] < 0).all()


def of_places(known: torch.Tensor, logits: torch.Tensor | None = None) -> torch.Tensor:
    """What a grid of 8 x 8 says where each place says its own small box."""
    grid = places([(8, 8)])
    middle, cell = grid[:, :2], grid[:, 2:]
    said = torch.zeros(len(grid), 3) if logits is None else logits
    return torch.cat([said, middle - cell, middle + cell, middle, cell.amax(1, keepdim=True)], 1)


def test_places_inside_a_box_answer_it_and_the_best_says_its_overlap() -> None:
    said = Said.of(of_places(KNOWN), 1)
    wanted, answered = aligned(said, KNOWN, 3)
    x, y = said.places[0, :, 0], said.places[0, :, 1]
    for k, (kind, box) in enumerate(zip(KINDS, corners(THERE), strict=True)):
        chosen = wanted[0, :, kind] > 0
        inside = (x >= box[0]) & (x <= box[2]) & (y >= box[1]) & (y <= box[3])
        assert 0 < int(chosen.sum()) <= boxes.TAUGHT
        assert not (chosen & ~inside).any()
        assert torch.equal(answered[0, chosen], box.expand(int(chosen.sum()), 4))
        best = overlap(said.boxes[0, chosen], KNOWN[0, k, 1:])[0].max()
        assert float(wanted[0, :, kind].max()) == pytest.approx(float(best), rel=1e-5)
    assert not wanted[0, :, 1].any()


def test_a_box_between_places_still_teaches_the_nearest() -> None:
    tiny = torch.tensor([[[1.0, 0.49, 0.49, 0.51, 0.51]]])
    wanted, _ = aligned(Said.of(of_places(tiny), 1), tiny, 3)
    assert int((wanted > 0).sum()) == 4


def test_padding_teaches_nothing() -> None:
    padded = torch.cat([KNOWN, torch.full((1, 3, 5), -1.0)], 1)
    outputs = of_places(KNOWN, torch.randn(64, 3, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(losses(outputs, padded, 3, 1.0), losses(outputs, KNOWN, 3, 1.0))


def test_the_right_answer_has_the_least_loss() -> None:
    """Places that say the box they are in, and its class."""
    grid = of_places(KNOWN)
    wanted, answered = aligned(Said.of(grid, 1), KNOWN, 3)
    owner = wanted[0].sum(1) > 0
    right = grid.clone()
    right[owner, 3:7] = answered[0, owner]
    right[:, :3] = torch.where(wanted[0] > 0, 12.0, -12.0)
    assert float(losses(right, KNOWN, 3, 2.0)) < 0.02
    assert float(losses(grid, KNOWN, 3, 2.0)) > 1.0


def test_focal_loss_without_focus_is_cross_entropy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boxes, "FOCAL_GAMMA", 0.0)
    monkeypatch.setattr(boxes, "FOCAL_ALPHA", 0.5)
    draw = torch.Generator().manual_seed(0)
    logits, wanted = torch.randn(5, 3, generator=draw), (torch.rand(5, 3, generator=draw) > 0.5).float()
    plain = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    torch.testing.assert_close(focal(logits, wanted), 0.5 * plain)


def test_of_boxes_that_overlap_the_surest_of_a_class_is_kept() -> None:
    found = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.0, 0.0, 0.5, 0.45], [0.0, 0.0, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]])
    scores, kinds = torch.tensor([0.5, 0.9, 0.8, 0.1]), torch.tensor([0, 0, 1, 0])
    assert apart(found, scores, kinds, 0.6).tolist() == [1, 2, 3]
    assert apart(found, scores, kinds, 1.0).tolist() == [1, 2, 0, 3]
