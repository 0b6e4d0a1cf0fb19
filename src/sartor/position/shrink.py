"""Shrink: the leading network once more, smaller; each form is opened from the disk and measured like all others."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence

from sartor.bundle import Bundle
from sartor.compressing import compress
from sartor.compressor import Compressor
from sartor.engine.progress import Progress
from sartor.errors import SartorError
from sartor.position.entry import Candidate, Entry
from sartor.position.ground import Ground
from sartor.predictions import LOWER_IS_BETTER

FORWARDS = 4.0
"""What a form takes besides its compressors, in passes over the validation part: opened, calibrated, answered."""


def shrink(
    ground: Ground, entries: list[Entry], compressors: Sequence[Compressor], reserve: float, notes: list[str]
) -> Iterator[Progress]:
    """One more entry for each compressor, made from the best finished network; `reserve` seconds are left.
    What could not be made is said in `notes`."""
    leader = _leader(entries)
    if leader is None:
        return
    for number, compressor in enumerate(compressors):
        yield Progress("shrink", number, len(compressors), ground.budget.left, f"{leader.name}, {compressor.spelled()}")
        if ground.budget.left - reserve < FORWARDS * _pass(ground, leader) or leader.kept is None:
            notes.append(f"{leader.name} was not made smaller by {compressor.name}: the budget had ended")
            continue
        try:
            entries.append(_smaller(ground, leader, compressor))
        except SartorError as error:
            notes.append(f"{leader.name} was not made smaller by {compressor.name}: {error.message}")


def _leader(entries: Sequence[Entry]) -> Entry | None:
    """The best finished network by the headline on the validation part."""
    found = [e for e in entries if e.network and e.status == "finished" and e.scores is not None]
    if not found:
        return None

    def rank(entry: Entry) -> float:
        assert entry.scores is not None
        value = entry.scores.metrics[entry.scores.headline]
        return -value if entry.scores.headline in LOWER_IS_BETTER else value

    return max(found, key=rank)


def _smaller(ground: Ground, leader: Entry, compressor: Compressor) -> Entry:
    assert leader.kept is not None and leader.candidate.recipe is not None
    began = time.monotonic()
    recipe = dataclasses.replace(leader.candidate.recipe, compress=(compressor,))
    name = f"{leader.name} + {compressor.spelled()}"
    entry = Entry(Candidate(name, leader.family, recipe=recipe))
    made = compress(Bundle.load(leader.kept), [compressor], ground.split.train, leader.kept.parent / _folder(name))
    entry.train_seconds = leader.train_seconds + time.monotonic() - began
    rows = ground.split.validation
    said = ground.task.asking.ask(ground.task, made.answer, rows)
    entry.answer, entry.kept, entry.facts = made.answer, made.path, leader.facts
    entry.engine = leader.engine
    entry.finish(said, ground.task.score(said, rows))
    ground.record({"event": "finished", "name": name, "seconds": entry.train_seconds, "steps": 0})
    return entry


def _folder(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)


def _pass(ground: Ground, entry: Entry) -> float:
    """Seconds that a pass over the validation part takes."""
    assert entry.candidate.recipe is not None
    base = ground.base(entry.candidate.recipe)
    return base.pace * int(base.validation.lengths.sum())
