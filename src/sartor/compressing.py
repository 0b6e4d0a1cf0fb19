"""Compressing: a bundle's network through its compressors, one after the other, and what is left as a bundle."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sartor.errors import BadInput

if TYPE_CHECKING:
    from sartor.bundle import Bundle
    from sartor.compressor import Compressor
    from sartor.data.rows import Rows
    from sartor.network import Network
    from sartor.recipe import Recipe

Said = Callable[[str], None]


@dataclass
class Work:
    """A network under compression.

    outline  a folder that holds what the plain network was besides its weights
    facts    what each compressor says of what it did, by its spelling
    """

    net: Network
    recipe: Recipe
    outline: Path
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)


def refuse(bundle: Bundle, compressors: Sequence[Compressor]) -> Recipe:
    """The recipe of a bundle that these compressors can take. Raises `BadInput` before any work."""
    from sartor.recipe import Recipe

    if "baseline" in bundle.recipe:
        fix = "compress a bundle that holds a network"
        said = f"the bundle holds the baseline '{bundle.recipe['baseline']['part']}', which has no weights to cut"
        raise BadInput("COMPRESS_BASELINE", said, fix=fix, where=str(bundle.path))
    recipe = Recipe.from_json(bundle.recipe)
    if not compressors:
        fix = "name one: --with quantize (sartor show compressors)"
        raise BadInput("COMPRESS_NONE", "no compressor is named", fix=fix)
    chain = [*recipe.compress, *compressors]
    for before, after in itertools.pairwise(chain):
        if before.last:
            fix = f"put {before.name} last, or compress the bundle that it was made from"
            said = f"nothing can be cut after {before.name}, and {after.name} comes after it"
            raise BadInput("COMPRESS_ORDER", said, fix=fix, where=str(bundle.path))
    return recipe


def compressed_work(
    bundle: Bundle, recipe: Recipe, compressors: Sequence[Compressor], rows: Rows, outline: Path, say: Said
) -> Work:
    """The bundle's network, opened and compressed on `rows`; `outline` is an empty folder."""
    from sartor import compressed
    from sartor.saving import reopen

    net = reopen(bundle.path, recipe)
    if compressed.is_compressed(bundle.path):
        _copied_outline(bundle.path, outline)
    else:
        recipe.method.merge(net)
        _refuse_inserted(net, recipe, bundle)
        compressed.outline(outline, net, recipe)
    net.requires_grad_(False)
    work = Work(net, recipe, outline)
    for compressor in compressors:
        say(compressor.spelled())
        made = compressor.compress(net, work.recipe, rows)
        work.facts[compressor.spelled()] = made.facts(net)
        work.recipe = dataclasses.replace(work.recipe, compress=(*work.recipe.compress, made))
    return work


def compress(
    bundle: Bundle, compressors: Sequence[Compressor], rows: Rows, folder: Path, say: Said = lambda _: None
) -> Bundle:
    """A smaller bundle in `folder`, made from `bundle` on the labelled `rows`. Raises `BadInput`."""
    from sartor.bundle import Bundle, save_compressed

    recipe = refuse(bundle, compressors)
    with tempfile.TemporaryDirectory() as made:
        work = compressed_work(bundle, recipe, compressors, rows, Path(made), say)
        card = {**bundle.card, "compression": work.facts}
        readme = (bundle.path / "README.md").read_text("utf-8") if (bundle.path / "README.md").is_file() else ""
        save_compressed(folder, Path(made), work.net, work.recipe, bundle.schema, card, readme)
    return Bundle.load(folder)


def _copied_outline(source: Path, outline: Path) -> None:
    from sartor import compressed

    for file in source.iterdir():
        if file.is_file():
            shutil.copy(file, outline / file.name)
    (outline / "sartor").mkdir(exist_ok=True)
    for file in (source / compressed.OUTLINE).parent.glob("outline.*"):
        shutil.copy(file, outline / "sartor" / file.name)


def _refuse_inserted(net: Network, recipe: Recipe, bundle: Bundle) -> None:
    if net.inserted():
        fix = "train with a method that folds away: full, lora or bitfit"
        said = f"{recipe.method.name} does not fold into its backbone, so the network cannot be compressed"
        raise BadInput("COMPRESS_METHOD", said, fix=fix, where=str(bundle.path))
