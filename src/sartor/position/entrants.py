"""Which candidates enter: the files on the candidates shelf that fit the data, or those the user named."""

from __future__ import annotations

import dataclasses
import importlib.resources
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from sartor import part as parts
from sartor.backbone import Backbone
from sartor.baseline import Baseline
from sartor.data.rows import Rows, Schema
from sartor.errors import BadInput, did_you_mean
from sartor.method import Method
from sartor.objective import Objective
from sartor.position.entry import Candidate
from sartor.recipe import Plan, Recipe, plan_from
from sartor.task import Task


def families() -> list[str]:
    """The files on the candidates shelf, without their ending."""
    folder = importlib.resources.files("sartor.candidates")
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))


def enter(
    task: Task, schema: Schema, wanted: Sequence[str] | None, plan: Mapping[str, Any], rows: int = 0
) -> list[Candidate]:
    """The candidates of a course over `rows` training rows. `plan` overrides what the files say, except the learning
    rates they race. A family whose file says `most_rows` enters by itself only where there are no more; one whose file
    says what it `reads`, only where there is an input of such a kind.

    A wanted candidate is a family's name, a baseline (`tfidf`), or `backbone+method`, with `@rate` where one is meant;
    a backbone whose spelling has a + stands in brackets.
    """
    found: list[Candidate] = []
    for name in wanted or [name for name in families() if _offers(name, schema, rows)]:
        made = _family(name, task, plan) if name in families() else [_spelled(name, task, plan)]
        found += [c for c in made if _fits(c, task, schema, strict=bool(wanted))]
    seen: dict[str, Candidate] = {c.name: c for c in found}
    if not seen:
        kinds = sorted({c.kind for c in schema.columns if c.name in schema.inputs})
        raise BadInput(
            "CANDIDATES_NONE",
            f"no candidate reads columns of kind {', '.join(kinds)}",
            fix="name a text column with --text",
        )
    return list(seen.values())


def _offers(family: str, schema: Schema, rows: int) -> bool:
    """Whether the family enters where nobody named it."""
    said, kinds = _read(family), {schema.kind(name) for name in schema.inputs}
    return rows <= said.get("most_rows", rows) and not kinds.isdisjoint(said.get("reads", kinds))


def _read(family: str) -> dict[str, Any]:
    import yaml

    text = importlib.resources.files("sartor.candidates").joinpath(f"{family}.yaml").read_text("utf-8")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def _family(name: str, task: Task, plan: Mapping[str, Any]) -> Iterator[Candidate]:
    value = _read(name)
    if "baseline" in value:
        made = cast(Baseline, parts.part("baselines", value["baseline"]))
        yield Candidate(made.spelled(), name, baseline=made)
        return
    for settings in _grid(value.get("plan", {})):
        yield _recipe(name, task, value["backbone"], value["method"], value.get("objective"), {**settings, **plan})


def _grid(plan: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One setting for each value of a list; the first value is the first guess."""
    rates = plan.get("learning_rate")
    if not isinstance(rates, list):
        yield dict(plan)
        return
    for rate in rates:
        yield {**plan, "learning_rate": rate}


def _recipe(
    family: str, task: Task, backbone: str, method: str, objective: str | None, plan: Mapping[str, Any]
) -> Candidate:
    moving = cast(Method, parts.part("methods", method))
    recipe = Recipe(
        task=task,
        backbone=cast(Backbone, parts.part("backbones", backbone)),
        method=moving,
        objective=cast(Objective, parts.part("objectives", objective or moving.objective)),
        plan=plan_from(dict(plan)),
    )
    return Candidate(recipe.label(), family, recipe=recipe)


def _spelled(text: str, task: Task, plan: Mapping[str, Any]) -> Candidate:
    backbone, *rest = parts.apart(text, "+")
    if not rest:
        known = {*families(), *parts.names("baselines")}
        if text.partition(":")[0] not in parts.names("baselines"):
            fix = f"{did_you_mean(text, known)}; or write backbone+method, such as minilm+lora:r=8@5e-4"
            raise BadInput("CANDIDATE_UNKNOWN", f"no candidate is called '{text}'", fix=fix)
        made = cast(Baseline, parts.part("baselines", text))
        return Candidate(made.spelled(), made.name, baseline=made)
    method, at, rate = "+".join(rest).partition("@")
    settings = {**plan, **({"learning_rate": rate} if at else {})}
    return _recipe(method.partition(":")[0], task, parts.bare(backbone), method, None, settings)


def _fits(candidate: Candidate, task: Task, schema: Schema, strict: bool) -> bool:
    """Whether the data has what the candidate reads, and the candidate answers what the task asks; one that the user
    named is an error instead."""
    if not _answers(candidate, task):
        if strict:
            fix = "leave it out, or name one of: " + ", ".join(families())
            raise BadInput("CANDIDATE_TASK", f"'{candidate.name}' cannot answer what {task.name} asks", fix=fix)
        return False
    part = candidate.recipe.backbone if candidate.recipe is not None else candidate.baseline
    assert part is not None
    there = {schema.kind(name) for name in schema.inputs}
    fits = part.fits(there) and task.reading.covers(part.reads, schema)
    if strict and not fits:
        fix = f"give it a column of kind {', '.join(sorted(part.reads))}: --kind COLUMN=KIND"
        raise BadInput("CANDIDATE_READS", f"'{candidate.name}' reads {', '.join(sorted(part.reads))}", fix=fix)
    return fits


def _answers(candidate: Candidate, task: Task) -> bool:
    if candidate.recipe is not None:
        learns = candidate.recipe.objective.predicts
        fits = not learns or bool(learns & task.reading.predicts)
        return fits and task.layout in candidate.recipe.backbone.layouts
    return candidate.baseline is not None and candidate.baseline.answers(task)


def learned(candidates: Sequence[Candidate], train: Rows) -> list[Candidate]:
    """The same candidates, each backbone with what it learns from the training rows, which is looked at once."""
    known: dict[str, Backbone] = {}
    found = []
    for candidate in candidates:
        if candidate.recipe is not None:
            name = candidate.recipe.backbone.spelled()
            if name not in known:
                known[name] = candidate.recipe.backbone.learn(train)
            recipe = dataclasses.replace(candidate.recipe, backbone=known[name])
            candidate = dataclasses.replace(candidate, recipe=recipe)
        found.append(candidate)
    return found


def refuse_unfit(candidates: Sequence[Candidate]) -> None:
    """Put every named network together once. Raises `BadInput` for a model or a setting that does not work."""
    from sartor.network import assemble

    tried: set[tuple[str, str]] = set()
    for recipe in (c.recipe for c in candidates if c.recipe is not None):
        pair = recipe.backbone.spelled(), recipe.method.spelled()
        if pair not in tried:
            assemble(recipe.task, recipe.backbone, recipe.method, steps=1, seed=0)
        tried.add(pair)


def with_seed(candidate: Candidate, seed: int) -> Candidate:
    """The same candidate drawn anew: another order, another dropout, another start of what is drawn."""
    assert candidate.recipe is not None
    plan = dataclasses.replace(candidate.recipe.plan, seed=seed)
    return dataclasses.replace(candidate, recipe=dataclasses.replace(candidate.recipe, plan=plan))


def with_steps(recipe: Recipe, steps: int) -> Recipe:
    """The same recipe with an end that the clock allows."""
    plan: Plan = dataclasses.replace(recipe.plan, max_steps=steps)
    return dataclasses.replace(recipe, plan=plan)
