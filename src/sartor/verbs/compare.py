"""`sartor compare`: two bundles on the same rows, paired."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sartor.data.hints import Hints
from sartor.errors import BadInput
from sartor.opening import check_metric

if TYPE_CHECKING:
    from sartor.bundle import Bundle


@dataclass(frozen=True)
class CompareResult:
    """a minus b, by one metric, with its 95 % interval; `verdict` is on a: better, worse, tied or undecided."""

    a: str
    b: str
    rows: int
    comparison: Mapping[str, Any]
    metrics: Mapping[str, Any]

    def _repr_html_(self) -> str:
        from sartor.report.notebook import block

        c = self.comparison
        bounds = f"{c['difference']:+.4f} [{c['low']:+.4f}, {c['high']:+.4f}], p = {c['p']:.3g}"
        return block(f"{self.a} against {self.b} on {self.rows} rows: {c['metric']} {bounds}: {c['verdict']}")

    def to_json(self) -> dict[str, Any]:
        return {"a": self.a, "b": self.b, "rows": self.rows, **self.comparison, "metrics": dict(self.metrics)}


def compare(
    a: Any,
    b: Any,
    data: Any,
    *,
    hints: Hints = Hints(),  # noqa: B008
    metric: str | None = None,
    task_name: str | None = None,
) -> CompareResult:
    """A paired test of two bundles on labelled data; `task_name`: of a bundle that has several tasks this one, against
    a bundle of the task alone too. Raises `BadInput` where they do not predict the same thing."""
    from sartor.measuring import intervals, labelled, opened

    first, second = _aimed([opened(bundle) for bundle in (a, b)], task_name)
    if first.task.describe() != second.task.describe():
        fix = "compare bundles that were trained on the same target and labels"
        fix += "; of a bundle of several tasks name one with --task-name" if _several(first) != _several(second) else ""
        raise BadInput("COMPARE_TASK", "the two bundles do not predict the same thing", fix=fix, where=str(second.path))
    check_metric(metric, first.task)
    rows = labelled(first, data, hints)
    from sartor.position.verdict import compare_predictions

    said = [
        (p, made.task.score(p, rows))
        for made in (first, second)
        for p in [made.task.asking.ask(made.task, made.answer, rows)]
    ]
    metric = metric or said[0][1].headline
    found = compare_predictions(first.task, said[0], said[1], rows, metric, seed=0)
    metrics = {str(m.path): intervals(m.task, p, rows) for m, (p, _) in zip((first, second), said, strict=True)}
    return CompareResult(str(first.path), str(second.path), len(rows), found.to_json(), metrics)


def _aimed(bundles: list[Bundle], task_name: str | None) -> list[Bundle]:
    """The bundles, those of several tasks narrowed to the named one."""
    if task_name is None:
        return bundles
    several = [_several(bundle) for bundle in bundles]
    return [b.only(task_name) if of or not any(several) else b for b, of in zip(bundles, several, strict=True)]


def _several(bundle: Bundle) -> bool:
    return bool(bundle.schema.members)
