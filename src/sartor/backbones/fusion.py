"""Several backbones as one, each reading its own kind of column of the same row.

Late: what each gives side by side; cross: with attention over the places of all (Vaswani et al. 2017, arXiv
1706.03762; Tsai et al. 2019, arXiv 1906.00295). In training, each is left out of some rows (Neverova et al. 2016,
ModDrop, arXiv 1501.00102), so that a row of which a text or an image is missing is still answered.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast

from sartor import part as parts
from sartor.backbone import Backbone, anew
from sartor.data.pairs import SIDES
from sartor.errors import BadInput

if TYPE_CHECKING:
    from sartor.body import Body
    from sartor.data.rows import Rows
    from sartor.pretrained.fused import FusedBody
    from sartor.recipe import Plan

SEED = 20_170_706
"""What joins the bodies is drawn the same everywhere."""


@dataclass(frozen=True, kw_only=True)
class Fusion(Backbone):
    """Backbones joined: `of=minilm+convnet`, one with settings in brackets: `of=minilm+(convnet:size=tiny)`."""

    layouts: ClassVar[frozenset[str]] = frozenset({"row", "sides"})

    of: tuple[Backbone, ...] = field(default_factory=lambda: _usual())
    how: Literal["late", "cross"] = "late"
    drop: float = 0.15
    """Share of the training rows that each is left out of, never all of a row's."""
    width: int = 256
    """Of the space in which they meet, for `cross` and for pairs."""
    depth: int = 1
    """Blocks of `cross`."""
    pretrained_rate: float = 0.025
    """Of the plan's rate, for pretrained ones where another is drawn anew."""

    def __post_init__(self) -> None:
        if len(self.of) < 2:
            fix = "write fusion:of=minilm+convnet"
            raise BadInput("FUSION_FEW", f"fusion joins backbones, and {len(self.of)} is given", fix=fix)
        for kind in SIDES:
            twice = [b.name for b in self.of if kind in b.reads]
            if len(twice) > 1:
                said = f"{' and '.join(twice)} both read columns of kind {kind}"
                raise BadInput("FUSION_TWICE", said, fix="join backbones that read different kinds")
        if not 0 <= self.drop < 1:
            raise BadInput("VALUE_RANGE", f"fusion.drop is {self.drop:g}", fix="give at least 0 and below 1")
        if self.width < 8 or self.width % 4:
            raise BadInput("VALUE_RANGE", f"fusion.width is {self.width}", fix="give a multiple of 4, at least 8")
        if self.depth < 1 or not 0 < self.pretrained_rate <= 1:
            fix = "give a depth of at least 1, and a rate above 0 and at most 1"
            raise BadInput("VALUE_RANGE", "fusion.depth or fusion.pretrained_rate is out of range", fix=fix)

    @property
    def reads(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset().union(*(backbone.reads for backbone in self.of))

    def fits(self, kinds: Collection[str]) -> bool:
        return all(backbone.fits(kinds) for backbone in self.of)

    def learn(self, rows: Rows) -> Self:
        return self.with_settings(of=tuple(backbone.learn(rows) for backbone in self.of))

    def trained_on(self) -> Sequence[Mapping[str, Any]]:
        return tuple(told for backbone in self.of for told in backbone.trained_on())

    def plan(self, plan: Plan) -> Plan:
        """Where one is drawn anew, by what that asks for: the least rate, the most epochs."""
        asked = [backbone.plan(type(plan)()) for backbone in self.of]
        drawn = [one for one in asked if one.learning_rate is not None]
        if not drawn:
            return plan
        rate = min(cast(float, one.learning_rate) for one in drawn)
        return anew(plan, rate, max(one.num_train_epochs or 0.0 for one in drawn))

    def build(self, layout: str, fresh: bool = False) -> Body:
        import torch

        bodies = [backbone.build("row", fresh) for backbone in self.of]
        with torch.random.fork_rng(devices=[], enabled=not fresh):
            if not fresh:
                torch.manual_seed(SEED)
            return self._joined(bodies, layout)

    def reopen(self, folder: Path, layout: str) -> Body:
        bodies = [backbone.reopen(folder / f"body-{k}", "row") for k, backbone in enumerate(self.of)]
        return self._joined(bodies, layout).restore(folder)

    def _joined(self, bodies: list[Body], layout: str) -> FusedBody:
        from sartor.pretrained.fused import FusedBody, Joint
        from sartor.recipe import Plan

        drawn = [backbone.plan(Plan()).learning_rate is not None for backbone in self.of]
        slower = [1.0 if new or not any(drawn) else self.pretrained_rate for new in drawn]
        how: Literal["late", "cross", "sides"] = "sides" if layout == "sides" else self.how
        if how == "sides" and len(bodies) != 2:
            said = f"a pair has two sides, and fusion joins {len(bodies)} backbones"
            raise BadInput("FUSION_SIDES", said, fix="join two: fusion:of=minilm+convnet")
        return FusedBody(bodies, Joint(how, self.width, self.depth, self.drop), slower)


def _usual() -> tuple[Backbone, ...]:
    return tuple(cast(Backbone, parts.part("backbones", name)) for name in ("minilm", "convnet"))
