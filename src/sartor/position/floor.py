"""The floor: what a large model must beat, fitted first because it is cheap and because it keeps us honest."""

from __future__ import annotations

import time
from collections.abc import Iterator

from sartor.engine.progress import Progress
from sartor.errors import SartorError
from sartor.position.entry import Entry
from sartor.position.ground import Ground


def floor(ground: Ground, entries: list[Entry]) -> Iterator[Progress]:
    """Fit every baseline on the training part and score it on the validation part."""
    waiting = [e for e in entries if not e.network and e.status == "waiting"]
    for i, entry in enumerate(waiting):
        yield Progress("floor", i, len(waiting), ground.budget.left, entry.name)
        try:
            fit_baseline(ground, entry)
        except SartorError as error:
            entry.out("failed", error.message)
        if entry.scores is not None:
            headline = entry.scores.headline
            found = f"{entry.name}: {headline} {entry.scores.metrics[headline]:.3f}"
            yield Progress("floor", i + 1, len(waiting), ground.budget.left, found)


def fit_baseline(ground: Ground, entry: Entry) -> None:
    baseline = entry.candidate.baseline
    assert baseline is not None
    began = time.perf_counter()
    entry.fitted = baseline.fit(ground.task, ground.split.train, ground.seed)
    entry.train_seconds = time.perf_counter() - began
    entry.answer = entry.fitted.predict
    predictions = entry.fitted.predict(ground.split.validation)
    entry.finish(predictions, ground.task.score(predictions, ground.split.validation))
    ground.record({"event": "finished", "name": entry.name, "seconds": entry.train_seconds})
