"""What a course found, as plain values: the `result` of the JSON answer and of `report.json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from sartor.batch import Batch
from sartor.data.label_checks import classes_of
from sartor.data.rows import Kind, Rows
from sartor.position.course import Log
from sartor.position.entry import Entry
from sartor.position.ground import Ground
from sartor.position.intervals import finite
from sartor.position.statistics import resolvable
from sartor.position.verdict import Verdict, compare_predictions, interval, interval_of
from sartor.predictions import Predictions, Scores

WRONG = 20
"""The most confidently wrong rows that are shown."""
ROWS = "rows"
COUNTED: dict[Kind, str] = {"tags": "spans", "boxes": "boxes"}
"""What there is several of in a row of a target of this kind."""


def candidate(ground: Ground, entry: Entry, verdict: Verdict | None) -> dict[str, Any]:
    """One candidate, with everything that was found out about it."""
    name = entry.name
    scores = entry.scores if entry.status == "finished" or entry.scores is not None else None
    shown = {
        "name": name,
        "family": entry.family,
        "status": entry.status,
        "reason": entry.reason,
        "recipe": None if entry.candidate.recipe is None else entry.candidate.recipe.to_json(),
        "spelled": entry.candidate.spelled(),
        "metrics": {} if scores is None else scores.metrics,
        "intervals": {},
        "costs": None if entry.costs is None else entry.costs.to_json(),
        "train_seconds": entry.train_seconds,
        "against_best": None,
        "repeats": entry.repeats,
        "frontier": False,
        "tied": False,
        "dominated_by": None,
        "curve": entry.looks,
        "method": entry.facts,
        "engine": entry.engine,
    }
    if verdict is None or entry.status != "finished":
        return shown
    found = interval(ground.task, entry, ground.split.validation, verdict.metric, ground.seed)
    shown["intervals"] = {verdict.metric: [finite(found.low), finite(found.high)]}
    shown["frontier"] = name in verdict.frontier.names
    shown["tied"] = name in verdict.ties.tied
    shown["dominated_by"] = verdict.frontier.dominated_by.get(name)
    against = verdict.ties.comparisons.get(name)
    if against is not None:
        shown["against_best"] = {**against.to_json(), "best": verdict.best.name}
    elif entry is verdict.best:
        shown["against_best"] = {"verdict": "best", "best": name}
    return shown


def test_scores(ground: Ground, verdict: Verdict, entries: Sequence[Entry]) -> dict[str, Any]:
    """The pick on the test part, which nothing was chosen by, and how it compares there with the simple candidates."""
    rows = ground.split.test
    pick = verdict.pick
    assert pick.answer is not None
    said = pick.answer(rows)
    scores = ground.task.score(said, rows)
    out: dict[str, Any] = {}
    for metric, value in scores.metrics.items():
        found = interval_of(ground.task, said, scores, rows, metric, ground.seed)
        out[metric] = {"value": value, "low": finite(found.low), "high": finite(found.high), "n": len(rows)}
        out[metric] |= {"level": found.level, "method": found.method}
    gains = [_gain(ground, verdict.metric, e, (said, scores)) for e in entries if _simple(e) and e is not pick]
    return {"test": out, "gains": gains, "confusion": confusion(said, rows), **_told(ground, said, rows)}


def _told(ground: Ground, said: Predictions, rows: Rows) -> dict[str, Any]:
    """What the task tells of the pick's answers."""
    telling = ground.task.telling
    return {"wrong": telling.mistakes(said, rows, WRONG), "by_label": telling.by_label(said, rows)}


def confusion(said: Predictions, rows: Rows) -> dict[str, Any] | None:
    """Counts, rows true and columns predicted; None where the answer is no single label."""
    if not said.single or rows.targets() is None:
        return None
    place = {label: i for i, label in enumerate(said.labels)}
    counts = np.zeros((len(place), len(place)), dtype=int)
    for truth, answer in zip(rows.targets() or (), said.values, strict=True):
        counts[place[str(truth)], place[str(answer)]] += 1
    return {"labels": list(said.labels), "counts": counts.tolist()}


def data_facts(ground: Ground) -> dict[str, Any]:
    """The data as they were used."""
    split, schema = ground.split, ground.split.train.schema
    parts = {"train": split.train, "validation": split.validation, "test": split.test}
    labels = sum((classes_of(rows) for rows in parts.values()), Counter[str]())
    counted = COUNTED.get(schema.kind(schema.target), ROWS) if schema.target is not None else ROWS
    read = [b.train.lengths for b in ground.bases.values() if _of_words(b.train)]
    cut = [float((lengths >= lengths.max()).float().mean()) for lengths in read]
    return {
        "source": split.train.source,
        "rows": sum(len(rows) for rows in parts.values()),
        "target": schema.target,
        "inputs": list(schema.inputs),
        "classes": [{"label": label, "rows": count} for label, count in labels.most_common()],
        "parts": {name: len(rows) for name, rows in parts.items()},
        "how": split.how,
        "fingerprint": split.fingerprint,
        "counted": counted,
        "resolution": resolvable(len(split.validation)) if labels and counted == ROWS else None,
        "longest_tokens": max((int(lengths.max()) for lengths in read), default=None),
        "truncated_share": max(cut, default=None),
    }


def _of_words(batch: Batch) -> bool:
    """Whether rows are sequences of words, which an encoder cuts at its length."""
    return any(not values.is_floating_point() for values in batch.sequences.values())


def rungs(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    keys = ("rung", "steps", "alive", "dropped")
    return [{k: e[k] for k in keys} for e in events if e.get("event") == "rung"]


def measured(log: Log, ground: Ground) -> list[dict[str, str]]:
    """How every kind of number came about."""
    n, t = len(ground.split.validation), len(ground.split.test)
    steady = ""
    if log.reference is not None:
        ms = log.reference["ms"]
        steady = f" The fixed work around every turn took {ms['value']:.2f} ms [{ms['low']:.2f}, {ms['high']:.2f}]."
    return [
        {
            "what": "quality",
            "how": f"on the validation part, {n} rows that were not trained on; intervals are 95 %: Wilson's "
            "for shares, the studentised bootstrap for means, the bootstrap over rows for everything else",
        },
        {
            "what": "differences",
            "how": "paired, row by row, against the best candidate; p-values are Holm's; tied: not shown to be worse",
        },
        {"what": "test", "how": f"on the test part, {t} rows that were read once, after the pick was made"},
        {
            "what": "latency and throughput",
            "how": "raw rows in, answers out, tokenisation included; all candidates in turn in every round, a fixed "
            f"piece of work between; the rounds' median, lowest and highest.{steady}",
        },
        {
            "what": "memory",
            "how": "peak resident memory of a fresh process that loads the saved candidate and answers rows",
        },
        {"what": "size", "how": "bytes of all files of the saved candidate; MB are 1e6 bytes"},
        {
            "what": "training seconds",
            "how": "wall time of the updates or of the fit, with the shared feature pass; without looks",
        },
    ]


def _simple(entry: Entry) -> bool:
    """Finished, and trained without a gradient step: what the pick has to justify itself against."""
    recipe = entry.candidate.recipe
    return (
        entry.status == "finished"
        and entry.answer is not None
        and (recipe is None or recipe.method.plan(recipe.plan).max_steps == 0)
    )


def _gain(ground: Ground, metric: str, entry: Entry, pick: tuple[Predictions, Scores]) -> dict[str, Any]:
    assert entry.answer is not None
    rows = ground.split.test
    said = entry.answer(rows)
    scores = ground.task.score(said, rows)
    found = compare_predictions(ground.task, pick, (said, scores), rows, metric, ground.seed)
    return {"over": entry.name, "value": scores.metrics[metric], **found.to_json()}
