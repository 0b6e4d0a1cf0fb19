"""Regression: a number per row. Legend: N rows, B batch, D width."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from sartor.data.hints import Hints
from sartor.errors import BadInput, did_you_mean
from sartor.part import learned
from sartor.predictions import Floats, Predictions, Scores
from sartor.reading import Reading
from sartor.task import Task

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sartor.batch import Batch
    from sartor.body import Body
    from sartor.data.rows import Rows


class _Numbers(Reading):
    """Whole numbers with few values are numbers too."""

    def hinted(self, columns: Collection[str], hints: Hints) -> Hints:
        if hints.target is None or hints.target in hints.kinds:
            return hints
        return replace(hints, kinds={**hints.kinds, hints.target: "number"})


@dataclass(frozen=True, kw_only=True)
class Regression(Task):
    """A number. The head answers in the data's own units, so that the saved model does in plain transformers too;
    the loss is the squared error in units of the training targets' variance."""

    reading: ClassVar[Reading] = _Numbers(frozenset({"number"}))
    labels: ClassVar[tuple[str, ...]] = ()
    several: ClassVar[bool] = False

    mean: float = learned(0.0)
    scale: float = learned(1.0)

    def metrics(self) -> tuple[str, ...]:
        return ("mae", "rmse", "r2", "spearman")

    def learn(self, rows: Rows) -> Self:
        known = _numbers(rows)
        if known is None:
            raise BadInput(
                "LABEL_COLUMN", "the rows have no target column", fix="pass --target NAME", where=rows.source
            )
        if len(known) == 0 or float(known.std()) == 0.0:
            fix = "pass another --target"
            raise BadInput("LABEL_SINGLE", "every row has the same target", fix=fix, where=rows.source)
        return self.with_settings(mean=float(known.mean()), scale=float(known.std()))

    def encode(self, rows: Rows, body: Body) -> Batch:
        import torch

        from sartor.data.inputs import inputs

        batch = body.encode(inputs(rows, body.reads, body.gaps))
        known = _numbers(rows)
        targets = None if known is None else torch.from_numpy(known.astype(np.float32))
        return replace(batch, rows=torch.from_numpy(rows.numbers), targets=targets)

    def head(self, body: Body) -> nn.Module:
        from torch import nn

        head = nn.Linear(body.width, 1)
        nn.init.zeros_(head.weight)
        nn.init.constant_(head.bias, self.mean)
        return head

    def solve(self, features: Tensor, batch: Batch, head: nn.Module, seed: int) -> dict[str, Any]:
        from sartor.engine.heads import solve_ridge

        assert batch.targets is not None
        found = solve_ridge(features, batch.targets[:, None])
        head.load_state_dict({"weight": found.weight, "bias": found.bias})
        return {"penalty": found.penalty, "held_out_loss": found.held_out_loss}

    def solve_by(self, solver: str, features: Tensor, batch: Batch, head: nn.Module, seed: int) -> dict[str, Any]:
        if solver != "ridge":
            raise BadInput("SOLVER", f"{self.name} has no solver '{solver}'", fix=did_you_mean(solver, ("ridge",)))
        return self.solve(features, batch, head, seed)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        assert batch.targets is not None
        each: Tensor = ((outputs[:, 0] - batch.targets.to(outputs.device)) / self.scale) ** 2
        return each

    def answer(self, outputs: Tensor, rows: Rows) -> Predictions:
        return Predictions(rows.numbers, outputs[:, 0].double().numpy())

    def score(self, predictions: Predictions, rows: Rows) -> Scores:
        """Mean absolute error first; root mean squared error, R squared, Spearman's rank correlation."""
        from scipy.stats import spearmanr

        known = _numbers(rows)
        if known is None:
            fix = "use `sartor predict` for rows without targets"
            raise BadInput("EVAL_NO_LABELS", "the rows have no targets to score against", fix=fix, where=rows.source)
        error = predictions.values.astype(float) - known
        varied = len(known) > 2 and np.ptp(known) > 0 and np.ptp(predictions.values.astype(float)) > 0
        metrics = {
            "mae": float(np.abs(error).mean()),
            "rmse": float(np.sqrt((error**2).mean())),
            "r2": float(1 - (error**2).mean() / known.var()) if varied else 0.0,
            "spearman": float(spearmanr(predictions.values.astype(float), known).statistic) if varied else 0.0,
        }
        return Scores(metrics, {"mae": np.abs(error)}, np.abs(error) / self.scale)

    def describe(self) -> dict[str, Any]:
        return {"num_labels": 1, "id2label": {0: "value"}, "label2id": {"value": 0}, "problem_type": "regression"}


def _numbers(rows: Rows) -> Floats | None:
    targets = rows.targets()
    return None if targets is None else np.asarray(targets, dtype=np.float64)
