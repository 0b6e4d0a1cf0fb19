"""Boxes: what a network says of them, matched with those that are there; the loss; overlaps left out.

A network says one thing from each of its P places in an image, (P, C + S + 7) numbers together:

    C (+ S)  logits of the classes, each a yes or no of its own; S = 1: one more, "nothing", and they are one choice
    4        a box, its corners x, y, x, y in shares of the image
    3        where it was said from: x, y, and how far it reaches; reach 0: a query, which looks at the whole image

From places, every box teaches the few that answer it best already (task-aligned assignment: Feng et al. 2021,
arXiv 2108.07755). Queries are a set: each box teaches one, the cheapest pairing of all (Carion et al. 2020,
arXiv 2005.12872).

Legend: B images, P places, M boxes that are there, padded, C classes. `known` (B, M, 5) is a class, -1 where padded,
and a box.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

TAUGHT = 10
"""Places that a box teaches at most."""
SHARPNESS = 6.0
"""How much more overlap counts than the score where the best places are chosen: score * overlap ** 6."""
OVERLAP = 2.5
"""Weight of the overlap's loss beside that of the classes (PP-YOLOE, arXiv 2203.16250)."""
CORNERS, SPREAD, NOTHING = 5.0, 2.0, 0.1
"""DETR's weights: of distances, of overlaps, and of the class "nothing"."""
FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0
FOCAL_COST = 2.0


@dataclass(frozen=True)
class Said:
    """Outputs taken apart: logits (B, P, C + S), boxes (B, P, 4), places (B, P, 3)."""

    logits: Tensor
    boxes: Tensor
    places: Tensor

    @classmethod
    def of(cls, outputs: Tensor, rows: int) -> Said:
        """(U, C + S + 7) outputs of so many images."""
        each = outputs.view(rows, -1, outputs.shape[-1])
        return cls(each[..., :-7], each[..., -7:-3], each[..., -3:])

    @property
    def queries(self) -> bool:
        """Whether nothing was said from a place."""
        return bool((self.places[..., 2] == 0).all())

    def scores(self, classes: int) -> Tensor:
        """(B, P, C) how probable each class is."""
        if self.logits.shape[-1] > classes:
            return self.logits.softmax(-1)[..., :classes]
        return self.logits.sigmoid()


def area(boxes: Tensor) -> Tensor:
    """(..., 4) -> (...)"""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)


def overlap(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes that broadcast (..., 4) -> their intersection over their union, and that union."""
    low, high = torch.maximum(one[..., :2], other[..., :2]), torch.minimum(one[..., 2:], other[..., 2:])
    both = (high - low).clamp(min=0).prod(-1)
    union = area(one) + area(other) - both
    return both / union.clamp(min=1e-12), union


def generalised(one: Tensor, other: Tensor) -> Tensor:
    """Generalised IoU (Rezatofighi et al. 2019, arXiv 1902.09630): below 0 the further apart they are."""
    iou, union = overlap(one, other)
    low, high = torch.minimum(one[..., :2], other[..., :2]), torch.maximum(one[..., 2:], other[..., 2:])
    hull = (high - low).clamp(min=0).prod(-1).clamp(min=1e-12)
    return iou - (hull - union) / hull


def losses(outputs: Tensor, known: Tensor, classes: int, usual: float) -> Tensor:
    """(B,) the loss of each image, in units of `usual` boxes: constant, so that no image weighs by its neighbours."""
    said = Said.of(outputs, len(known))
    return _of_sets(said, known, classes, usual) if said.queries else _of_places(said, known, classes, usual)


def _of_places(said: Said, known: Tensor, classes: int, usual: float) -> Tensor:
    wanted, boxes = aligned(said, known, classes)
    named = functional.binary_cross_entropy_with_logits(said.logits, wanted, reduction="none").sum((1, 2))
    weight = wanted.sum(-1)  # (B, P)
    placed = ((1 - generalised(said.boxes, boxes)) * weight).sum(1)
    return (named + OVERLAP * placed) / (usual * TAUGHT / 2)


@torch.no_grad()
def aligned(said: Said, known: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """(B, P, C) the score that each place should give, 0 where it answers no box, and (B, P, 4) the box it answers.

    The best place of a box is to say its overlap with it, the others less, in proportion."""
    kinds, boxes = known[..., 0].long(), known[..., 1:]
    there = kinds >= 0  # (B, M)
    iou = overlap(said.boxes[:, None], boxes[:, :, None])[0]  # (B, M, P)
    score = said.scores(classes).transpose(1, 2).gather(1, kinds.clamp(min=0)[..., None].expand_as(iou))
    fit = score * iou**SHARPNESS
    fit = fit.masked_fill(~_reachable(said.places, boxes), -1.0).masked_fill(~there[..., None], -1.0)
    best = fit.topk(min(TAUGHT, fit.shape[-1]), -1)
    chosen = torch.zeros_like(fit).scatter_(-1, best.indices, (best.values >= 0).float()).bool()
    owner = iou.masked_fill(~chosen, -1.0).argmax(1)  # (B, P) of several boxes the one it overlaps most
    chosen &= torch.zeros_like(chosen).scatter_(1, owner[:, None], True)
    fit, iou = fit * chosen, iou * chosen
    level = fit / fit.amax(-1, keepdim=True).clamp(min=1e-12) * iou.amax(-1, keepdim=True)  # (B, M, P)
    share = level.gather(1, owner[:, None])[:, 0]
    name = kinds.clamp(min=0).gather(1, owner)
    wanted = torch.zeros(*share.shape, classes, device=share.device).scatter_(-1, name[..., None], share[..., None])
    return wanted, boxes.gather(1, owner[..., None].expand(*owner.shape, 4))


def _reachable(places: Tensor, boxes: Tensor) -> Tensor:
    """(B, M, P) whether a place is inside a box; around a box that holds none, those in reach of its middle."""
    x, y, reach = (places[:, None, :, k] for k in range(3))
    left, top, right, bottom = (boxes[..., k, None] for k in range(4))
    inside = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
    near = ((x - (left + right) / 2).abs() <= reach) & ((y - (top + bottom) / 2).abs() <= reach)
    return inside | (near & ~inside.any(-1, keepdim=True))


def _of_sets(said: Said, known: Tensor, classes: int, usual: float) -> Tensor:
    return torch.stack([_of_set(said, b, known[b], classes) for b in range(len(known))]) / usual


def _of_set(said: Said, b: int, known: Tensor, classes: int) -> Tensor:
    """The summed loss of one image's queries, each box paired with one of them."""
    known = known[known[:, 0] >= 0]
    logits, boxes = said.logits[b], said.boxes[b]
    query, box = paired(logits, boxes, known, classes)
    kinds = known[box, 0].long()
    if logits.shape[-1] > classes:
        wanted = torch.full((len(logits),), classes, device=logits.device)
        wanted[query] = kinds
        weight = torch.ones(classes + 1, device=logits.device)
        weight[classes] = NOTHING
        each = functional.cross_entropy(logits, wanted, weight, reduction="none")
        named = each.sum() / weight[wanted].sum() * max(1, len(known))
    else:
        wanted = torch.zeros_like(logits)
        wanted[query, kinds] = 1.0
        named = focal(logits, wanted).sum()
    distance = (_middled(boxes[query]) - _middled(known[box, 1:])).abs().sum()
    return named + CORNERS * distance + SPREAD * (1 - generalised(boxes[query], known[box, 1:])).sum()


def focal(logits: Tensor, wanted: Tensor) -> Tensor:
    """Focal loss (Lin et al. 2017, arXiv 1708.02002), element by element."""
    p = logits.sigmoid()
    hard = (p * (1 - wanted) + (1 - p) * wanted) ** FOCAL_GAMMA
    weight = FOCAL_ALPHA * wanted + (1 - FOCAL_ALPHA) * (1 - wanted)
    return weight * hard * functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")


@torch.no_grad()
def paired(logits: Tensor, boxes: Tensor, known: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Queries and the boxes (of `known`, none padded) that they are paired with at the least cost together."""
    from scipy.optimize import linear_sum_assignment

    kinds, there = known[:, 0].long(), known[:, 1:]
    if logits.shape[-1] > classes:
        cost = -logits.softmax(-1)[:, kinds]
    else:
        p = logits.sigmoid()[:, kinds]
        found = FOCAL_ALPHA * (1 - p) ** FOCAL_GAMMA * -(p + 1e-8).log()
        cost = FOCAL_COST * (found - (1 - FOCAL_ALPHA) * p**FOCAL_GAMMA * -(1 - p + 1e-8).log())
    cost = cost + CORNERS * torch.cdist(_middled(boxes), _middled(there), p=1)
    cost = cost - SPREAD * generalised(boxes[:, None], there[None])
    query, box = linear_sum_assignment(torch.nan_to_num(cost, 1e6).cpu().numpy())
    return torch.as_tensor(query, device=logits.device), torch.as_tensor(box, device=logits.device)


def _middled(boxes: Tensor) -> Tensor:
    """Corners -> middle, width and height."""
    return torch.cat([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], -1)


def apart(boxes: Tensor, scores: Tensor, kinds: Tensor, most: float) -> Tensor:
    """Places of the boxes that are kept, the best first: each one that overlaps none better of its class by more than
    `most` (non-maximum suppression)."""
    order = torch.argsort(scores, descending=True, stable=True)
    boxes, kinds = boxes[order], kinds[order]
    rivals = (overlap(boxes[:, None], boxes[None])[0] > most) & (kinds[:, None] == kinds[None])
    kept = torch.ones(len(order), dtype=torch.bool)
    for i in range(len(order)):
        if kept[i]:
            kept[i + 1 :] &= ~rivals[i, i + 1 :]
    return order[kept]
