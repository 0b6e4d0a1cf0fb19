"""Recipe: one run, as a value that can be printed, compared, hashed, saved and run again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from sartor import part as parts
from sartor.backbone import Backbone
from sartor.compressor import Compressor
from sartor.data.rows import KINDS
from sartor.errors import BadInput
from sartor.method import Method
from sartor.objective import Objective
from sartor.task import Task

EPOCHS = 3.0
"""Over pretrained weights."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long, how large, how precise. Names and meanings are those of transformers' TrainingArguments."""

    learning_rate: float | None = None
    """Peak rate; none: the method's own."""
    num_train_epochs: float | None = None
    """None: what the backbone's weights ask for, 3 where they are pretrained."""
    max_steps: int | None = None
    """Updates; overrides the epochs."""
    min_steps: int = 300
    """Few rows need more than three passes (Zhang et al. 2021, arXiv 2006.05987)."""
    per_device_train_batch_size: int = 32
    """Rows in one pass of one device."""
    gradient_accumulation_steps: int = 1
    gradient_checkpointing: bool = False
    """Compute what happens inside the blocks again for the backward pass instead of keeping it: less memory, a third
    more work."""
    fsdp: bool = False
    """On several devices, each keeps only its part of every weight."""
    warmup_ratio: float = 0.06
    lr_scheduler_type: Literal["warmup_stable_decay", "linear", "cosine", "constant_with_warmup"] = (
        "warmup_stable_decay"
    )
    cooldown_ratio: float = 0.3
    """Share of the steps that `warmup_stable_decay` goes down, as 1 - sqrt (Hägele et al. 2024, arXiv 2405.18392)."""
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    dropout: float | None = None
    """Dropout in the body and before the head; none: what the model's own config says."""
    head_start: Literal["solved", "random"] = "solved"
    """Begin from the optimal head on frozen features (LP-FT: Kumar et al. 2022, arXiv 2202.10054)."""
    head_end: Literal["trained", "solved"] = "trained"
    """`solved`: at every look and at the end the head is the optimal one on the features as they are then."""
    eval_steps: int | None = None
    """Steps between looks at the validation part; none: five looks in a run."""
    early_stopping_patience: int | None = 3
    """Looks without a better held-out loss before the run ends at its best weights; none: never stop early."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    prefix_cache: Literal["auto", "off"] = "auto"
    """`auto`: what blocks that do not move make of a row is computed once and kept; dropout in them is then off."""
    nonfinite: Literal["skip", "halve", "stop"] = "skip"
    """What follows an update whose loss or gradient is no number, which is never applied: go on with the next rows, go
    on at half the rate, or end the run. Ten in a row end it in any case."""
    seed: int = 0

    def __post_init__(self) -> None:
        at_least = {"num_train_epochs": 0, "min_steps": 0, "per_device_train_batch_size": 1}
        at_least |= {"gradient_accumulation_steps": 1, "weight_decay": 0, "max_grad_norm": 0, "seed": 0}
        at_least |= {"max_steps": 0, "eval_steps": 1, "early_stopping_patience": 1}
        for name, low in at_least.items():
            if getattr(self, name) is not None and getattr(self, name) < low:
                raise BadInput("VALUE_RANGE", f"plan.{name} is {getattr(self, name)}", fix=f"give at least {low}")
        if self.learning_rate is not None and not 0 < self.learning_rate < 10:
            raise BadInput(
                "VALUE_RANGE", f"plan.learning_rate is {self.learning_rate}", fix="give one between 0 and 10"
            )
        for name in ("warmup_ratio", "cooldown_ratio", "dropout"):
            if not 0 <= (getattr(self, name) or 0.0) < 1:
                raise BadInput(
                    "VALUE_RANGE", f"plan.{name} is {getattr(self, name)}", fix="give at least 0 and below 1"
                )

    def steps(self, rows: int, devices: int = 1) -> int:
        """Updates for a training part of `rows` rows, each over the batches of all devices."""
        if self.max_steps is not None:
            return self.max_steps
        update = self.per_device_train_batch_size * self.gradient_accumulation_steps * devices
        each = max(1, -(-rows // update))
        epochs = EPOCHS if self.num_train_epochs is None else self.num_train_epochs
        return max(self.min_steps, round(epochs * each))

    @classmethod
    def known(cls) -> list[str]:
        return [f.name for f in dataclasses.fields(cls)]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is predicted, from which network, which weights move, what is descended, what is cut away, and how."""

    task: Task
    backbone: Backbone
    method: Method
    objective: Objective
    compress: tuple[Compressor, ...] = ()
    plan: Plan = field(default_factory=Plan)

    def __post_init__(self) -> None:
        self.objective.suits(self.task)

    def settled(self) -> Recipe:
        """The recipe with the backbone's, the method's and the objective's say in the plan; what a run really does.

        Raises `BadInput` where the objective cannot learn from what the task predicts, or the backbone does not give
        what its head reads."""
        self._refuse_layout()
        known, asked = self.objective.predicts, self.task.reading.predicts
        if known and not known & asked:
            kinds = {name: " or ".join(k for k in KINDS if k in some) for name, some in (("a", known), ("b", asked))}
            said = f"{self.objective.name} learns from a target of kind {kinds['a']}, and {self.task.name} predicts"
            fix = "choose a method that descends the task's own loss: full, lora or probe"
            raise BadInput("OBJECTIVE_TASK", f"{said} {kinds['b']}", fix=fix)
        return dataclasses.replace(self, plan=self.objective.plan(self.method.plan(self.backbone.plan(self.plan))))

    def _refuse_layout(self) -> None:
        """Raise `BadInput` where the task's head reads what the backbone does not give, with those that do."""
        wanted = self.task.layout
        if wanted in self.backbone.layouts:
            return
        shelf = {name: parts.part_class("backbones", name) for name in parts.names("backbones")}
        able = [name for name, kind in shelf.items() if wanted in (_stated(kind) or ())]
        reads = "one vector a row" if wanted == "row" else f"one vector for each of a row's {wanted}"
        said = f"{self.task.name} reads {reads}, and {self.backbone.name} gives none"
        raise BadInput("BACKBONE_LAYOUT", said, fix=f"use a backbone that does: {', '.join(able) or 'none is here'}")

    def view(self) -> str:
        """What frozen features, and the head solved on them, rest on: the backbone and how the method reads it."""
        return " ".join(filter(None, (self.backbone.spelled(), self.method.view())))

    def label(self) -> str:
        """A short name for tables: backbone + method, and the rate where it was chosen."""
        rate = "" if self.plan.learning_rate is None or self.plan.max_steps == 0 else f" @{self.plan.learning_rate:g}"
        cut = "".join(f" + {one.spelled()}" for one in self.compress)
        return f"{self.backbone.spelled()} + {self.method.spelled()}{rate}{cut}"

    def to_json(self) -> dict[str, Any]:
        return {
            "task": self.task.to_json(),
            "backbone": self.backbone.to_json(),
            "method": self.method.to_json(),
            "objective": self.objective.to_json(),
            "compress": [c.to_json() for c in self.compress],
            "plan": dataclasses.asdict(self.plan),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        made = {
            shelf: parts.part_from_json(f"{shelf}s", value[shelf])
            for shelf in ("task", "backbone", "method", "objective")
        }
        compress = tuple(parts.part_from_json("compressors", c) for c in value.get("compress", []))
        return cls(**made, compress=compress, plan=plan_from(value.get("plan", {})))  # type: ignore[arg-type]

    def fingerprint(self) -> str:
        """sha256 over everything that decides the run."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()


def _stated(kind: type) -> frozenset[str] | None:
    """The layouts that every backbone of a class has; None where that depends on its settings."""
    found = vars(kind).get("layouts", Backbone.layouts)
    return found if isinstance(found, frozenset) else None


def plan_from(given: dict[str, Any]) -> Plan:
    """A plan with each of `given` cast and checked; unknown names are answered with the nearest."""
    return parts.settings_of(Plan, given, "plan")
