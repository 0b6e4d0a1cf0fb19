"""Costs do not depend on what the weights have learnt: they are measured before training, and again at the end."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sartor.bundle import network_answer, save_network
from sartor.engine.measure import Costs, Measured, Reference, Timing, measure
from sartor.engine.memory import peak_memory_mb, size_mb
from sartor.engine.progress import Progress
from sartor.errors import BadEnvironment
from sartor.network import assemble
from sartor.position.entry import Entry
from sartor.position.ground import Ground, backbones
from sartor.recipe import Recipe
from sartor.saving import folds_away, lent_bytes, plain

LONG = 120.0
"""Seconds of budget from which a process of its own is spent on every served form's memory, asked for or not."""


@dataclass(frozen=True)
class Limits:
    """What a deployed candidate may cost; None: no limit."""

    max_latency_ms: float | None = None
    max_size_mb: float | None = None
    max_memory_mb: float | None = None

    def broken(self, costs: Costs) -> str | None:
        """The sentence that says which limit is surely broken: even the low end of the spread lies above it."""
        for name, limit, found, unit in (
            ("latency p50", self.max_latency_ms, costs.latency_ms_p50, "ms"),
            ("size", self.max_size_mb, costs.size_mb, "MB"),
            ("peak memory", self.max_memory_mb, costs.peak_memory_mb, "MB"),
        ):
            if limit is not None and found is not None and found.low > limit:
                spread = f"{found.value:.3g} {unit} [{found.low:.3g}, {found.high:.3g}]"
                return f"its {name} is {spread}, above the limit of {limit:g}"
        return None

    def to_json(self) -> dict[str, float | None]:
        return dict(vars(self))


def measure_untrained(ground: Ground, entries: list[Entry], limits: Limits, seconds: float) -> Iterator[Progress]:
    """Every form in which candidates will be served, with a head that knows nothing; those that break a limit leave.

    A method that folds away leaves its backbone's form; one that does not has a form of its own."""
    for (spelled, left), served in _forms(ground, entries).items():
        recipe = served[0].candidate.recipe
        assert recipe is not None
        yield Progress("measure", 0, None, ground.budget.left, f"{spelled} + {left}" if left else spelled)
        weighed = limits.max_memory_mb is not None or ground.budget.seconds >= LONG
        costs = _untrained(ground, recipe, seconds, weighed)
        for entry in served:
            entry.costs = costs
            if (reason := limits.broken(costs)) is not None:
                entry.out("over limit", reason)


def _forms(ground: Ground, entries: list[Entry]) -> dict[tuple[str, str], list[Entry]]:
    """(backbone, what is left of the method once merged) -> the candidates that are served so."""
    found: dict[tuple[str, str], list[Entry]] = {}
    for spelled, first in backbones([e.candidate for e in entries]).items():
        assert first.recipe is not None
        body = plain(first.recipe.backbone, ground.task.layout)
        folds: dict[str, bool] = {}
        for entry in entries:
            recipe = entry.candidate.recipe
            if recipe is None or recipe.backbone.spelled() != spelled:
                continue
            method = recipe.method.spelled()
            if method not in folds:
                folds[method] = folds_away(body, recipe, recipe.settled().plan.steps(len(ground.split.train)))
            found.setdefault((spelled, "" if folds[method] else method), []).append(entry)
    return found


def measure_finished(
    ground: Ground, entries: list[Entry], limits: Limits, seconds: float
) -> tuple[Reference | None, list[str]]:
    """Time every finished candidate in turn on the same rows; returns the fixed work and what was not measured."""
    ready = [e for e in entries if e.status == "finished" and e.answer is not None]
    notes: list[str] = []
    if not ready:
        return None, notes
    subjects = {e.name: e.answer for e in ready if e.answer is not None}
    timings, reference = measure(subjects, ground.split.validation, seconds=seconds)
    for entry in ready:
        entry.costs = _costs(timings[entry.name], entry.costs, entry.train_seconds)
        if entry.costs.size_mb is None:
            notes += weigh(ground, entry)
        if (reason := limits.broken(entry.costs)) is not None:
            entry.out("over limit", reason)
    return reference, notes


def weigh(ground: Ground, entry: Entry) -> list[str]:
    """Size and memory of a finished candidate as it was saved; returns what could not be measured, in words."""
    assert entry.costs is not None
    if entry.kept is None:
        return [f"the size and memory of {entry.name} were not measured"]
    entry.costs = replace(entry.costs, size_mb=size_mb(entry.kept, lent_bytes(entry.kept)))
    seconds = min(60.0, ground.budget.left - 3.0)
    if seconds < 5.0:
        return [f"the memory of {entry.name} was not measured: the budget had ended"]
    try:
        memory = peak_memory_mb(entry.kept, ground.split.validation, batch=1, timeout=seconds)
    except BadEnvironment as error:
        return [f"the memory of {entry.name} was not measured: {error.message}"]
    entry.costs = replace(entry.costs, peak_memory_mb=memory)
    return []


def _untrained(ground: Ground, recipe: Recipe, seconds: float, weighed: bool) -> Costs:
    recipe = recipe.settled()
    steps = recipe.plan.steps(len(ground.split.train))
    net = assemble(recipe.task, recipe.backbone, recipe.method, steps=steps, seed=ground.seed)
    with tempfile.TemporaryDirectory() as made:
        folder = save_network(Path(made) / "bundle", net, recipe, ground.split.train.schema, {}, "")
        answer = network_answer(net, ground.task.typical())
        timings, _ = measure({"": answer}, ground.split.validation, seconds=seconds)
        memory = peak_memory_mb(folder, ground.split.validation, batch=1) if weighed else None
        return replace(
            _costs(timings[""], None, None), size_mb=size_mb(folder, lent_bytes(folder)), peak_memory_mb=memory
        )


def _costs(timing: Timing, before: Costs | None, train_seconds: float | None) -> Costs:
    return timing.costs(
        peak_memory_mb=before.peak_memory_mb if before is not None else None,
        size_mb=before.size_mb if before is not None else None,
        train_seconds=None if train_seconds is None else Measured.once(train_seconds),
    )
