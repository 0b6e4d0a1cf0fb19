"""Classification: one label per row of two or many, or several labels per row; texts or text pairs.

Legend: N rows, B batch, C labels, D width.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from sartor.data.inputs import CELLS
from sartor.errors import BadInput, did_you_mean
from sartor.part import learned
from sartor.position.calibration import cross_fitted_log_loss
from sartor.predictions import Floats, Integers, Predictions, Scores
from sartor.reading import Reading
from sartor.scoring import ONE, SEVERAL, UNDEFINED, Metric, items, of_two
from sartor.task import Task

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sartor.batch import Batch
    from sartor.body import Body
    from sartor.data.rows import Rows

SOLVERS = ("logistic", "ridge")
RARE = 0.1
"""A label with a smaller share is looked for: nobody asks how often "none" is right."""


def _headline(rows: Rows, share: tuple[float, ...]) -> str:
    """What two labels are judged by: the average precision where one is rare (Davis and Goadrich 2006); the AUC for
    rows of plain columns, which are scored and ranked (credit, diagnosis) rather than sorted; else the accuracy."""
    if min(share) < RARE:
        return "average_precision"
    seen = {rows.schema.kind(name) for name in rows.schema.inputs}
    return "auc" if seen and seen <= set(CELLS) else "accuracy"


@dataclass(frozen=True, kw_only=True)
class Classification(Task):
    """Which label, or which labels. `class_weight` counts rare labels for more, in proportion to their rarity."""

    reading: ClassVar[Reading] = Reading(frozenset({"category", "boolean", "labels"}))

    class_weight: Literal["none", "balanced"] = "none"
    labels: tuple[str, ...] = learned(())
    several: bool = learned(False)
    frequency: tuple[float, ...] = learned(())
    """Share of the training rows that have each label."""
    headline: str = learned("accuracy")
    """Of two labels: what is said first and chosen by."""

    def metrics(self) -> tuple[str, ...]:
        return tuple(name for name in self._metrics() if name != "calibration_error")

    def learn(self, rows: Rows) -> Self:
        targets = rows.targets()
        if targets is None:
            raise BadInput(
                "LABEL_COLUMN", "the rows have no target column", fix="pass --target NAME", where=rows.source
            )
        several = rows.schema.kind(str(rows.schema.target)) == "labels"
        counts = Counter(label for t in targets for label in (t if several else [str(t)]))
        labels = tuple(sorted({*counts, *rows.schema.labels}))
        if len(counts) < 2 and not several:
            fix = "add rows of another class, or pass another --target"
            raise BadInput("LABEL_SINGLE", f"every row has the label '{''.join(counts)}'", fix=fix, where=rows.source)
        share = tuple(counts[label] / len(rows) for label in labels)
        headline = "accuracy" if several or len(labels) != 2 else _headline(rows, share)
        return self.with_settings(labels=labels, several=several, frequency=share, headline=headline)

    def encode(self, rows: Rows, body: Body) -> Batch:
        from dataclasses import replace

        import torch

        from sartor.data.inputs import inputs

        batch = body.encode(inputs(rows, body.reads, body.gaps))
        known = self._indicator(rows)
        if known is None:
            return replace(batch, rows=torch.from_numpy(rows.numbers))
        values = torch.from_numpy(known.astype(np.float32)) if self.several else torch.from_numpy(known.argmax(1))
        return replace(batch, rows=torch.from_numpy(rows.numbers), targets=values)

    def head(self, body: Body) -> nn.Module:
        from torch import nn

        head = nn.Linear(body.width, len(self.labels))
        nn.init.normal_(head.weight, std=0.02)
        nn.init.zeros_(head.bias)
        return head

    def membership(self, batch: Batch) -> Tensor:
        from torch.nn.functional import one_hot

        assert batch.targets is not None
        return (batch.targets if self.several else one_hot(batch.targets, len(self.labels))).float()

    def solve(self, features: Tensor, batch: Batch, head: nn.Module, seed: int) -> dict[str, Any]:
        return self.solve_by("logistic", features, batch, head, seed)

    def solve_by(self, solver: str, features: Tensor, batch: Batch, head: nn.Module, seed: int) -> dict[str, Any]:
        import torch

        from sartor.engine.heads import solve_least_squares, solve_logistic

        assert batch.targets is not None
        each = self._weights()
        weights = torch.ones(len(batch)) if self.several else each[batch.targets]
        labels = each if self.several else None
        if solver == "logistic":
            found = solve_logistic(features, self.membership(batch), weights, seed, labels)
        elif solver == "ridge":
            found = solve_least_squares(features, self.membership(batch), weights, labels)
        else:
            raise BadInput("SOLVER", f"{self.name} has no solver '{solver}'", fix=did_you_mean(solver, SOLVERS))
        head.load_state_dict({"weight": found.weight, "bias": found.bias})
        return {"penalty": found.penalty, "held_out_loss": found.held_out_loss}

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        from torch.nn import functional

        assert batch.targets is not None
        targets = batch.targets.to(outputs.device)
        if self.several:
            weights = self._weights().to(outputs.device)
            each = functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
            return (each * weights).mean(-1)
        weights = self._weights().to(outputs.device)
        return functional.cross_entropy(outputs, targets, reduction="none") * weights[targets]

    def answer(self, outputs: Tensor, rows: Rows) -> Predictions:
        """Softmax and the likeliest label; several: each label's own sigmoid, above one half."""
        import torch

        scores = outputs.double()
        if self.several:
            probabilities = torch.sigmoid(scores).numpy()
            return Predictions(rows.numbers, self._sets(probabilities > 0.5), self.labels, probabilities)
        probabilities = torch.softmax(scores, -1).numpy()
        values = np.array([self.labels[i] for i in probabilities.argmax(1)], dtype=object)
        return Predictions(rows.numbers, values, self.labels, probabilities)

    def score(self, predictions: Predictions, rows: Rows) -> Scores:
        """One label: accuracy first; several: micro-F1 first. Of two labels also AUC, the rarer's average precision,
        the Kolmogorov-Smirnov gap and Gini's coefficient, where both occur; one of these comes first where accuracy
        says little (see `_headline`).

        Runs are judged by the log-loss behind a temperature: by the raw one a run that only grew too sure of what it
        says loses to its own first step, while its answers still become better."""
        known, p, chosen = self._arrays(predictions, rows)
        found = {name: metric(known, p, chosen) for name, metric in self._metrics().items()}
        metrics = {name: value for name, value in found.items() if name not in UNDEFINED or value == value}
        judged = None if self.several else cross_fitted_log_loss(p, known.argmax(1))
        return Scores(metrics, items(known, p, chosen, self.several), judged)

    def metric(self, name: str, predictions: Predictions, rows: Rows) -> Callable[[Integers], float]:
        known, p, chosen = self._arrays(predictions, rows)
        value = self._metrics()[name]
        return lambda where: value(known[where], p[where], chosen[where])

    def describe(self) -> dict[str, Any]:
        return {
            "num_labels": len(self.labels),
            "id2label": dict(enumerate(self.labels)),
            "label2id": {label: i for i, label in enumerate(self.labels)},
            "problem_type": "multi_label_classification" if self.several else "single_label_classification",
        }

    def _weights(self) -> Tensor:
        """(C,) 1, or the balanced weights n / (C n_c) (King and Zeng 2001, as in scikit-learn)."""
        import torch

        if self.class_weight == "none":
            return torch.ones(len(self.labels))
        share = torch.tensor(self.frequency)
        return torch.where(share > 0, 1.0 / (len(self.labels) * share.clamp_min(1e-9)), 1.0)

    def _indicator(self, rows: Rows) -> Floats | None:
        """(N, C) 1 where a row has the label; None where the rows have no targets."""
        targets = rows.targets()
        if targets is None:
            return None
        place = {label: i for i, label in enumerate(self.labels)}
        known = np.zeros((len(rows), len(self.labels)))
        for i, target in enumerate(targets):
            for label in target if self.several else [str(target)]:
                if label not in place:
                    fix = "correct the row, or train with rows that have this label"
                    shown = ", ".join(self.labels[:10]) + (", ..." if len(self.labels) > 10 else "")
                    raise BadInput(
                        "LABEL_UNKNOWN", f'label "{label}" is not one of: {shown}', fix=fix, where=rows.place(i)
                    )
                known[i, place[label]] = 1.0
        return known

    def _metrics(self) -> dict[str, Metric]:
        if self.several:
            return SEVERAL
        if len(self.labels) != 2:
            return ONE
        return of_two(int(self.frequency[1:] < self.frequency[:1]), self.headline)

    def _arrays(self, predictions: Predictions, rows: Rows) -> tuple[Floats, Floats, Floats]:
        """(N, C) what is known, the probabilities, and what was chosen."""
        known = self._indicator(rows)
        if known is None:
            fix = "use `sartor predict` for rows without labels"
            raise BadInput("EVAL_NO_LABELS", "the rows have no labels to score against", fix=fix, where=rows.source)
        assert predictions.probabilities is not None
        return known, predictions.probabilities, self._chosen(predictions)

    def _sets(self, chosen: Any) -> Any:
        values = np.empty(len(chosen), dtype=object)
        values[:] = [tuple(label for label, on in zip(self.labels, row, strict=True) if on) for row in chosen]
        return values

    def _chosen(self, predictions: Predictions) -> Floats:
        """(N, C) 1 for every label that was answered."""
        place = {label: i for i, label in enumerate(self.labels)}
        chosen = np.zeros((len(predictions), len(self.labels)))
        for i, answer in enumerate(predictions.values):
            for label in answer if self.several else (answer,):
                chosen[i, place[label]] = 1.0
        return chosen
