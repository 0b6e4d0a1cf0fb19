"""Sine waves (Finn et al. 2017, arXiv 1703.03400, section 5.1): y = a sin(x - p), each wave a small task.

a of 0.1 to 5, p of 0 to pi, x of -5 to 5; a network 1-40-40-1; 10 examples and 10 questions of 25 waves an update. The
same loop, task and objectives as `sartor finetune`; only the network, which reads one number, is made here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from sartor import part as parts
from sartor.backbone import Backbone
from sartor.batch import Batch
from sartor.body import Body
from sartor.engine.episodes import GROUP
from sartor.engine.fit import begin, fit
from sartor.engine.inner import learned
from sartor.methods.full import Full
from sartor.network import Network
from sartor.objective import Objective
from sartor.recipe import Plan, Recipe
from sartor.tasks.few_shot import FewShot

POINTS = 40
"""Of a training wave; an update draws 20 of them."""
ASKED = 100
"""Points of a test wave that are asked."""
UNSEEN = 10_000
"""The seed of the test waves."""


class Curve(Body):
    """One number -> 40 features."""

    heads: Mapping[str, nn.Module] = {}

    def __init__(self) -> None:
        super().__init__()
        self.width = 40
        self.layers = nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU())

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> Batch:
        raise NotImplementedError("its rows are made, not read")

    def forward(self, batch: Batch) -> Tensor:
        found: Tensor = self.layers(batch.dense["x"])
        return found

    def linears(self) -> list[str]:
        return ["layers.0", "layers.2"]

    def blocks(self) -> list[nn.Module]:
        return []

    def save(self, folder: Path, head: nn.Module, config: dict[str, Any]) -> None:
        raise NotImplementedError("it is never kept")


class Curves(Backbone):
    """The backbone that the recipe names."""

    def build(self, layout: str, fresh: bool = False) -> Body:
        return Curve()

    def reopen(self, folder: Path, layout: str) -> Body:
        raise NotImplementedError("it is never kept")


def waves(count: int, points: int, seed: int) -> Batch:
    """`count` groups of `points` rows."""
    draw = np.random.default_rng(seed)
    high, phase = draw.uniform(0.1, 5, (count, 1)), draw.uniform(0, np.pi, (count, 1))
    x = draw.uniform(-5, 5, (count, points))
    size = count * points
    return Batch(
        rows=torch.arange(size),
        offsets=torch.zeros(size + 1, dtype=torch.long),
        dense={
            "x": torch.from_numpy(x.reshape(-1, 1)).float(),
            GROUP: torch.arange(count).repeat_interleave(points),
        },
        targets=torch.from_numpy((high * np.sin(x - phase)).reshape(-1)).float(),
    )


def learn(asked: Mapping[str, Any], objective: str, steps: int) -> dict[str, Any]:
    """One run by one thread, and how it answers unseen waves."""
    torch.set_num_threads(1)
    task = FewShot(number=True, shots=10, queries=10)
    plan = Plan(
        max_steps=steps,
        per_device_train_batch_size=asked["waves"] * task.episode().rows,
        learning_rate=asked["learning_rate"],
        weight_decay=0.0,
        precision="fp32",
        seed=asked["seed"],
    )
    named = cast(Objective, parts.part("objectives", objective))
    recipe = Recipe(task=task, backbone=Curves(), method=Full(), objective=named, plan=plan).settled()
    torch.manual_seed(asked["seed"])
    net = Network(Curve(), nn.Linear(40, 1))
    examples = waves(asked["training_waves"], POINTS, asked["seed"])
    state = begin(net, recipe.plan)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in fit(net, examples, recipe, state):
        pass
    taken = {"wall_seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    errors = {
        f"{shots} shots, {inner} steps": error(net, task, asked, shots, inner)
        for shots in asked["shots"]
        for inner in asked["steps"]
    }
    return {"objective": recipe.objective.spelled(), "meta_iterations": steps, **taken, "mse": errors}


def error(net: Network, task: FewShot, asked: Mapping[str, Any], shots: int, inner: int) -> dict[str, float]:
    """The squared error on `ASKED` points of unseen waves after so many steps on `shots` of them: the mean over waves,
    half its 95 % interval, the median."""
    test = waves(asked["test_waves"], shots + ASKED, UNSEEN)
    found = []
    for wave in torch.arange(len(test)).view(-1, shots + ASKED):
        told, questions = test.take(wave[:shots]), test.take(wave[shots:])
        weights = learned(net, task, told, net.trainable(), [asked["inner_learning_rate"]] * inner) if inner else {}
        with torch.no_grad():
            said = functional_call(net, weights, (questions,))[:, 0]
        assert questions.targets is not None
        found.append(float(((said - questions.targets) ** 2).mean()))
    half = 1.96 * float(np.std(found, ddof=1)) / len(found) ** 0.5
    return {"mean": float(np.mean(found)), "half": half, "median": float(np.median(found))}
