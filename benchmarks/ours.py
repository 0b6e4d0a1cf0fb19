"""Sartor's side of the engine benchmark: the public road, as `sartor finetune` takes it.

Recipe -> `prepare` -> `advance` (the loop `fit`) for training, `Bundle.predict` and `outputs` for answers. Nothing here
chooses how the engine works, so whatever it does when it runs is what is measured.
"""

from __future__ import annotations

import inspect
import time
from pathlib import Path
from typing import Any, cast

from accelerate.state import AcceleratorState
from ruler import Pace, flops_per_token, timed
from sets import Material

from sartor import part as parts
from sartor.backbones.minilm import MiniLM
from sartor.batch import Batch
from sartor.bundle import Bundle, save_network
from sartor.engine.train import Run, advance, prepare
from sartor.method import Method
from sartor.objectives.supervised import Supervised
from sartor.recipe import Plan, Recipe
from sartor.task import Task

RATE = 5e-5


def method_of(spelled: str) -> Method:
    """`lora:r=16` -> the method. Raises `BadInput` where this version has no such setting."""
    return cast(Method, parts.part("methods", spelled))


def recipe_of(task: Task, method: str, **plan: Any) -> Recipe:
    """The recipe on the packaged MiniLM; what the plan does not say is Sartor's default."""
    return Recipe(
        task=task, backbone=MiniLM(), method=method_of(method), objective=Supervised(), plan=Plan(min_steps=0, **plan)
    )


def encoded(material: Material) -> Batch:
    return material.task.encode(material.rows, MiniLM().build(material.task.layout))


def begun(material: Material, method: str, examples: Batch, batch: int, epochs: float, seed: int) -> Run:
    """A run ready to step. Its head is drawn, as the peer's is: the head start is no part of the steps compared."""
    AcceleratorState._reset_state(reset_partial_state=True)  # what a Trainer left behind must not reach this side
    given = {"per_device_train_batch_size": batch, "num_train_epochs": epochs, "seed": seed}
    return prepare(recipe_of(material.task, method, learning_rate=RATE, head_start="random", **given), examples)


def train(material: Material, method: str, *, batch: int, warm: int, seed: int = 0, examples: Any = None) -> Pace:
    """The pace of one epoch's steps after the first `warm`, data loading included; 0 counts from before the first."""
    batches: Batch = encoded(material) if examples is None else examples
    return timed(*steps(material, method, batches, batch=batch, epochs=1.0, seed=seed), warm)


def steps(
    material: Material, method: str, examples: Batch, *, batch: int, epochs: float, seed: int
) -> tuple[list[float], list[int]]:
    """A whole run: the clock at its start and after every step, and the real tokens of every step."""
    run = begun(material, method, examples, batch, epochs, seed)
    marks, tokens = [time.perf_counter()], []
    for step in advance(run, examples, run.recipe.plan.steps(len(examples))):
        marks.append(time.perf_counter())
        tokens.append(step.tokens)
    return marks, tokens


def probe(material: Material) -> float:
    """Seconds of a whole probe: the model opened, one feature pass, the head at its optimum, its penalty searched."""
    examples = encoded(material)
    began = time.perf_counter()
    prepare(recipe_of(material.task, "probe"), examples)
    return time.perf_counter() - began


def flops(material: Material, method: str) -> float:
    """Training FLOPs of one real token of these rows under this method (see `ruler.flops_per_token`)."""
    examples = encoded(material)
    net = begun(material, method, examples, 32, 1.0, 0).net
    blocks = net.body.blocks()
    named = [(name, w) for block in blocks for name, w in block.named_parameters()]
    adapters = sum(w.numel() for name, w in named if "lora_" in name)
    weights = sum(w.numel() for _, w in named) - adapters
    full = method_of(method).name == "full"
    return flops_per_token(weights, adapters, len(blocks), net.body.width, examples.lengths, full)


def saved(material: Material, folder: Path) -> Bundle:
    """A trained bundle on disk to answer with; a probe, since all methods answer at the same cost once merged."""
    recipe = recipe_of(material.task, "probe")
    run = prepare(recipe, encoded(material))
    save_network(folder, run.net, run.recipe, material.rows.schema, {}, "")
    return Bundle.load(folder)


def precisions() -> list[str]:
    """The precisions that `Bundle.predict` can be asked for; empty where it has no such setting."""
    return ["fp32", "bf16"] if "precision" in inspect.signature(Bundle.predict).parameters else []
