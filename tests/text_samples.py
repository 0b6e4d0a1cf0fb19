"""Small tables for the tests of the baselines, made of words that mean something and words that do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sartor.data.rows import Column, Kind, Rows, Schema
from sartor.data.sets import join
from sartor.task import Task
from sartor.tasks.classification import Classification
from sartor.tasks.multitask import Multitask
from sartor.tasks.next_item import NextItem
from sartor.tasks.object_detection import ObjectDetection
from sartor.tasks.regression import Regression
from sartor.tasks.token_classification import TokenClassification

TOPICS = {
    "animal": ["cat", "dog", "horse", "mouse", "tiger", "whale", "sheep", "rabbit"],
    "food": ["bread", "cheese", "apple", "soup", "pasta", "butter", "rice", "plum"],
    "tool": ["hammer", "saw", "drill", "wrench", "chisel", "ladder", "plane", "file"],
}
FILLER = ["the", "a", "this", "that", "one", "some", "near", "with", "from", "under", "over", "very"]


def table(columns: dict[str, list[Any]], kinds: dict[str, Kind], target: str | None) -> Rows:
    schema = Schema(
        tuple(Column(name, kind, "given") for name, kind in kinds.items()),
        target,
        tuple(name for name in kinds if name != target),
    )
    count = len(next(iter(columns.values())))
    return Rows(schema, columns, np.arange(count) + 7, np.arange(count) + 8, "sample.csv")


def labelled(count: int = 120, seed: int = 0, labels: tuple[str, ...] = tuple(TOPICS)) -> Rows:
    """Texts about one topic each; the topic is the label."""
    draw = np.random.default_rng(seed)
    said = [labels[i] for i in draw.integers(len(labels), size=count)]
    return table(
        {"text": [_text(draw, [s]) for s in said], "label": said}, {"text": "text", "label": "category"}, "label"
    )


def tagged(count: int = 120, seed: int = 0) -> Rows:
    """Texts about none, one or several topics."""
    draw = np.random.default_rng(seed)
    said = [[t for t in TOPICS if draw.random() < 0.4] for _ in range(count)]
    return table({"text": [_text(draw, s) for s in said], "label": said}, {"text": "text", "label": "labels"}, "label")


def measured(count: int = 120, seed: int = 0) -> Rows:
    """Texts whose topic decides a number, around 1000, 1010 or 1020."""
    draw = np.random.default_rng(seed)
    topics = [list(TOPICS)[i] for i in draw.integers(3, size=count)]
    numbers = [1000 + 10 * list(TOPICS).index(t) + float(draw.normal()) for t in topics]
    return table(
        {"text": [_text(draw, [t]) for t in topics], "label": numbers}, {"text": "text", "label": "number"}, "label"
    )


def paired(count: int = 160, seed: int = 0) -> Rows:
    """Pairs of texts of which the second alone decides the label."""
    draw = np.random.default_rng(seed)
    topics = [[list(TOPICS)[i] for i in draw.integers(2, size=2)] for _ in range(count)]
    columns = {
        "text": [_text(draw, [first]) for first, _ in topics],
        "reply": [_text(draw, [second]) for _, second in topics],
        "label": [second for _, second in topics],
    }
    return table(columns, {"text": "text", "reply": "text", "label": "category"}, "label")


def several(count: int = 120, seed: int = 0) -> Rows:
    """Rows of three data sets in turn: one label, a number, several labels; the first two have the same columns."""
    sizes = {"topic": count - 2 * (count // 3), "cost": count // 3, "tags": count // 3}
    made = {"topic": labelled, "cost": measured, "tags": tagged}
    joined = join({name: made[name](size, seed) for name, size in sizes.items()})
    return joined.take(np.random.default_rng(seed).permutation(count))


def families(count: int = 120, seed: int = 0) -> Rows:
    """Texts about one word each, of 12 words; the word is the class."""
    words = [word for topic in TOPICS.values() for word in topic][::2]
    said = [words[i % len(words)] for i in np.random.default_rng(seed).permutation(count)]
    draw = np.random.default_rng(seed)
    texts = [" ".join([word, *draw.choice(FILLER, size=3)]) for word in said]
    return table({"text": texts, "label": said}, {"text": "text", "label": "category"}, "label")


def personal(count: int = 120, seed: int = 0) -> Rows:
    """Texts about one topic each; each of six readers likes one topic and says so with the same two labels."""
    draw = np.random.default_rng(seed)
    topics = [list(TOPICS)[i % 2] for i in range(count)]
    readers = [f"reader {i % 12 // 2}" for i in range(count)]
    liked = [str((i + int(who[-1])) % 2 == 0) for i, who in enumerate(readers)]
    columns = {"text": [_text(draw, [t]) for t in topics], "label": liked, "reader": readers}
    return _grouped(table(columns, {"text": "text", "label": "category", "reader": "category"}, "label"), "reader")


def sensors(count: int = 120, seed: int = 0) -> Rows:
    """Texts whose topic decides a number, by another rule in each of six places."""
    draw = np.random.default_rng(seed)
    topics = draw.integers(3, size=count)
    places = [i % 6 for i in range(count)]
    columns = {
        "text": [_text(draw, [list(TOPICS)[t]]) for t in topics],
        "label": [1000.0 + place + (10.0 if place % 2 else -10.0) * t for t, place in zip(topics, places, strict=True)],
        "place": [f"place {place}" for place in places],
    }
    return _grouped(table(columns, {"text": "text", "label": "number", "place": "category"}, "label"), "place")


def _grouped(rows: Rows, group: str) -> Rows:
    """The rows with a group column that is no input."""
    inputs = tuple(name for name in rows.schema.inputs if name != group)
    return replace(rows, schema=replace(rows.schema, group=group, inputs=inputs))


def spanned(count: int = 120, seed: int = 0, length: int | None = 7) -> Rows:
    """Tokens of which one or two together are of a topic; rows of one length, so that they could exchange answers, or,
    without `length`, of 1 to 12 tokens."""
    draw = np.random.default_rng(seed)
    rows = [_spans(draw, int(draw.integers(1, 13)) if length is None else length) for _ in range(count)]
    columns = {"tokens": [tokens for tokens, _ in rows], "label": [tags for _, tags in rows]}
    return table(columns, {"tokens": "tokens", "label": "tags"}, "label")


KINDS = {
    "one label": labelled,
    "several labels": tagged,
    "a number": measured,
    "text pairs": paired,
    "spans": spanned,
}


def task_of(rows: Rows, **settings: Any) -> Task:
    if rows.schema.members:
        return Multitask().learn(rows)
    known = {"number": Regression, "tags": TokenClassification, "items": NextItem, "boxes": ObjectDetection}
    made: Any = known.get(rows.schema.kind(str(rows.schema.target)), Classification)
    return made(**settings).learn(rows)


def served(rows: Rows) -> Rows:
    """The rows as they come without their target."""
    if rows.schema.members:
        return rows.untargeted()
    kinds: dict[str, Kind] = {name: rows.schema.kind(name) for name in rows.schema.inputs}
    return table({name: list(rows.column(name)) for name in kinds}, kinds, None)


def _text(draw: np.random.Generator, topics: list[str]) -> str:
    words = [w for topic in topics for w in draw.choice(TOPICS[topic], size=2)]
    words += list(draw.choice(FILLER, size=3))
    return " ".join(str(w) for w in draw.permutation(words))


def _spans(draw: np.random.Generator, length: int) -> tuple[list[str], list[str]]:
    tokens = [str(word) for word in draw.choice(FILLER, size=length)]
    tags = ["O"] * length
    for topic in TOPICS:
        at, size = int(draw.integers(length)), int(draw.integers(1, 3))
        if at + size <= length and set(tags[at : at + size]) == {"O"} and draw.random() < 0.6:
            tokens[at : at + size] = [str(word) for word in draw.choice(TOPICS[topic], size=size)]
            tags[at : at + size] = [f"B-{topic}", f"I-{topic}"][:size]
    return tokens, tags
