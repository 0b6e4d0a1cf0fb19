"""What is learned and asked in episodes: a few examples, then questions of the same classes, none of them seen before.

Whole groups, or without a group column whole classes, are in one part: what is measured is how well the network learns
a small task that it has never met. The episodes of a held-out part are drawn from its rows alone, so every network is
asked the same ones.

Legend: N rows, E episodes, R rows of an episode, S of them examples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sartor.asking import Answer, Asking, Shape
from sartor.data import checks
from sartor.data import split as splitting
from sartor.data.problem import Problem, places, rows_of, short
from sartor.data.rows import Kind, Rows
from sartor.data.split import Split
from sartor.drawing import Pool, draw, pool
from sartor.errors import BadInput
from sartor.predictions import Integers, Predictions
from sartor.reading import Reading

if TYPE_CHECKING:
    from sartor.network import Network
    from sartor.objective import Objective
    from sartor.task import Task

SEED = 20_170_313
"""Of the episodes that held-out rows are asked in: the same for every network and every run."""
NOT_HERE = frozenset({"LABEL_UNKNOWN", "LABEL_RARE"})
"""What a table of fixed classes must not have: here other parts have other classes, and small ones are left out."""


class Unseen(Reading):
    """Parts that share no group, or without a group column no class."""

    def offers(self, kind: Kind) -> bool:
        return False

    def problems(self, rows: Rows, others: Mapping[str, Rows]) -> tuple[Problem, ...]:
        found = [p for p in checks.check(rows, others) if p.code not in NOT_HERE and p.code != "SPLIT_GROUP"]
        found += [p for name, part in others.items() for p in _seen(rows, part, name)]
        return tuple(sorted(found, key=lambda p: p.severity != "error"))

    def divide(self, rows: Rows, seed: int, validation: Rows | None, test: Rows | None) -> Split:
        if rows.schema.time is not None:
            said = f"whole groups or classes are parted, and '{rows.schema.time}' would cut through them"
            raise BadInput("FEWSHOT_TIME", said, fix="leave --time out", where=rows.source)
        return splitting.by_unit(rows, unit(rows), seed=seed, validation=validation, test=test)


def unit(rows: Rows) -> str:
    """The column whose values are never in two parts. Raises `BadInput` for numbers where no column names groups."""
    target = rows.schema.target
    if rows.schema.group is not None:
        return rows.schema.group
    if rows.schema.kind(str(target)) == "number":
        said = f"'{target}' is a number, and nothing says which rows are one small task"
        raise BadInput("FEWSHOT_GROUP", said, fix="name the column that does: --group NAME", where=rows.source)
    return str(target)


def _seen(rows: Rows, part: Rows, name: str) -> Iterator[Problem]:
    column = unit(rows)
    if column not in part.columns:
        return
    before = set(rows.columns[column])
    both = [i for i, value in enumerate(part.columns[column]) if value is not None and value in before]
    if both:
        value = short(str(part.columns[column][both[0]]))
        said = f"the '{column}' '{value}' of the {name} part is in the training part too, in {rows_of(len(both))}"
        fix = f"give a {name} part with others: what is measured is a '{column}' that was never trained on"
        yield Problem("FEWSHOT_SEEN", "error", said, fix, len(both), places(part, both))


@dataclass(frozen=True)
class Episodic(Asking):
    """Episodes of the task's own shape; `task.trials` of them on a held-out part."""

    def shape(self, task: Any) -> Shape | None:
        found: Shape = task.episode()
        return found

    def refuse(self, task: Any, split: Split, learned: Shape | None) -> None:
        shapes = {"train": learned or task.episode(), "validation": task.episode(), "test": task.episode()}
        for name, shape in shapes.items():
            part: Rows = getattr(split, name)
            if not trial_pool(part, shape).groups:
                raise _too_small(part, name, shape)

    def ask(self, task: Any, answer: Answer, rows: Rows, most: int | None = None) -> Predictions:
        shape: Shape = task.episode()
        found = [answer(_hidden(rows.take(where), shape)) for where in trials(rows, shape, most or task.trials)]
        values = np.concatenate([said.values for said in found])
        numbers = np.concatenate([said.rows for said in found])
        if found[0].probabilities is None:
            return Predictions(numbers, values)
        probabilities = np.concatenate([said.probabilities for said in found if said.probabilities is not None])
        labels = found[0].labels if shape.named else tuple(str(1 + way) for way in range(shape.ways))
        return Predictions(numbers, values, labels, probabilities)

    def served(self, task: Any, answer: Answer, rows: Rows) -> Answer:
        shape: Shape = task.episode()
        examples = rows.take(trials(rows, shape, 1)[0][: shape.support])

        def beside(asked: Rows) -> Predictions:
            return answer(joined(examples, asked)).take(np.arange(len(examples), len(examples) + len(asked)))

        return beside


def trials(rows: Rows, shape: Shape, count: int) -> list[Integers]:
    """The places (R,) of each of `count` episodes of held-out rows, examples first."""
    found = trial_pool(rows, shape)
    if not found.groups:
        raise _too_small(rows, "data", shape)
    return [draw(found, shape, SEED, number) for number in range(count)]


def trial_pool(rows: Rows, shape: Shape) -> Pool:
    """What the episodes of these rows are drawn from."""
    return pool(classes_of(rows), groups_of(rows), shape)


def classes_of(rows: Rows) -> Integers:
    """(N,) each row's class as its place among those in the rows, by name; -1 where unknown; 0 for every number."""
    targets, target = rows.targets(), rows.schema.target
    if targets is None or target is None:
        return np.full(len(rows), -1, dtype=np.int64)
    if rows.schema.kind(target) == "number":
        return np.array([-1 if t is None else 0 for t in targets], dtype=np.int64)
    place = {label: i for i, label in enumerate(classes_in(rows))}
    return np.array([-1 if t is None else place[str(t)] for t in targets], dtype=np.int64)


def classes_in(rows: Rows) -> tuple[str, ...]:
    """The classes that the rows name, in the order of their names."""
    return tuple(sorted({str(t) for t in rows.targets() or () if t is not None}))


def groups_of(rows: Rows) -> Integers:
    """(N,) each row's group as the number of its first appearance; all one where no column names them."""
    if rows.schema.group is None or rows.schema.group not in rows.columns:
        return np.zeros(len(rows), dtype=np.int64)
    seen: dict[Any, int] = {}
    return np.array([seen.setdefault(g, len(seen)) for g in rows.columns[rows.schema.group]], dtype=np.int64)


def joined(first: Rows, then: Rows) -> Rows:
    """Both, one after the other, under the columns of the first; what the second lacks is unknown."""
    columns: dict[str, Sequence[Any]] = {
        name: [*values, *then.columns.get(name, [None] * len(then))] for name, values in first.columns.items()
    }
    numbers, lines = np.append(first.numbers, then.numbers), np.append(first.lines, then.lines)
    return replace(first, columns=columns, numbers=numbers, lines=lines)


def _hidden(episode: Rows, shape: Shape) -> Rows:
    """An episode as it is asked: the targets of its questions unknown."""
    target = str(episode.schema.target)
    told = list(episode.columns[target][: shape.support]) + [None] * (shape.rows - shape.support)
    return replace(episode, columns={**episode.columns, target: told})


def _too_small(rows: Rows, name: str, shape: Shape) -> BadInput:
    """Why no episode of this shape can be drawn from the rows."""
    whose, group = f"the {name} part" if name in splitting.PARTS else "the data", rows.schema.group
    sizes = Counter(zip(groups_of(rows).tolist(), classes_of(rows).tolist(), strict=True))
    largest = rows_of(max((n for (_, known), n in sizes.items() if known >= 0), default=0))
    wanted = f"{shape.shots} and asks {shape.queries} of each"
    if rows.schema.kind(str(rows.schema.target)) == "number":
        said = f"an episode shows {wanted} '{group}', and none in {whose} has more than {largest}"
        return BadInput("FEWSHOT_ROWS", said, fix="ask for fewer shots or queries", where=rows.source)
    enough = Counter(0 if shape.mixed else home for (home, known), n in sizes.items() if known >= 0 and n >= shape.each)
    if not enough:
        said = f"an episode shows {wanted} class, and none in {whose} has more than {largest}"
        return BadInput("FEWSHOT_ROWS", said, fix="ask for fewer shots or queries", where=rows.source)
    most, within = max(enough.values()), f" of one '{group}'" if group is not None and not shape.mixed else ""
    said = f"an episode has {shape.ways} classes of {shape.each} rows, and {whose} has {most} such classes{within}"
    fix = f"ask for at most {most} ways" if most > 1 else "ask for fewer shots or queries, or give more rows"
    return BadInput("FEWSHOT_WAYS", said, fix=fix, where=rows.source)


def require_episodes(objective: Objective, task: Task) -> Shape:
    """The episodes that the objective learns from. Raises `BadInput` for a task that is not asked in any."""
    shape = task.asking.shape(task)
    if shape is None:
        said = f"{objective.name} learns from episodes, and {task.name} is asked row by row"
        raise BadInput("OBJECTIVE_TASK", said, fix="use --task few_shot, or --objective supervised")
    return shape


def require_inner(objective: Objective, inner_learning_rate: float, **steps: int | None) -> None:
    """Raise `BadInput` for an inner loop that takes no step."""
    for name, value in steps.items():
        if value is not None and value < 1:
            raise BadInput("VALUE_RANGE", f"{objective.name}.{name} is {value}", fix="give at least 1")
    if not inner_learning_rate > 0:
        said = f"{objective.name}.inner_learning_rate is {inner_learning_rate:g}"
        raise BadInput("VALUE_RANGE", said, fix="give more than 0")


def require_whole(objective: Objective, net: Network) -> None:
    """Raise `BadInput` where some weights are held still: a bundle does not remember which learn from examples."""
    if len(net.trainable()) < len(list(net.parameters())):
        said = f"{objective.name} lets every weight learn from examples, and the method holds some still"
        raise BadInput("OBJECTIVE_METHOD", said, fix="use --method full, or --objective anil or prototypes")
