"""Bundle: the saved result, deployable. Its root is the transformers layout; Sartor's own files lie in `sartor/`.

    config.json model.safetensors tokenizer.json ...      loads with AutoModelForSequenceClassification, unmodified
    README.md                                             the model card, filled from measurements
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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sartor import part as parts
from sartor.data.rows import Rows, Schema
from sartor.data.schema import narrowed
from sartor.disk import sync
from sartor.errors import BadInput
from sartor.predictions import Predictions
from sartor.recipe import Recipe
from sartor.task import Task

if TYPE_CHECKING:
    from sartor.baseline import Baseline, Fitted
    from sartor.network import Network
    from sartor.objective import Objective

FORMAT = 1
MANIFEST = "sartor/manifest.json"


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
        """One dict per row: `prediction`, and `probabilities` by label where there are any.

        `rows`: texts, paths of images, dicts, a pandas, pyarrow or `datasets` table, or a file that `sartor.data.read`
        can read.
        """
        return as_dicts(self.answer(self.rows(rows)))

    def rows(self, source: Any) -> Rows:
        """Any source of data in the shape this bundle was trained on."""
        from sartor.data.read import read

        if isinstance(source, Rows):
            return source
        if isinstance(source, Sequence) and not isinstance(source, str) and source and isinstance(source[0], str):
            names = [n for n in self.schema.inputs if self.schema.kind(n) in ("text", "image", "audio")]
            if len(names) != 1:
                fix = f"give dicts with the keys: {', '.join(self.schema.inputs)}"
                said = "plain texts fit only a bundle that reads one column of texts or of files"
                raise BadInput("PREDICT_ROWS", said, fix=fix)
            source = [{names[0]: text} for text in source]
        return read(source, like=self.schema, serving=True)

    def _repr_html_(self) -> str:
        import html

        shown = html.escape(json.dumps(self.recipe, indent=1)[:4000])
        return f"<p><b>Sartor bundle</b> {html.escape(str(self.path))}</p><pre>{shown}</pre>"


def as_dicts(predictions: Predictions) -> list[dict[str, Any]]:
    """Predictions as plain values, one dict per row."""
    out: list[dict[str, Any]] = []
    for i, value in enumerate(predictions.values.tolist()):
        row: dict[str, Any] = {"prediction": list(value) if isinstance(value, tuple) else value}
        if predictions.probabilities is not None:
            row["probabilities"] = dict(zip(predictions.labels, predictions.probabilities[i].tolist(), strict=True))
        out.append(row)
    return out


def network_answer(net: Network, task: Task, objective: Objective | None = None) -> Callable[[Rows], Predictions]:
    """The deployed path of a network: encode, forward, answer; in 32 bits, so that plain transformers says the same.

    With an objective that learns from examples, those among the rows are learned from first."""
    from sartor.engine.features import outputs

    def answer(rows: Rows) -> Predictions:
        batch = task.encode(rows, net.body)
        learned = {} if objective is None else objective.adapted(net, task, batch)
        return task.answer(outputs(net, batch, learned=learned), rows)

    return answer


def save_network(folder: Path, net: Network, recipe: Recipe, schema: Schema, card: dict[str, Any], readme: str) -> Path:
    """Write a trained network, its method merged, as a bundle; the folder appears whole or not at all."""

    def write(into: Path) -> None:
        recipe.method.merge(net)
        net.body.save(into, net.head, recipe.task.describe())
        _write_words(into, recipe.to_json(), narrowed(schema, recipe.backbone.reads), card, readme)

    return _whole(folder, write)


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
    from sartor.network import reopen

    made = Recipe.from_json(dict(recipe))
    return network_answer(reopen(made.task, made.backbone, folder), made.task, made.objective)


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
