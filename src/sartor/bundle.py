"""Bundle: the saved result, deployable. Its root is the transformers layout; Sartor's own files lie in `sartor/`.

    config.json model.safetensors tokenizer.json ...      loads with transformers' own class, such as
                                                          AutoModelForSequenceClassification, unmodified
    README.md                                             the model card, filled from measurements
    sartor/outline.json compressed.safetensors            in place of the weights, where compressors have left others
    sartor/backbone.json changed.safetensors              in their place, where only what changed is kept; what PEFT
    adapter_config.json adapter_model.safetensors         knows of it lies in PEFT's own layout at the root
    sartor/recipe.json card.json schema.json              what was done, what was measured, what it reads
    sartor/baseline.json baseline.safetensors             a baseline's state, where the pick is no network
    sartor/manifest.json                                  sha256 of every file

Nothing here is a pickle, and nothing is loaded before the manifest holds.
"""

from __future__ import annotations

import functools
import json
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sartor import part as parts
from sartor.data import sets
from sartor.data.hints import Hints
from sartor.data.rows import TASK, Rows, Schema
from sartor.data.schema import narrowed
from sartor.disk import sync
from sartor.errors import BadInput, did_you_mean
from sartor.predictions import Predictions
from sartor.recipe import Recipe
from sartor.task import Task

if TYPE_CHECKING:
    from sartor.baseline import Baseline, Fitted
    from sartor.network import Network
    from sartor.objective import Objective
    from sartor.saving import Form

FORMAT = 1
MANIFEST = "sartor/manifest.json"
PLAIN = ("text", "tokens", "image", "audio", "items")
"""Kinds of input that may be given without the name of their column."""


@dataclass(frozen=True)
class Bundle:
    """A trained candidate, ready to answer."""

    path: Path
    task: Task
    schema: Schema
    recipe: dict[str, Any]
    card: dict[str, Any]
    answer: Callable[[Rows], Predictions]
    """Rows (with or without targets) -> predictions, tokenisation included: the deployed path, and what is measured."""

    @classmethod
    def load(cls, path: str | Path) -> Bundle:
        """Open a bundle. Raises `BadInput` for a folder that is none, or whose files were changed."""
        folder = Path(path)
        verify(folder)
        recipe = _read(folder / "sartor/recipe.json")
        schema = Schema.from_json(_read(folder / "sartor/schema.json"))
        task: Task = parts.part_from_json("tasks", recipe["task"])  # type: ignore[assignment]
        answer = _at_first_use(folder, task, recipe)
        return cls(folder, task, schema, recipe, _read(folder / "sartor/card.json"), answer)

    def predict(self, rows: Any) -> list[dict[str, Any]]:
        """One dict per row: `prediction`, and what else the task tells, such as `probabilities` by label; `task` where
        a bundle has several, of which each row must name one in a column of that name.

        `rows`: texts, paths of images, dicts, a pandas, pyarrow or `datasets` table, or a file that `sartor.data.read`
        can read.
        """
        asked = self.rows(rows)
        said = self.answer(asked)
        shares = self.task.members.shares(self.task, said, asked)
        if not shares:
            return self.task.telling.told(said, asked)
        each = {name: iter(one.task.telling.told(one.said, one.rows)) for name, one in shares.items()}
        return [{TASK: name, **next(each[name])} for name in asked.columns[TASK]]

    def only(self, name: str, out: str | Path | None = None) -> Bundle:
        """One of the tasks of a bundle that has several, as a bundle of its own; with `out` written there, where it
        loads in plain transformers like any other. Raises `BadInput` for a name that is none of its tasks."""
        tasks = self.task.members.tasks(self.task)
        if name not in tasks:
            fix = did_you_mean(name, tasks) if tasks else "leave the name out"
            of = "" if tasks else ", for it has only one"
            raise BadInput("TASK_UNKNOWN", f"the bundle has no task called '{name}'{of}", fix=fix, where=str(self.path))
        schema, recipe = self.schema.members[name], {**self.recipe, "task": tasks[name].to_json()}
        alone = replace(
            self, task=tasks[name], schema=schema, recipe=recipe, answer=functools.partial(_one, self, name)
        )
        return alone if out is None else Bundle.load(_save_one(Path(out), self, alone, name))

    def rows(self, source: Any, serving: bool = True) -> Rows:
        """Any source of data in the shape this bundle was trained on; not `serving`: to be scored."""
        from sartor.data.read import open_table, read

        if isinstance(source, Rows):
            return source
        if (
            isinstance(source, Sequence)
            and not isinstance(source, str)
            and source
            and isinstance(source[0], str | list)
        ):
            names = [n for n in self.schema.inputs if self.schema.kind(n) in PLAIN]
            if self.schema.members:
                fix = f"ask for one of them: bundle.only('{next(iter(self.schema.members))}').predict(...)"
                raise BadInput("PREDICT_ROWS", "plain texts do not say which task they are for", fix=fix)
            if len(names) != 1:
                fix = f"give dicts with the keys: {', '.join(self.schema.inputs)}"
                said = "plain texts fit only a bundle that reads one column of texts or of files"
                raise BadInput("PREDICT_ROWS", said, fix=fix)
            source = [{names[0]: text} for text in source]
        table = self.task.reading.formed(self.task, open_table(source), Hints(), like=self.schema, asked=serving)
        return read(table, like=self.schema, serving=serving)

    def _repr_html_(self) -> str:
        import html

        shown = html.escape(json.dumps(self.recipe, indent=1)[:4000])
        return f"<p><b>Sartor bundle</b> {html.escape(str(self.path))}</p><pre>{shown}</pre>"


def network_answer(net: Network, task: Task, objective: Objective | None = None) -> Callable[[Rows], Predictions]:
    """The deployed path of a network: encode, forward, answer; in 32 bits, so that plain transformers says the same.

    With an objective that learns from examples, those among the rows are learned from first."""
    from sartor.engine.features import outputs
    from sartor.engine.operators import Operators

    made = functools.cache(lambda: Operators(net.eval().body, "fp32", lasting=True))

    def answer(rows: Rows) -> Predictions:
        batch = task.encode(rows, net.body)
        learned = {} if objective is None else objective.adapted(net, task, batch)
        said = outputs(net, batch, learned=learned, say=task.say, operators=made())
        return task.complete(task.answer(said, rows), net, rows)

    return answer


def save_network(
    folder: Path,
    net: Network,
    recipe: Recipe,
    schema: Schema,
    card: dict[str, Any],
    readme: str,
    form: Form | None = None,
) -> Path:
    """Write a trained network as a bundle; the folder appears whole or not at all.

    `form`: its method merged where it folds away, or only what changed on its backbone; none: merged where possible.
    """
    from sartor import saving

    def write(into: Path) -> None:
        saving.write(into, net, recipe, settled_form(net, recipe, form))
        _write_words(into, recipe.to_json(), narrowed(schema, recipe.backbone.reads), card, readme)

    return _whole(folder, write)


def save_compressed(
    folder: Path, outline: Path, net: Network, recipe: Recipe, schema: Schema, card: dict[str, Any], readme: str
) -> Path:
    """Write a network that the recipe's compressors have left; `outline`: what `compressed.outline` wrote of it
    before."""
    from sartor import compressed

    def write(into: Path) -> None:
        shutil.copytree(outline, into, dirs_exist_ok=True)
        compressed.write(into, net)
        _write_words(into, recipe.to_json(), narrowed(schema, recipe.backbone.reads), card, readme)

    return _whole(folder, write)


def settled_form(net: Network, recipe: Recipe, form: Form | None) -> Form:
    """The form to save in; the method is merged, unless only what changed is asked for. Raises `BadInput`."""
    from sartor.saving import form_of

    if form == "changed":
        return form
    recipe.method.merge(net)
    if form == "merged" and form_of(net) != form:
        raise no_merge(recipe)
    return form_of(net)


def no_merge(recipe: Recipe) -> BadInput:
    fix = "leave --save out, or write --save changed"
    return BadInput("SAVE_MERGED", f"{recipe.method.name} does not fold into the backbone", fix=fix)


def open_together(bundles: Sequence[Bundle]) -> list[Callable[[Rows], Predictions]]:
    """How each of these bundles answers; those that hold only what changed share one backbone's storage in memory.

    Each answers by itself: nothing is switched between them, and they may be asked from several threads at once, one
    thread in each.
    """
    from sartor import saving

    made = [(b, Recipe.from_json(b.recipe)) for b in bundles if saving.is_changed(b.path)]
    nets = saving.reopen_together([(b.path, recipe) for b, recipe in made])
    known = {id(b): network_answer(net, recipe.task) for (b, recipe), net in zip(made, nets, strict=True)}
    return [known.get(id(b), b.answer) for b in bundles]


def _one(bundle: Bundle, name: str, rows: Rows) -> Predictions:
    """What a bundle of several tasks answers to rows of one of them."""
    together = sets.join({name: rows})
    said = bundle.answer(together)
    return replace(bundle.task.members.shares(bundle.task, said, together)[name].said, rows=rows.numbers)


def _save_one(folder: Path, whole: Bundle, alone: Bundle, name: str) -> Path:
    """Write one task of a bundle by itself: the body, and of the head the outputs that are this task's."""
    from torch import nn

    from sartor import saving

    made, recipe = Recipe.from_json(whole.recipe), Recipe.from_json(alone.recipe)
    net = saving.reopen(whole.path, made)
    own, weights = made.task.members.outputs(made.task)[name], net.head.state_dict()
    net.head = nn.Linear(net.body.width, own.stop - own.start)
    net.head.load_state_dict({part: values[own] for part, values in weights.items()})
    card = {key: value for key, value in whole.card.items() if key != "tasks"}
    card |= {**whole.card.get("tasks", {}).get(name, {}), "only": name}
    names = ", ".join(made.task.members.tasks(made.task))
    readme = f"# {name}\n\nOne of the tasks that were trained together by Sartor: {names}.\n"
    form: Form | None = "changed" if saving.is_changed(whole.path) else None
    return save_network(folder, net, recipe, alone.schema, card, readme, form)


def save_baseline(
    folder: Path, task: Task, baseline: Baseline, fitted: Fitted, schema: Schema, card: dict[str, Any], readme: str
) -> Path:
    """Write a fitted baseline as a bundle: arrays as safetensors, everything else as JSON."""
    import numpy as np
    from safetensors.numpy import save_file

    def write(into: Path) -> None:
        state = fitted.state()
        (into / "sartor").mkdir()
        _dump(into / "sartor/baseline.json", state.values)
        arrays = {name: np.ascontiguousarray(value) for name, value in state.arrays.items()}
        save_file(arrays, into / "sartor/baseline.safetensors")
        recipe = {"task": task.to_json(), "baseline": baseline.to_json()}
        _write_words(into, recipe, narrowed(schema, baseline.reads) if baseline.reads else schema, card, readme)

    return _whole(folder, write)


def with_card(source: Path, folder: Path, card: dict[str, Any], readme: str) -> Path:
    """The bundle in `source`, copied to `folder` with its measurements written into it."""

    def write(into: Path) -> None:
        shutil.copytree(source, into, dirs_exist_ok=True)
        (into / MANIFEST).unlink()
        _dump(into / "sartor/card.json", card)
        (into / "README.md").write_text(readme, "utf-8")

    return _whole(folder, write)


def verify(folder: Path) -> None:
    """Every file is listed in the manifest with the hash it has. Raises `BadInput` that names the file."""
    from sartor.pretrained.gate import CODE, sha256

    if not (folder / MANIFEST).is_file():
        fix = "give the folder that `sartor finetune` or `sartor position` wrote, such as runs/NAME/bundle"
        raise BadInput(
            "BUNDLE_NONE", "this is no Sartor bundle: sartor/manifest.json is missing", fix=fix, where=str(folder)
        )
    listed = _read(folder / MANIFEST)
    if listed.get("format") != FORMAT:
        fix = "open it with the version of Sartor that wrote it, or a newer one"
        raise BadInput("BUNDLE_NEW", f"the bundle has format {listed.get('format')}", fix=fix, where=str(folder))
    fix = "copy the bundle again from where it was made"
    files = listed.get("files")
    if not isinstance(files, dict):
        said = "'manifest.json' does not list files and their hashes"
        raise BadInput("BUNDLE_FILE", said, fix=fix, where=str(folder))
    for name in sorted(_files(folder) | set(files)):
        if name not in files or Path(name).suffix in CODE:
            raise BadInput(
                "BUNDLE_EXTRA", f"'{name}' is not in the manifest", fix=f"remove it, or {fix}", where=str(folder)
            )
        if not (folder / name).is_file():
            raise BadInput("BUNDLE_FILE", f"'{name}' is missing", fix=fix, where=str(folder))
        if sha256(folder / name) != files[name]:
            raise BadInput("BUNDLE_HASH", f"'{name}' was changed after the bundle was made", fix=fix, where=str(folder))


def _at_first_use(folder: Path, task: Task, recipe: Mapping[str, Any]) -> Callable[[Rows], Predictions]:
    """The weights are read when the first rows come: what is wrong with the rows is said before a library is loaded."""

    @functools.cache
    def opened() -> Callable[[Rows], Predictions]:
        return _baseline_answer(folder, task, recipe) if "baseline" in recipe else _network_answer(folder, recipe)

    return lambda rows: opened()(rows)


def _network_answer(folder: Path, recipe: Mapping[str, Any]) -> Callable[[Rows], Predictions]:
    from sartor.saving import reopen

    made = Recipe.from_json(dict(recipe))
    return network_answer(reopen(folder, made), made.task, made.objective)


def _baseline_answer(folder: Path, task: Task, recipe: Mapping[str, Any]) -> Callable[[Rows], Predictions]:
    from safetensors.numpy import load_file

    from sartor.baseline import State

    baseline: Baseline = parts.part_from_json("baselines", recipe["baseline"])  # type: ignore[assignment]
    state = State(_read(folder / "sartor/baseline.json"), load_file(folder / "sartor/baseline.safetensors"))
    return baseline.restore(task, state).predict


def _write_words(into: Path, recipe: Mapping[str, Any], schema: Schema, card: Mapping[str, Any], readme: str) -> None:
    (into / "sartor").mkdir(exist_ok=True)
    _dump(into / "sartor/recipe.json", recipe)
    _dump(into / "sartor/schema.json", schema.to_json())
    _dump(into / "sartor/card.json", card)
    (into / "README.md").write_text(readme, "utf-8")


def _whole(folder: Path, write: Callable[[Path], None]) -> Path:
    """Write into a folder beside, sync every file, then rename: a reader sees the old bundle or the new one."""
    from sartor.pretrained.gate import sha256

    folder.parent.mkdir(parents=True, exist_ok=True)
    made = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}"
    made.mkdir()
    try:
        write(made)
        _dump(
            made / MANIFEST, {"format": FORMAT, "files": {name: sha256(made / name) for name in sorted(_files(made))}}
        )
        for name in _files(made) | {MANIFEST}:
            sync(made / name)
        old = folder.parent / f".{folder.name}.old.{uuid.uuid4().hex[:8]}"
        if folder.exists():
            folder.rename(old)
        try:
            made.rename(folder)
        finally:
            if old.exists() and not folder.exists():
                old.rename(folder)
        sync(folder.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def _files(folder: Path) -> set[str]:
    found = {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file() or f.is_symlink()}
    return found - {MANIFEST}


def _dump(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n", "utf-8")


def _read(path: Path) -> dict[str, Any]:
    fix = "copy the bundle again from where it was made"
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        raise BadInput("BUNDLE_FILE", f"'{path.name}' cannot be read", fix=fix, where=str(path.parent.parent)) from None
    if not isinstance(value, dict):
        raise BadInput(
            "BUNDLE_FILE", f"'{path.name}' does not hold a JSON object", fix=fix, where=str(path.parent.parent)
        )
    return value
