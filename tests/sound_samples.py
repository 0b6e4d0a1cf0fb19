"""Small sounds for the tests: tones whose shape is the label, and words that are made of tones."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from sartor.data.media import Held, Media
from sartor.data.rows import Column, Kind, Rows, Schema

RATE = 8000
SHAPES = ("fall", "rise", "still")
LETTERS = {"a": 500.0, "b": 1000.0, "c": 2000.0}
"""What a letter sounds like, in Hertz."""


def tone(label: str, draw: np.random.Generator, seconds: float = 0.25) -> Any:
    """A tone that falls, rises or stays, somewhere, in noise."""
    count = int(RATE * seconds * draw.uniform(0.8, 1.2))
    low, high = draw.uniform(300, 600), draw.uniform(1500, 2500)
    pitch = {"fall": np.linspace(high, low, count), "rise": np.linspace(low, high, count)}.get(label)
    pitch = np.full(count, draw.uniform(600, 1500)) if pitch is None else pitch
    return _noisy(np.sin(2 * np.pi * np.cumsum(pitch) / RATE), draw)


def word(text: str, draw: np.random.Generator) -> Any:
    """A tone of 80 ms for each letter, silence for a space and between letters."""
    parts = []
    for letter in text:
        time = np.arange(int(RATE * 0.08 * draw.uniform(0.9, 1.1))) / RATE
        parts += [np.sin(2 * np.pi * LETTERS.get(letter, 0.0) * time), np.zeros(int(RATE * 0.05))]
    return _noisy(np.concatenate(parts), draw)


def _noisy(samples: Any, draw: np.random.Generator) -> Any:
    return (0.3 * samples + 0.003 * draw.standard_normal(len(samples))).astype(np.float32)


def encoded(samples: Any, rate: int = RATE, kind: str = "WAV", subtype: str | None = None) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format=kind, subtype=subtype)
    return out.getvalue()


def rows_of(sounds: list[Any], label: list[Any], kind: Kind) -> Rows:
    held = [Media(f"{i}.wav", Held(encoded(sound))) for i, sound in enumerate(sounds)]
    schema = Schema((Column("audio", "audio", "given"), Column("label", kind, "given")), "label", ("audio",))
    numbers = np.arange(len(sounds))
    return Rows(schema, {"audio": held, "label": label}, numbers + 7, numbers + 8, "sample.csv")


def sounded(count: int = 60, seed: int = 0, labels: tuple[str, ...] = SHAPES) -> Rows:
    """Sounds of one shape; its name is the label."""
    draw = np.random.default_rng(seed)
    said = [labels[i] for i in draw.integers(len(labels), size=count)]
    return rows_of([tone(s, draw) for s in said], said, "category")


def chords(count: int = 60, seed: int = 0) -> Rows:
    """Sounds that have every tone of which they have the label: none, one or several."""
    draw = np.random.default_rng(seed)
    said = [[c for c in LETTERS if draw.random() < 0.4] for _ in range(count)]
    time = np.arange(RATE // 4) / RATE
    sounds = [sum((np.sin(2 * np.pi * LETTERS[c] * time) for c in s), 0 * time) for s in said]
    return rows_of([_noisy(s / 3, draw) for s in sounds], said, "labels")


def pitched(count: int = 60, seed: int = 0) -> Rows:
    """Sounds whose pitch decides a number, from 1000 to 1020."""
    draw = np.random.default_rng(seed)
    height = draw.random(count)
    time = np.arange(RATE // 4) / RATE
    sounds = [_noisy(np.sin(2 * np.pi * (400 + 2000 * h) * time), draw) for h in height]
    return rows_of(sounds, [1000 + 20 * float(h) for h in height], "number")


def spoken(count: int = 60, seed: int = 0, words: int = 2) -> Rows:
    """Sounds of one or two words of two to four letters; they are the text."""
    draw = np.random.default_rng(seed)
    texts = [
        " ".join(
            "".join(draw.choice(list(LETTERS), size=draw.integers(2, 5))) for _ in range(draw.integers(1, words + 1))
        )
        for _ in range(count)
    ]
    return rows_of([word(t, draw) for t in texts], texts, "text")


SOUNDED = {"one label": sounded, "several labels": chords, "a number": pitched}


def by_class(folder: Path, count: int = 12, seed: int = 0) -> Path:
    """`folder/SHAPE/0.wav` and so on, `count` of each shape."""
    draw = np.random.default_rng(seed)
    for shape in SHAPES:
        (folder / shape).mkdir(parents=True)
        for i in range(count):
            (folder / shape / f"{i}.wav").write_bytes(encoded(tone(shape, draw)))
    return folder
