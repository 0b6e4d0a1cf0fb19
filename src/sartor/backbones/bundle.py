"""A saved bundle as the network to go on from: intermediate-task transfer (Phang et al. 2018, arXiv 1811.01088).

Its body with all it has learned; its head stays behind. Rows that it was trained on are no honest test of what is
trained from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sartor import part as parts
from sartor.backbone import Backbone
from sartor.errors import BadInput
from sartor.part import learned

if TYPE_CHECKING:
    from sartor.body import Body

RECIPE, CARD, MANIFEST = "sartor/recipe.json", "sartor/card.json", "sartor/manifest.json"


@dataclass(frozen=True, kw_only=True)
class BundleBackbone(Backbone):
    """The body of the bundle in the folder `path`, verified by the hash of its manifest, which lists every file's."""

    path: str = ""
    """The folder that `sartor finetune` or `sartor position` wrote, such as runs/reviews/bundle."""
    of: Backbone | None = learned(None)  # noqa: RUF009
    """The backbone that the bundle was trained from: it knows how to open what was saved."""
    sha256: str = learned("")

    def __post_init__(self) -> None:
        if self.path and self.of is None:
            folder = Path(self.path).expanduser()
            object.__setattr__(self, "of", _origin(folder))
            object.__setattr__(self, "sha256", _hash(folder))

    @property
    def reads(self) -> frozenset[str]:  # type: ignore[override]
        return self._origin().reads

    @property
    def layouts(self) -> frozenset[str]:  # type: ignore[override]
        return self._origin().layouts

    def origin(self) -> str:
        return self.path

    def trained_on(self) -> Sequence[Mapping[str, Any]]:
        told = _read(Path(self.path).expanduser(), CARD).get("data")
        return (*([told] if isinstance(told, dict) else []), *self._origin().trained_on())

    def build(self, layout: str, fresh: bool = False) -> Body:
        from sartor.bundle import verify
        from sartor.saving import is_changed

        if fresh:
            return self._origin().build(layout, fresh=True)
        folder, origin = Path(self.path).expanduser(), self._origin()
        verify(folder)
        if _hash(folder) != self.sha256:
            fix = "start again, or bring back the bundle that was there"
            raise BadInput(
                "BACKBONE_CHANGED", "another bundle lies here than the run began from", fix=fix, where=self.path
            )
        return _folded(folder, layout) if is_changed(folder) else origin.reopen(folder, layout)

    def reopen(self, folder: Path, layout: str) -> Body:
        return self._origin().reopen(folder, layout)

    def _origin(self) -> Backbone:
        if self.of is None:
            fix = "write --backbone bundle:path=FOLDER, such as bundle:path=runs/reviews/bundle"
            raise BadInput("BACKBONE_PATH", "the bundle has no path", fix=fix)
        return self.of


def _folded(folder: Path, layout: str) -> Body:
    """The body of a bundle that keeps only what changed, its method folded in."""
    from sartor.recipe import Recipe
    from sartor.saving import reopen

    made = Recipe.from_json(_read(folder, RECIPE))
    net = reopen(folder, made)
    made.method.merge(net)
    fix = f"train from {made.backbone.spelled()}"
    if net.inserted():
        message = f"what {made.method.name} inserted does not fold into the body"
        raise BadInput("BACKBONE_INSERTED", message, fix=fix, where=str(folder))
    if made.task.layout != layout:
        message = f"what changed is kept for answers by {made.task.layout}, and those by {layout} are asked for"
        raise BadInput("BACKBONE_LAYOUT", message, fix=f"{fix}, or save the bundle merged", where=str(folder))
    return net.body


def _origin(folder: Path) -> Backbone:
    """The backbone in the recipe of the bundle. Raises `BadInput` where there is none."""
    recipe = _read(folder, RECIPE)
    if "baseline" in recipe:
        name = recipe["baseline"].get("part")
        fix = "give the bundle of a network, such as one that `sartor finetune` wrote"
        raise BadInput(
            "BACKBONE_BASELINE", f"the bundle is of the baseline {name}, which has no body", fix=fix, where=str(folder)
        )
    return cast(Backbone, parts.part_from_json("backbones", recipe["backbone"]))


def _read(folder: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads((folder / name).read_text("utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        fix = "give the folder that `sartor finetune` or `sartor position` wrote, such as runs/NAME/bundle"
        raise BadInput("BUNDLE_NONE", f"this is no Sartor bundle: {name} cannot be read", fix=fix, where=str(folder))
    return found


def _hash(folder: Path) -> str:
    """sha256 of the manifest."""
    import hashlib

    _read(folder, MANIFEST)
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
