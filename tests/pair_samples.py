"""Small pairs for the tests: two texts that share a word, or a text and the image that it is about."""

from __future__ import annotations

from typing import Any

import numpy as np

from image_samples import SHAPES, picture
from image_samples import rows_of as images_of
from sartor.data.rows import Rows
from text_samples import FILLER, TOPICS, table

WORDS = [word for topic in TOPICS.values() for word in topic]


def matched(count: int = 60, seed: int = 0) -> Rows:
    """Two texts that share two words of 24, and no other pair shares the same two."""
    draw = np.random.default_rng(seed)
    both = [(a, b) for i, a in enumerate(WORDS) for b in WORDS[i + 1 :]]
    chosen = [both[i] for i in draw.permutation(len(both))[:count]]
    left = [" ".join([str(draw.choice(FILLER)), a, b]) for a, b in chosen]
    right = [" ".join([b, str(draw.choice(FILLER)), a]) for a, b in chosen]
    return table({"query": left, "passage": right}, {"query": "text", "passage": "text"}, None)


def graded(count: int = 60, seed: int = 0) -> Rows:
    """Two texts and how many of their three words they share."""
    draw = np.random.default_rng(seed)
    rows: dict[str, list[Any]] = {"one": [], "two": [], "score": []}
    for _ in range(count):
        words, shared = [str(w) for w in draw.permutation(WORDS)[:6]], int(draw.integers(4))
        rows["one"].append(" ".join(words[:3]))
        rows["two"].append(" ".join([*words[:shared], *words[3 : 6 - shared]]))
        rows["score"].append(float(shared))
    return table(rows, {"one": "text", "two": "text", "score": "number"}, "score")


def captioned(count: int = 48, seed: int = 0) -> Rows:
    """Images of one shape each, and a text that names it."""
    draw = np.random.default_rng(seed)
    said = [SHAPES[i] for i in draw.integers(len(SHAPES), size=count)]
    held = images_of([picture(s, draw) for s in said], said, "category").columns["image"]
    texts = [f"{draw.choice(FILLER)} {s}" for s in said]
    return table({"caption": texts, "image": list(held)}, {"caption": "text", "image": "image"}, None)


def described(count: int = 48, seed: int = 0) -> Rows:
    """A text and an image a row; the label is half in one and half in the other."""
    rows, draw = captioned(count, seed), np.random.default_rng(seed)
    topics = [str(draw.choice(list(TOPICS))) for _ in range(count)]
    texts = [f"{draw.choice(TOPICS[t])} {draw.choice(FILLER)}" for t in topics]
    labels = [f"{t[0]}{str(c).split()[-1][0]}" for t, c in zip(topics, rows.columns["caption"], strict=True)]
    columns = {"text": texts, "image": list(rows.columns["image"]), "label": labels}
    return table(columns, {"text": "text", "image": "image", "label": "category"}, "label")
