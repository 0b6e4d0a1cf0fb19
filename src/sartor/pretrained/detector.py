"""Bodies that find boxes: a convolutional trunk whose places speak, or a transformer whose queries do.

Legend: B images, H x W pixels, P places or queries of an image, D width, C classes.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sartor.batch import Batch
from sartor.body import Body, Features
from sartor.data.media import Media
from sartor.errors import BadInput
from sartor.pretrained import framing
from sartor.pretrained.augment import Draw
from sartor.pretrained.decoding import pixels
from sartor.pretrained.finding import Neck, PlaceHead, QueryHead, places
from sartor.pretrained.framing import Frame
from sartor.pretrained.gate import admit, read_json
from sartor.pretrained.image import PATCH, follow
from sartor.pretrained.moving import Movement, moved
from sartor.pretrained.text import block_list, put, quiet, refused

FINDER = "sartor/finder.safetensors"
"""What stands behind the trunk, which no class of transformers has a place for."""
BOXES = "boxes"
"""In a batch: (N, M, 5) what is there, as engine/boxes.py has it."""
QUERYING = ("detr", "yolos")
"""Model types whose classes and boxes are said from the decoder's last vectors alone."""


class DetectorBody(Body):
    """What two kinds have in common: images as bytes of one size, whose boxes move with them.

    model   what transformers made; `see` says what its outputs are
    count   P
    """

    reads = frozenset({"image"})
    scale: Tensor
    shift: Tensor
    model: Any

    def __init__(self, frame: Frame, movements: Sequence[Movement], count: int) -> None:
        super().__init__()
        self.frame = frame
        self.movements = tuple(movements)
        self.count = count
        self._heads: dict[str, nn.Module] = {}
        self.few = self._batch(torch.arange(2 * 3 * frame.size[0] * frame.size[1]).byte().view(2, 3, *frame.size))
        self.register_buffer("scale", torch.tensor(frame.scale)[:, None, None], persistent=False)
        self.register_buffer("shift", torch.tensor(frame.shift)[:, None, None], persistent=False)

    @property
    def heads(self) -> Mapping[str, nn.Module]:  # type: ignore[override]
        return self._heads

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> Batch:
        """`image` -> (N, 3, H, W) bytes, each read by P vectors."""
        media: list[Media] = list(columns["image"])
        return self._batch(pixels(media, self.frame))

    def augment(self, batch: Batch, seed: int) -> Batch:
        if not self.movements or BOXES not in batch.dense:
            return batch
        draw = Draw(seed, batch.rows)
        seen, known = moved(batch.dense["pixels"], batch.dense[BOXES], self.movements, draw)
        return replace(batch, dense={**batch.dense, "pixels": seen, BOXES: known})

    def train(self, mode: bool = True) -> DetectorBody:
        follow(self, mode)
        return self

    def facts(self) -> dict[str, Any]:
        """How images are framed."""
        return {"frame": dict(self.frame.said)}

    def _seen(self, batch: Batch) -> Tensor:
        """(B, 3, H, W) normalised."""
        place = next(self.model.parameters()).device
        found: Tensor = batch.dense["pixels"].to(place).float() * self.scale - self.shift
        return found.contiguous(memory_format=torch.channels_last)

    def _batch(self, found: Tensor) -> Batch:
        height, width = self.frame.size
        each = torch.arange(len(found) + 1) * (1 + (height // PATCH) * (width // PATCH))
        counts = torch.full((len(found),), self.count)
        return Batch(torch.arange(len(found)), each, dense={"pixels": found}, counts=counts)


class PlaceBody(DetectorBody):
    """A trunk that transformers calls a backbone, and a neck; every place of its maps speaks."""

    grid: Tensor

    def __init__(self, trunk: Any, neck: Neck, frame: Frame, movements: Sequence[Movement]) -> None:
        grid = places(_sizes(trunk, frame))
        DetectorBody.__init__(self, frame, movements, len(grid))
        self.width: int = neck.width
        self.model = trunk.to(memory_format=torch.channels_last)
        self.neck = neck
        self.neck.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.list = block_list(trunk)
        self.register_buffer("grid", grid, persistent=False)
        self._heads["classifier"] = self.finder(1)

    def forward(self, batch: Batch) -> Features:
        """(B * P, D)"""
        found: Tensor = self.neck(self.model(self._seen(batch)).feature_maps)
        return found.flatten(0, 1)

    def finder(self, classes: int) -> nn.Module:
        return PlaceHead(self.width, classes, self.grid)

    def linears(self) -> list[str]:
        inside = tuple(f"model.{self.list}.{i}." for i in range(len(self.blocks())))
        return [n for n, m in self.named_modules() if isinstance(m, nn.Linear) and n.startswith(inside)]

    def blocks(self) -> list[nn.Module]:
        return list(self.model.get_submodule(self.list)) if self.list else []

    def save(self, folder: Path, head: nn.Module, config: dict[str, Any]) -> None:
        """The trunk in transformers' layout, which its own class loads; the neck and the head beside it."""
        model = copy.deepcopy(self.model).to(memory_format=torch.contiguous_format)
        for name, value in config.items():
            setattr(model.config, name, value)
        with quiet():
            model.save_pretrained(folder)
        self.frame.save(folder)
        rest = {
            f"{part}.{name}": t
            for part, m in (("neck", self.neck), ("head", head))
            for name, t in m.state_dict().items()
        }
        (folder / FINDER).parent.mkdir(exist_ok=True)
        save_file({name: t.detach().cpu().clone().contiguous() for name, t in rest.items()}, folder / FINDER)


class QueryBody(DetectorBody):
    """A detection transformer (Carion et al. 2020, arXiv 2005.12872; Fang et al. 2021, arXiv 2106.00666) up to the
    vectors of its queries."""

    def __init__(self, model: Any, frame: Frame, movements: Sequence[Movement]) -> None:
        count = int(getattr(model.config, "num_queries", None) or model.config.num_detection_tokens)
        DetectorBody.__init__(self, frame, movements, count)
        self.width: int = next(m.in_features for m in model.bbox_predictor.modules() if isinstance(m, nn.Linear))
        self._heads["classifier"] = QueryHead(model.class_labels_classifier, model.bbox_predictor)
        for name in ("class_labels_classifier", "bbox_predictor"):
            put(model, name, nn.Identity())
        self.model = model
        self.list = f"model.{model.base_model_prefix}.{_attending(model.base_model)}"

    def forward(self, batch: Batch) -> Features:
        """(B * P, D)"""
        found: Tensor = self.model.base_model(self._seen(batch)).last_hidden_state
        return found[:, -self.count :].flatten(0, 1)

    def finder(self, classes: int) -> nn.Module:
        """New classes; boxes are said as they were."""
        known = self._heads["classifier"]
        assert isinstance(known, QueryHead)
        return known.renamed(classes)

    def linears(self) -> list[str]:
        inside = re.compile(r"\.layers?\.\d+\.")
        return [n for n, m in self.named_modules() if isinstance(m, nn.Linear) and inside.search(n)]

    def blocks(self) -> list[nn.Module]:
        found: Any = self.get_submodule(self.list)
        return list(found)

    def save(self, folder: Path, head: nn.Module, config: dict[str, Any]) -> None:
        """The transformers layout, which loads unmodified."""
        model = copy.deepcopy(self.model).to(memory_format=torch.contiguous_format)
        for name, value in config.items():
            setattr(model.config, name, value)
        model.num_labels = model.config.num_labels
        parts = (head.classes, head.box) if isinstance(head, QueryHead) else (head, self._box())
        for name, layer in zip(("class_labels_classifier", "bbox_predictor"), parts, strict=True):
            put(model, name, copy.deepcopy(layer))
        with quiet():
            model.save_pretrained(folder)
        self.frame.save(folder)

    def _box(self) -> nn.Module:
        known = self._heads["classifier"]
        assert isinstance(known, QueryHead)
        return known.box


def _attending(model: nn.Module) -> str:
    """The name of the largest list of modules that hold linear layers: those of a trunk hold convolutions."""
    lists = {n: m for n, m in model.named_modules() if isinstance(m, nn.ModuleList)}
    linear = {n: m for n, m in lists.items() if any(isinstance(inner, nn.Linear) for inner in m.modules())}
    return max(linear, default="", key=lambda name: sum(p.numel() for p in linear[name].parameters()))


def _sizes(trunk: Any, frame: Frame) -> list[tuple[int, int]]:
    """Height and width of each map, and of the one that the neck adds."""
    with torch.no_grad():
        maps = trunk.eval()(torch.zeros(1, 3, *frame.size)).feature_maps
    sizes = [(int(m.shape[2]), int(m.shape[3])) for m in maps]
    return [*sizes, (-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2))]


def drawn_detector(
    settings: Mapping[str, Any], width: int, image_size: int, movements: Sequence[Movement], seed: int | None
) -> PlaceBody:
    """A residual trunk and a neck, their weights drawn from `seed`, or from torch's generator as it stands."""
    from transformers import AutoBackbone, AutoConfig

    with torch.random.fork_rng(devices=[], enabled=seed is not None), quiet():
        if seed is not None:
            torch.manual_seed(seed)
        config = AutoConfig.for_model("resnet", **settings)
        trunk = AutoBackbone.from_config(config, dtype=torch.float32)
        return PlaceBody(trunk, Neck(trunk.channels, width), framing.plain(image_size), movements)


def open_detector(
    folder: Path, image_size: int | None, movements: Sequence[Movement], fresh: bool = False
) -> DetectorBody:
    """The detector in `folder`; `image_size`: what every image is warped to, where the folder does not say."""
    admit(folder)
    frame = framing.whole(folder, image_size)
    if (folder / FINDER).is_file():
        return _reopened(folder, frame, movements)
    kind = str(read_json(folder / "config.json").get("model_type"))
    if kind not in QUERYING:
        said = f"'{kind}' is no detection transformer that can be trained here"
        raise BadInput("DETECTOR_TYPE", said, fix=f"give one of the types {', '.join(QUERYING)}", where=str(folder))
    return QueryBody(_transformer(folder, fresh), frame, movements)


def _transformer(folder: Path, fresh: bool) -> Any:
    from transformers import AutoConfig, AutoModelForObjectDetection

    fix = "check that the folder holds a whole detector; save it again with save_pretrained"
    with refused("MODEL_OPEN", "the model cannot be opened", fix, folder), quiet():
        if fresh:
            return AutoModelForObjectDetection.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32)
        return AutoModelForObjectDetection.from_pretrained(
            folder, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )


def _reopened(folder: Path, frame: Frame, movements: Sequence[Movement]) -> PlaceBody:
    """What `PlaceBody.save` wrote."""
    from transformers import AutoBackbone, AutoConfig

    fix = "copy the bundle again from where it was made"
    with refused("MODEL_OPEN", "the model cannot be opened", fix, folder), quiet():
        kind = type(AutoBackbone.from_config(AutoConfig.from_pretrained(folder)))
        trunk = kind.from_pretrained(folder, use_safetensors=True, dtype=torch.float32)
    rest = load_file(folder / FINDER)
    states = [
        {name.removeprefix(f"{part}."): t for name, t in rest.items() if name.startswith(f"{part}.")}
        for part in ("neck", "head")
    ]
    body = PlaceBody(trunk, Neck(trunk.channels, rest["neck.coarser.0.weight"].shape[0]), frame, movements)
    body.neck.load_state_dict(states[0])
    head = body.finder(len(states[1]["classes.bias"]))
    head.load_state_dict(states[1])
    body._heads["classifier"] = head
    return body
