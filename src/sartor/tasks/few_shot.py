"""Few-shot: a small task that was never met before, from a few examples of it (Vinyals et al. 2016, arXiv 1606.04080).

The rows of a small task are those of one group (an alphabet, a user, a sensor), or any classes where no column names
groups. Trained on many, a network is asked others: `shots` examples of each of `ways` classes, then rows of the same
classes. To predict, give both in one table: rows with their target are the examples, rows without are answered.

Legend: N rows, B batch, C outputs, D width, E episodes, R rows of an episode, Q of them questions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from sartor.asking import Asking, Shape
from sartor.episodic import Episodic, Unseen, classes_in, classes_of, groups_of, trials, unit
from sartor.errors import BadInput
from sartor.part import learned
from sartor.predictions import Floats, Predictions, Scores
from sartor.reading import Reading
from sartor.scoring import FLOOR
from sartor.task import Task

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sartor.batch import Batch
    from sartor.body import Body
    from sartor.data.rows import Rows

WAYS = 5


@dataclass(frozen=True, kw_only=True)
class FewShot(Task):
    """Which of a few classes, or which number, from a few examples.

    Where every group has the same labels, they are the classes and keep their outputs; else an episode's classes take
    the outputs in turn."""

    reading: ClassVar[Reading] = Unseen(frozenset({"category", "boolean", "number"}))
    asking: ClassVar[Asking] = Episodic()

    ways: int | None = None
    """Classes of an episode; none: the labels that every group has, else 5."""
    shots: int = 1
    """Examples of each class; of a number, examples."""
    queries: int = 5
    """Questions of each class in an episode."""
    mixed: bool = False
    """Draw an episode's classes from all groups, not from one."""
    trials: int = 600
    """Episodes that a held-out part is asked in."""
    labels: tuple[str, ...] = learned(())
    number: bool = learned(False)
    mean: float = learned(0.0)
    scale: float = learned(1.0)

    def __post_init__(self) -> None:
        least = {"ways": 2, "shots": 1, "queries": 1, "trials": 2}
        for name, low in least.items():
            if getattr(self, name) is not None and getattr(self, name) < low:
                said = f"few_shot.{name} is {getattr(self, name)}"
                raise BadInput("VALUE_RANGE", said, fix=f"give at least {low}")

    def episode(self) -> Shape:
        """What is asked at a time."""
        ways = 1 if self.number else self.ways or len(self.labels) or WAYS
        return Shape(ways, self.shots, self.queries, self.mixed, bool(self.labels))

    def metrics(self) -> tuple[str, ...]:
        return ("mse", "mae") if self.number else ("accuracy", "log_loss")

    def learn(self, rows: Rows) -> Self:
        if rows.targets() is None:
            raise BadInput(
                "LABEL_COLUMN", "the rows have no target column", fix="pass --target NAME", where=rows.source
            )
        unit(rows)
        if rows.schema.kind(str(rows.schema.target)) == "number":
            known = np.asarray(rows.targets(), dtype=np.float64)
            if len(known) == 0 or float(known.std()) == 0.0:
                fix = "pass another --target"
                raise BadInput("LABEL_SINGLE", "every row has the same target", fix=fix, where=rows.source)
            return self.with_settings(number=True, mean=float(known.mean()), scale=float(known.std()))
        classes = classes_in(rows)
        if len(classes) < 2:
            fix = "add rows of another class, or pass another --target"
            raise BadInput("LABEL_SINGLE", f"every row has the label '{''.join(classes)}'", fix=fix, where=rows.source)
        return self.with_settings(labels=self._same_everywhere(rows, classes))

    def encode(self, rows: Rows, body: Body) -> Batch:
        """Targets: the number itself (no number where unknown), or the class as its place (-1 where unknown)."""
        import torch

        from sartor.data.inputs import inputs
        from sartor.engine.episodes import GROUP

        batch = body.encode(inputs(rows, body.reads, body.gaps))
        dense = {**batch.dense, GROUP: torch.from_numpy(groups_of(rows))}
        return replace(batch, rows=torch.from_numpy(rows.numbers), dense=dense, targets=self._targets(rows))

    def head(self, body: Body) -> nn.Module:
        """Zeros: what an output means is learned from examples (Kao et al. 2022, arXiv 2106.15367)."""
        from torch import nn

        head = nn.Linear(body.width, self._outputs())
        nn.init.zeros_(head.weight)
        nn.init.constant_(head.bias, self.mean)
        return head

    def solve(self, features: Tensor, batch: Batch, head: nn.Module, seed: int) -> dict[str, Any]:
        """All small tasks taken for one, where outputs mean the same in each; else nothing can be fitted."""
        from torch.nn.functional import one_hot

        from sartor.engine.heads import solve_logistic, solve_ridge

        assert batch.targets is not None
        if self.number:
            found = solve_ridge(features, batch.targets[:, None])
        elif self.labels:
            hot = one_hot(batch.targets, len(self.labels)).float()
            found = solve_logistic(features, hot, hot.new_ones(len(hot)), seed, None)
        else:
            return {}
        head.load_state_dict({"weight": found.weight, "bias": found.bias})
        return {"penalty": found.penalty, "held_out_loss": found.held_out_loss}

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        from torch.nn import functional

        assert batch.targets is not None
        targets = batch.targets.to(outputs.device)
        if self.number:
            each: Tensor = ((outputs[:, 0] - targets) / self.scale) ** 2
            return each
        return functional.cross_entropy(outputs, targets, reduction="none")

    def answer(self, outputs: Tensor, rows: Rows) -> Predictions:
        """Every row, those that were given as examples too; over the classes that the rows with a target name."""
        import torch

        if self.number:
            return Predictions(rows.numbers, outputs[:, 0].double().numpy())
        classes = self.labels or classes_in(rows)
        if not classes:
            said = "no row has a label: the classes are those that some rows name"
            fix = f"give a few rows of each class with their '{rows.schema.target or 'label'}' beside those to answer"
            raise BadInput("FEWSHOT_EXAMPLES", said, fix=fix, where=rows.source)
        probabilities = torch.softmax(outputs[:, : len(classes)].double(), -1).numpy()
        values = np.array([classes[i] for i in probabilities.argmax(1)], dtype=object)
        return Predictions(rows.numbers, values, classes, probabilities)

    def score(self, predictions: Predictions, rows: Rows) -> Scores:
        """Means over episodes of the means over their questions; each episode is one piece of evidence."""
        targets = rows.targets()
        if targets is None:
            fix = "use `sartor predict` for rows without labels"
            raise BadInput("EVAL_NO_LABELS", "the rows have no labels to score against", fix=fix, where=rows.source)
        shape = self.episode()
        count = len(predictions) // shape.rows
        places = np.stack(trials(rows, shape, count))
        questions = np.arange(shape.support, shape.rows)
        asked = predictions.take((np.arange(count)[:, None] * shape.rows + questions).ravel())
        truth = [[targets[i] for i in episode] for episode in places]
        found = self._errors(asked, truth) if self.number else self._hits(asked, truth)
        items = {name: each.reshape(count, -1).mean(1) for name, each in found.items()}
        return Scores({name: float(each.mean()) for name, each in items.items()}, items, unit="episodes")

    def describe(self) -> dict[str, Any]:
        if self.number:
            return {"num_labels": 1, "id2label": {0: "value"}, "label2id": {"value": 0}, "problem_type": "regression"}
        names = self.labels or tuple(f"class {1 + way}" for way in range(self._outputs()))
        return {
            "num_labels": len(names),
            "id2label": dict(enumerate(names)),
            "label2id": {name: i for i, name in enumerate(names)},
            "problem_type": "single_label_classification",
        }

    def _outputs(self) -> int:
        return 1 if self.number else len(self.labels) or self.episode().ways

    def _same_everywhere(self, rows: Rows, classes: tuple[str, ...]) -> tuple[str, ...]:
        """The classes, where each of several groups has all of them and no other number of ways is asked for."""
        groups = groups_of(rows)
        pairs = set(zip(groups.tolist(), classes_of(rows).tolist(), strict=True))
        count = len(set(groups.tolist()))
        if self.mixed and len(pairs) > len(classes):
            said = "some labels are in several groups, and mixed episodes tell classes apart by their label alone"
            raise BadInput("FEWSHOT_MIXED", said, fix="leave mixed out", where=rows.source)
        same = count > 1 and len(pairs) == count * len(classes) and self.ways in (None, len(classes))
        return classes if same else ()

    def _targets(self, rows: Rows) -> Tensor | None:
        import torch

        targets = rows.targets()
        if targets is None:
            return None
        if self.number:
            return torch.tensor([np.nan if t is None else float(t) for t in targets], dtype=torch.float32)
        if not self.labels:
            return torch.from_numpy(classes_of(rows))
        place = {label: i for i, label in enumerate(self.labels)}
        for i, label in enumerate(targets):
            if label is not None and str(label) not in place:
                said = f'label "{label}" is not one of: {", ".join(self.labels[:10])}'
                fix = "correct the row, or train with rows that have this label"
                raise BadInput("LABEL_UNKNOWN", said, fix=fix, where=rows.place(i))
        return torch.tensor([-1 if t is None else place[str(t)] for t in targets])

    def _errors(self, asked: Predictions, truth: list[list[Any]]) -> dict[str, Floats]:
        """(E Q,) squared and absolute errors."""
        shape = self.episode()
        known = np.array([episode[shape.support :] for episode in truth], dtype=np.float64).ravel()
        error = asked.values.astype(np.float64) - known
        return {"mse": error**2, "mae": np.abs(error)}

    def _hits(self, asked: Predictions, truth: list[list[Any]]) -> dict[str, Floats]:
        """(E Q,) whether the answer is right, and minus the logarithm of the probability of what is right."""
        assert asked.probabilities is not None
        shape, columns, names = self.episode(), [], []
        for episode in truth:
            classes = self.labels or sorted({str(t) for t in episode})
            place = {label: i for i, label in enumerate(classes)}
            names += [str(t) for t in episode[shape.support :]]
            columns += [place[str(t)] for t in episode[shape.support :]]
        right = np.array([said == name for said, name in zip(asked.values, names, strict=True)], dtype=np.float64)
        given = asked.probabilities[np.arange(len(asked)), columns]
        return {"accuracy": right, "log_loss": -np.log(np.clip(given, FLOOR, 1.0))}
