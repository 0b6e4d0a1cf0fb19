"""What is drawn by number alone: a hash of whole numbers, and the rows of an episode. Imports no torch.

Legend: N rows, R rows of an episode.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sartor.asking import Shape
from sartor.predictions import Integers

Words = NDArray[np.uint64]


def mixed(*numbers: int | Words) -> Words:
    """A 64-bit hash of whole numbers, element by element (the finaliser of SplitMix64, Steele et al. 2014)."""
    state = np.zeros(1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for number in numbers:
            state = state + np.asarray(number, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return state


@dataclass(frozen=True)
class Pool:
    """What episodes are drawn from: of each group that has enough, the places of the rows of each class."""

    groups: tuple[tuple[Integers, ...], ...]


def pool(classes: Integers, groups: Integers, shape: Shape) -> Pool:
    """Classes (N,) and groups (N,) as numbers, classes below 0 where unknown. Classes with too few rows for an episode
    are left out, then groups with too few classes."""
    places = np.flatnonzero(classes >= 0)
    order = places[np.lexsort((places, classes[places], groups[places]))]
    changes = (np.diff(classes[order]) != 0) | (np.diff(groups[order]) != 0)
    enough = [rows for rows in np.split(order, np.flatnonzero(changes) + 1) if len(rows) >= max(1, shape.each)]
    of_group: dict[int, list[Integers]] = {}
    for rows in enough:
        of_group.setdefault(0 if shape.mixed else int(groups[rows[0]]), []).append(rows)
    return Pool(tuple(tuple(found) for found in of_group.values() if len(found) >= shape.ways))


def draw(drawn_from: Pool, shape: Shape, seed: int, number: int) -> Integers:
    """(R,) the places of the rows of episode `number`, examples first: a group, `ways` of its classes, rows of each."""
    groups = drawn_from.groups
    classes = groups[int(mixed(seed, number, 2)[0] % np.uint64(len(groups)))]
    chosen = _first(shape.ways, seed, number, 3, np.arange(len(classes)))
    if shape.named:
        chosen = np.sort(chosen)
    rows = np.stack([_first(shape.each, seed, number, 5, classes[one]) for one in chosen])
    return np.concatenate([rows[:, : shape.shots].ravel(), rows[:, shape.shots :].ravel()])


def ways_of(shape: Shape) -> Integers:
    """(R,) the class of each of an episode's rows, as its place among the episode's classes."""
    ways = np.arange(shape.ways)
    return np.concatenate([ways.repeat(shape.shots), ways.repeat(shape.queries)])


def _first(count: int, seed: int, number: int, purpose: int, values: Integers) -> Integers:
    """The first `count` of `values` in an order that the numbers decide."""
    keys = mixed(seed, number, purpose, values.astype(np.uint64))
    return values[np.argsort(keys, kind="stable")[:count]]
