"""`sartor position`: which candidate fits, by measurement; and the winner as a bundle."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sartor import part as parts
from sartor.compressor import Compressor
from sartor.data.hints import Hints
from sartor.engine import launch
from sartor.engine.progress import Progress
from sartor.opening import Opening, aware, check_metric, open_data
from sartor.run_folder import RunFolder
from sartor.spelling import Given
from sartor.spelling import seconds as seconds_of

if TYPE_CHECKING:
    from sartor.position.entry import Candidate

USUAL = ("quantize",)
"""The smaller forms that are tried where nothing is said of them."""
WORTH = 60.0
"""Seconds of budget from which a smaller form is worth the time that it takes."""


@dataclass(frozen=True)
class PositionResult:
    """The verdict, and where everything lies. `result` is what `--json` prints and what `report.json` holds."""

    folder: Path
    result: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return dict(self.result)

    @property
    def pick(self) -> str:
        return str(self.result["pick"]["name"])

    @property
    def bundle(self) -> Any:
        """The pick, loaded."""
        from sartor.bundle import Bundle

        return Bundle.load(self.result["pick"]["bundle"])

    def __repr__(self) -> str:
        from sartor.report.terminal import table

        return table(self.result)

    def _repr_html_(self) -> str:
        from sartor.report.notebook import html_fragment

        return html_fragment(self.result)


def position(
    data: Any,
    *,
    target: str | None = None,
    hints: Hints = Hints(),  # noqa: B008
    task: str | None = None,
    budget: str | float = "5m",
    out: str | Path,
    candidates: Sequence[str] | None = None,
    compress: Sequence[str] | None = None,
    metric: str | None = None,
    max_latency_ms: float | None = None,
    max_size_mb: float | None = None,
    max_memory_mb: float | None = None,
    seed: int = 0,
    validation: Any = None,
    test: Any = None,
    plan: Mapping[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    command: str | None = None,
    spent: float = 0.0,
    progress: Callable[[Progress], None] | None = None,
) -> PositionResult:
    """Race the candidates that fit the data, within the budget and the limits, and hand over the one that fits best.

    budget   wall time, as seconds or words such as "90s", "5m", "1h"
    out      the run's folder; nothing may lie there unless `overwrite` or `resume`
    compress the smaller forms in which the leading network enters once more; none: in 8 bits, where the budget is at
             least a minute; an empty list: in no other
    spent    seconds of the budget that are gone already (a command line's own start-up)

    Raises `BadInput` before anything is written; an interrupted course returns the verdict so far.
    """
    arrived = time.monotonic()
    launch.alone("position")
    RunFolder.free(out, resume=resume, overwrite=overwrite)
    opening = open_data(data, hints.aimed(target), task, validation, test, seed)
    check_metric(metric, opening.task)
    seconds = duration(budget)
    from sartor.position.entrants import enter, learned, refuse_unfit

    train = opening.split.train
    entrants = learned(enter(opening.task, train.schema, candidates, plan or {}, len(train)), train)
    if candidates:
        refuse_unfit(entrants)
    opening = aware(opening, [c.recipe.backbone for c in entrants if c.recipe is not None])
    if dry_run:
        return PositionResult(Path(out), _dry(opening, entrants, seconds, out))
    from sartor.position.costs import Limits
    from sartor.position.order import Order, carry_out
    from sartor.report.card import card

    limits = Limits(max_latency_ms, max_size_mb, max_memory_mb)
    said = command or f"sartor position {shlex.quote(_named(data))} --budget {seconds:g}s --out {shlex.quote(str(out))}"
    gone = spent + time.monotonic() - arrived
    order = Order(opening, entrants, limits, seconds, metric, seed, said, card, gone, _smaller(compress, seconds))
    folder = RunFolder.claim(out, resume=resume, overwrite=overwrite)
    return _reported(folder, carry_out(order, folder, progress or (lambda _: None)))


def _reported(folder: RunFolder, result: Mapping[str, Any]) -> PositionResult:
    from sartor.report.verdict_html import html

    folder.write_text("report.html", html(result))
    return PositionResult(folder.path, result)


def duration(budget: str | float) -> float:
    """Seconds, from a number or from words such as "5m"."""
    if isinstance(budget, int | float):
        return float(budget)
    return float(seconds_of(budget, Given(budget, "budget")))


def _smaller(compress: Sequence[str] | None, seconds: float) -> tuple[Compressor, ...]:
    """The forms in which the leading network enters once more."""
    wanted = (USUAL if seconds >= WORTH else ()) if compress is None else compress
    return tuple(cast(Compressor, parts.part("compressors", spelled)) for spelled in wanted)


def _dry(opening: Opening, entrants: Sequence[Candidate], seconds: float, out: str | Path) -> dict[str, Any]:
    names = [c.to_json() | {"name": c.name} for c in entrants]
    return {"dry_run": True, "candidates": names, "data": opening.facts(), "budget_seconds": seconds, "out": str(out)}


def _named(data: Any) -> str:
    return str(data) if isinstance(data, str | Path) else f"<{type(data).__name__}>"
