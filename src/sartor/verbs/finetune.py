"""`sartor finetune`: one recipe, trained, measured and saved as a bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sartor import part as parts
from sartor.backbone import Backbone
from sartor.data.hints import Hints
from sartor.engine import launch
from sartor.engine.progress import Progress
from sartor.errors import BadInput
from sartor.method import Method
from sartor.objective import Objective
from sartor.opening import Opening, aware, open_data
from sartor.recipe import Recipe, plan_from
from sartor.run_folder import RunFolder

if TYPE_CHECKING:
    from sartor.bundle import Bundle
    from sartor.saving import Form

USUAL = ("minilm", "seq2seq", "gpt", "convnet", "detector", "speech", "items", "columns", "fusion")
"""Backbones that are taken where none is named: the first that reads the data and gives what the task asks."""


@dataclass(frozen=True)
class FinetuneResult:
    """What was trained, how good it is on the validation and the test part, and where it lies."""

    folder: Path
    result: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return dict(self.result)

    @property
    def bundle(self) -> Bundle:
        """The trained model, loaded."""
        from sartor.bundle import Bundle

        return Bundle.load(str(self.result["bundle"]))

    def __repr__(self) -> str:
        from sartor.report.terminal import scores

        return scores({**self.result, "metrics": self.result.get("intervals", {})})

    def _repr_html_(self) -> str:
        from sartor.report.notebook import block

        return block(repr(self))


def finetune(
    data: Any,
    *,
    target: str | None = None,
    hints: Hints = Hints(),  # noqa: B008
    task: str | None = None,
    backbone: str | None = None,
    method: str = "full",
    objective: str | None = None,
    save: Form | None = None,
    plan: Mapping[str, Any] | None = None,
    out: str | Path,
    seed: int = 0,
    validation: Any = None,
    test: Any = None,
    resume: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    command: str | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> FinetuneResult:
    """Train one recipe on the training part, keep its best weights by held-out loss, score it once on the test part.

    data    a file, a table; or several data sets that are learned together, one body and a head each: a list of paths,
            or a dict of name to path, table or `{"data": ..., "target": ..., "task": ...}`
    save    the result merged into its backbone, or only what changed on it; none: merged where possible

    Processes that torchrun or `accelerate launch` started train together; the first writes, all return its result.
    Without a `backbone` the kind of the inputs decides: the packaged encoder for texts, networks drawn anew for images,
    for sounds, for the columns of a table and for what users did.
    `resume` goes on from the last checkpoint that a run of the same recipe kept in `out`, and ends with the same bits
    as a run that nothing stopped. One is kept at every look, every half minute, and when the run is interrupted.
    Raises `BadInput` before anything is written; an interrupted run raises `Interrupted`.
    """
    RunFolder.free(out, resume=resume, overwrite=overwrite)
    moving = cast(Method, parts.part("methods", method))
    aim = cast(Objective, parts.part("objectives", objective or moving.objective))
    opening = open_data(data, hints.aimed(target), task or aim.suited, validation, test, seed)
    recipe = Recipe(
        task=opening.task,
        backbone=cast(Backbone, parts.part("backbones", backbone or _usual(opening))).learn(opening.split.train),
        method=moving,
        objective=aim,
        plan=plan_from({"seed": seed, **(plan or {})}),
    )
    opening.task.asking.refuse(opening.task, opening.split, aim.shape(opening.task))
    opening = aware(opening, [recipe.backbone])
    if dry_run:
        return FinetuneResult(Path(out), _dry(opening, recipe, out))
    from sartor.report.card import card
    from sartor.training import ready, train_recipe

    course = ready(opening, recipe, save)
    folder = RunFolder.claim(out, resume=resume, overwrite=overwrite, writes=launch.first())
    said = command or f"sartor.finetune({data!r}, backbone={backbone!r}, method={method!r})"
    result = train_recipe(course, folder, said, card, progress or (lambda _: None))
    return FinetuneResult(folder.path, result)


def _usual(opening: Opening) -> str:
    """The backbone that is taken where none is named. Raises `BadInput`."""
    schema, asked = opening.split.train.schema, opening.task
    kinds = {schema.kind(name) for name in schema.inputs}
    usual = [cast(Backbone, parts.part("backbones", name)) for name in USUAL]
    fits = [b.name for b in usual if b.fits(kinds) and asked.reading.covers(b.reads, schema)]
    found = next((b.name for b in usual if b.name in fits and asked.layout in b.layouts), fits[0] if fits else None)
    if found is None:
        fix = "name a text column with --text, or a network with --backbone (sartor show backbones)"
        said = f"no backbone is usual for columns of kind {', '.join(sorted(kinds))}"
        raise BadInput("BACKBONE_NONE", said, fix=fix, where=opening.split.train.source)
    return found


def _dry(opening: Opening, recipe: Recipe, out: str | Path) -> dict[str, Any]:
    settled = recipe.settled()
    steps = settled.plan.steps(len(opening.split.train), launch.world())
    return {"dry_run": True, "recipe": settled.to_json(), "steps": steps, "data": opening.facts(), "out": str(out)}
