"""The verdict: who is best, who is tied with the best, which of them is the cheapest, and how good that one is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sartor.data.rows import Rows
from sartor.position.entry import Entry
from sartor.position.frontier import Frontier, Point, frontier
from sartor.position.ground import Ground
from sartor.position.intervals import Interval, bootstrap_metric, macro_f1_interval, mean_interval, proportion
from sartor.position.selection import COST_AXES, Corrected, Cost, Ties, bbc, cheapest, ties
from sartor.position.statistics import Comparison, paired, paired_macro_f1, paired_metric
from sartor.predictions import LOWER_IS_BETTER, Integers, Predictions, Scores, better
from sartor.task import Task

DRAWS = 2000


@dataclass(frozen=True)
class Verdict:
    """What a course found. `ties.tied` are those not shown to be worse than the best on the validation part."""

    metric: str
    pick: Entry
    best: Entry
    ties: Ties
    frontier: Frontier
    why: str
    corrected: Corrected | None


def decide(ground: Ground, entries: Sequence[Entry], metric: str | None) -> Verdict | None:
    """The verdict on what is finished; None where nothing is."""
    done = [e for e in entries if e.status == "finished" and e.scores is not None]
    if not done:
        return None
    metric = metric or _scores(done[0]).headline
    lower = metric in LOWER_IS_BETTER
    best = done[0]
    for entry in done[1:]:
        if better(metric, _scores(entry).metrics[metric], _scores(best).metrics[metric]):
            best = entry
    rows = ground.split.validation
    compared = {e.name: compare(ground.task, e, best, rows, metric, ground.seed) for e in done if e is not best}
    found = ties(best.name, compared)
    quality = {e.name: _scores(e).metrics[metric] for e in done}
    costs = {e.name: cost_triples(e) for e in done}
    picked = cheapest(found.tied, costs, quality, lower_is_better=lower)
    pick = next(e for e in done if e.name == picked)
    points = [Point(e.name, interval(ground.task, e, rows, metric, ground.seed), cost_triples(e)) for e in done]
    corrected = _corrected(done, metric, lower, ground.seed)
    return Verdict(
        metric,
        pick,
        best,
        found,
        frontier(points, lower_is_better=lower),
        why(pick, best, found, done, metric),
        corrected,
    )


def compare(task: Task, a: Entry, b: Entry, rows: Rows, metric: str, seed: int) -> Comparison:
    """`a` against `b` on the same rows: by the metric's per-row evidence, else by resampling rows."""
    assert a.predictions is not None and b.predictions is not None
    return compare_predictions(task, (a.predictions, _scores(a)), (b.predictions, _scores(b)), rows, metric, seed)


def compare_predictions(
    task: Task,
    a: tuple[Predictions, Scores],
    b: tuple[Predictions, Scores],
    rows: Rows,
    metric: str,
    seed: int,
) -> Comparison:
    lower = metric in LOWER_IS_BETTER
    if metric in a[1].items:
        items = a[1].items[metric], b[1].items[metric]
        return paired(*items, lower_is_better=lower, metric=metric, seed=seed, draws=DRAWS)
    if metric == "macro_f1" and a[0].single:
        truth, said, other = _codes(rows, a[0]), _answers(a[0]), _answers(b[0])
        return dataclasses.replace(paired_macro_f1(truth, said, other, len(a[0].labels), seed=seed), metric=metric)
    first, second = (task.metric(metric, predictions, rows) for predictions, _ in (a, b))
    return paired_metric(first, second, len(rows), lower_is_better=lower, metric=metric, seed=seed, draws=1000)


def interval(task: Task, entry: Entry, rows: Rows, metric: str, seed: int) -> Interval:
    assert entry.predictions is not None
    return interval_of(task, entry.predictions, _scores(entry), rows, metric, seed)


def interval_of(task: Task, said: Predictions, scores: Scores, rows: Rows, metric: str, seed: int) -> Interval:
    """The metric with its 95 % interval: Wilson or exact for shares, the bootstrap for everything else."""
    items = scores.items.get(metric)
    if metric == "macro_f1" and said.single:
        return macro_f1_interval(_codes(rows, said), _answers(said), len(said.labels), seed=seed)
    if items is None:
        found = bootstrap_metric(task.metric(metric, said, rows), len(rows), seed=seed, draws=1000)
        return dataclasses.replace(found, low=max(0.0, found.low)) if metric in LOWER_IS_BETTER else found
    if set(np.unique(items)) <= {0.0, 1.0}:
        return proportion(int(items.sum()), len(items))
    found = mean_interval(items, seed=seed)
    return dataclasses.replace(found, low=max(0.0, found.low)) if metric in LOWER_IS_BETTER else found


def cost_triples(entry: Entry) -> dict[str, Cost]:
    """axis -> (value, low, high) of what was measured."""
    if entry.costs is None:
        return {}
    axes = {axis: getattr(entry.costs, axis) for axis in (*COST_AXES, "peak_memory_mb")}
    return {axis: (m.value, m.low, m.high) for axis, m in axes.items() if m is not None}


def why(pick: Entry, best: Entry, found: Ties, done: Sequence[Entry], metric: str) -> str:
    """One sentence of evidence."""
    shown, value = metric.replace("_", " "), _scores(pick).metrics[metric]
    by_name = {e.name: e for e in done}
    if pick is not best:
        c = _reversed(found.comparisons[pick.name])
        among = f"among {len(found.comparisons)} comparisons " if c.low * c.high > 0 else ""  # alone it would be
        chance = f"which {among}is not shown to be more than chance"
        return (
            f"{pick.name} is enough: {best.name} gains {_points(c, metric)} of {shown}{_for(best, pick)}, "
            f"{chance}; of the {len(found.tied)} that are tied it is the cheapest."
        )
    if not found.comparisons:
        return f"{pick.name} is the only candidate that was finished."
    rivals = sorted(found.comparisons, key=lambda n: abs(found.comparisons[n].difference))
    rival = by_name[rivals[0]]
    gain = f"gains {_points(_reversed(found.comparisons[rival.name]), metric)} over {rival.name}{_for(pick, rival)}"
    if len(found.tied) > 1:
        others = "1 other is" if len(found.tied) == 2 else f"{len(found.tied) - 1} others are"
        cheaper = "and none is cheaper" if pick.costs is not None else "and costs were not measured"
        ending = f"; {others} not shown to be worse, {cheaper}."
    else:
        ending = "; every other candidate is shown to be worse."
    return f"{pick.name} has the best {shown}, {value:.3f}: it {gain}{ending}"


def _for(dear: Entry, cheap: Entry) -> str:
    """ " for 40 times the training time", where it is more than one and a half times."""
    ratio = dear.train_seconds / cheap.train_seconds if cheap.train_seconds > 0 else 0.0
    return f" for {ratio:.2g} times the training time" if ratio > 1.5 else ""


def _reversed(c: Comparison) -> Comparison:
    return dataclasses.replace(c, difference=-c.difference, low=-c.high, high=-c.low)


def _points(c: Comparison, metric: str) -> str:
    scale, unit = (1, "") if metric in LOWER_IS_BETTER else (100, " points")
    return f"{scale * c.difference:.2g}{unit} [{scale * c.low:.2g}, {scale * c.high:.2g}]"


def _corrected(done: Sequence[Entry], metric: str, lower: bool, seed: int) -> Corrected | None:
    if len(done) < 2 or any(metric not in _scores(e).items for e in done):
        return None
    return bbc(np.stack([e.items(metric) for e in done]), lower_is_better=lower, seed=seed)


def _codes(rows: Rows, said: Predictions) -> Integers:
    place = {label: i for i, label in enumerate(said.labels)}
    return np.array([place[str(t)] for t in rows.targets() or ()], dtype=np.int64)


def _answers(said: Predictions) -> Integers:
    place = {label: i for i, label in enumerate(said.labels)}
    return np.array([place[str(v)] for v in said.values], dtype=np.int64)


def _scores(entry: Entry) -> Scores:
    assert entry.scores is not None
    return entry.scores
