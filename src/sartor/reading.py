"""Reading: how the data of a task are recognised, read, checked and parted, before anything is learned from them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sartor.data import checks
from sartor.data import split as splitting
from sartor.data.hints import Hints
from sartor.data.problem import Problem
from sartor.data.rows import Kind, Rows, Schema
from sartor.data.split import Split
from sartor.data.table import Table
from sartor.errors import BadInput

if TYPE_CHECKING:
    from sartor.task import Task


@dataclass(frozen=True)
class Reading:
    """The way of most tables: a target column, rows that are independent, parts that keep the shares of the classes.

    predicts   the kinds of target column the task learns from
    """

    predicts: frozenset[Kind]

    def offers(self, kind: Kind) -> bool:
        """Whether the task is the one to take for such a target where the user names none."""
        return kind in self.predicts

    def claims(self, columns: Collection[str], hints: Hints) -> bool:
        """Whether columns of these names, as the field writes them, are this task's data and no other's."""
        return False

    def apart(self, table: Table) -> dict[str, Table]:
        """The data sets that lie in one table, each with a task of its own; none where it is one data set."""
        return {}

    def gathered(self, task: Task, tasks: Mapping[str, Task]) -> Task:
        """The task as one made of `tasks`, which have learned from a data set each."""
        message = f"{task.name} learns from one data set, and {len(tasks)} are given"
        raise BadInput("TASKS_SEVERAL", message, fix="leave --task out, or give each data set a task of its own")

    def formed(self, task: Task, table: Table, hints: Hints, like: Schema | None = None, asked: bool = False) -> Table:
        """The table with a row for each answer, where files have them otherwise; `like`: as the training part was
        formed; `asked`: to be answered, not learned from or scored."""
        return table

    def covers(self, reads: frozenset[str], schema: Schema) -> bool:
        """Whether the task can be asked of what reads columns of these kinds; none named: any."""
        return True

    def hinted(self, columns: Collection[str], hints: Hints) -> Hints:
        """What the user said of the columns, and what the task knows of them beside it."""
        return hints

    def problems(self, rows: Rows, others: Mapping[str, Rows]) -> tuple[Problem, ...]:
        """Everything wrong or suspicious in the data, errors first; `others` are the given parts."""
        return checks.check(rows, others)

    def divide(self, rows: Rows, seed: int, validation: Rows | None, test: Rows | None) -> Split:
        """The three parts: those given, and those cut from `rows`."""
        return splitting.split(rows, seed=seed, validation=validation, test=test)
