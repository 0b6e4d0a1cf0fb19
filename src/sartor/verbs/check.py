"""`sartor check`: what the data are, how they would be split, and everything that is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sartor.data.checks import Problem
from sartor.data.hints import Hints
from sartor.data.label_checks import classes_of
from sartor.data.rows import Schema
from sartor.errors import BadInput
from sartor.opening import read_for, read_like


@dataclass(frozen=True)
class CheckResult:
    """What was found.

    rows     how many rows the data have
    parts    part -> its rows, given or as a split would cut them; empty where an error stands in the way
    how      how the split is made, in words
    classes  label -> rows, or spans where these are predicted; empty where a number is
    """

    source: str
    schema: Schema
    problems: tuple[Problem, ...]
    rows: int
    parts: dict[str, int]
    how: str
    classes: dict[str, int]

    @property
    def ok(self) -> bool:
        """Whether nothing stands in the way of training; warnings do not."""
        return not any(p.severity == "error" for p in self.problems)

    def __repr__(self) -> str:
        from sartor.report.terminal import lines_for_check

        found = self.to_json()
        return lines_for_check({**found, **found["schema"], **found["split"]})

    def _repr_html_(self) -> str:
        from sartor.report.notebook import block

        return block(repr(self))

    def to_json(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "ok": self.ok,
            "rows": self.rows,
            "schema": self.schema.to_json(),
            "classes": self.classes,
            "split": {"how": self.how, "parts": self.parts},
            "problems": [p.to_json() for p in self.problems],
        }


def check(
    data: Any,
    *,
    target: str | None = None,
    hints: Hints = Hints(),  # noqa: B008
    task: str | None = None,
    validation: Any = None,
    test: Any = None,
    seed: int = 0,
) -> CheckResult:
    """Every problem of the data and its given parts. Raises `BadInput` where they cannot be read at all."""
    rows, asked = read_for(data, hints.aimed(target), task)
    given = {"validation": validation, "test": test}
    others = {name: read_like(part, hints, asked, rows) for name, part in given.items() if part is not None}
    problems = asked.reading.problems(rows, others)
    parts: dict[str, int] = {}
    how = "not split: the errors come first"
    if not any(p.severity == "error" for p in problems):
        try:
            made = asked.reading.divide(rows, seed, others.get("validation"), others.get("test"))
            learned = asked.learn(made.train)
            learned.asking.refuse(learned, made, None)
            parts, how = made.sizes(), made.how
        except BadInput as error:
            problems = (_as_problem(error), *problems)
    classes = dict(classes_of(rows).most_common())
    return CheckResult(rows.source, rows.schema, problems, len(rows), parts, how, classes)


def _as_problem(error: BadInput) -> Problem:
    return Problem(error.code, "error", error.message, error.fix, 1, (error.where,) if error.where else ())
