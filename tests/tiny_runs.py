"""Recipes on tiny encoders, and what is compared between two runs of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sartor.batch import Batch
from sartor.data.rows import Rows
from sartor.engine.fit import Step, fit
from sartor.engine.train import Run, prepare
from sartor.part import part
from sartor.recipe import Plan, Recipe
from sartor.task import Task
from text_samples import task_of


def recipe(
    encoder: Path,
    rows: Rows,
    method: str = "full",
    pooling: str = "mean",
    objective: str = "",
    task: Task | None = None,
    **plan: Any,
) -> Recipe:
    """Batches of 8 in fp32, from a random head, without dropout, unless `plan` says otherwise."""
    usual = {"per_device_train_batch_size": 8, "precision": "fp32", "head_start": "random", "dropout": 0.0}
    moving: Any = part("methods", method)
    made: Any = {
        "backbone": part("backbones", f"encoder:path={encoder},pooling={pooling}"),
        "method": moving,
        "objective": part("objectives", objective or moving.objective),
    }
    return Recipe(task=task or task_of(rows), plan=Plan(**(usual | plan)), **made).settled()


def examples(made: Recipe, rows: Rows) -> Batch:
    return made.task.encode(rows, made.backbone.build(made.task.layout))


def begun(made: Recipe, rows: Rows) -> tuple[Run, Batch]:
    encoded = examples(made, rows)
    return prepare(made, encoded), encoded


def steps(run: Run, encoded: Batch) -> Iterator[Step]:
    assert run.state is not None
    return fit(run.net, encoded, run.recipe, run.state)


def weights(run: Run) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in run.net.state_dict().items()}


def same_bits(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
