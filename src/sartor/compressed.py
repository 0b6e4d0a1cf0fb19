"""Compressed: a network that its compressors have left, on disk and back.

    config.json tokenizer.json ...        what the body's own layout has besides weights
    sartor/compressed.safetensors         every tensor of the network as it is: 8-bit numbers, narrower matrices
    sartor/outline.safetensors            of the plain network: its vectors, which are few
    sartor/outline.json                   and the shapes of its other tensors

To open it the outline is written into a folder of the moment as a plain model, so that every backbone opens it by its
own way; then the compressors make the same modules and shapes again, and the stored tensors take their places. A tensor
of which two fifths or more are zero is stored as a bit for every place and the numbers that are left: NAME::places,
NAME::numbers. Nothing is rounded here.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sartor.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor

    from sartor.network import Network
    from sartor.recipe import Recipe

WEIGHTS = "sartor/compressed.safetensors"
OUTLINE = "sartor/outline"
PLAIN = "model.safetensors"
SPARSE = 0.4
"""Share of zeros from which a bit for every place costs less than the zeros do."""
LEAST = 1024
"""Numbers below which a tensor is stored as it is."""


def is_compressed(folder: Path) -> bool:
    return (folder / WEIGHTS).is_file()


def outline(folder: Path, net: Network, recipe: Recipe) -> None:
    """What the plain network is, before anything is cut away, in `folder`, which exists: all but its weights."""
    from safetensors.torch import load_file, save_file

    from sartor.network import described, laid_down

    layer = laid_down(net.head, folder)
    net.body.save(folder, layer, described(recipe.task, layer))
    if any(file.parent not in (folder, folder / "sartor") for file in folder.rglob("*.safetensors")):
        said = f"{recipe.backbone.name} is saved as several models, and a compressed bundle holds one"
        raise BadInput("COMPRESS_PARTS", said, fix="compress a network of one backbone")
    (folder / "sartor").mkdir(exist_ok=True)
    files = sorted(folder.glob("*.safetensors"))
    tensors = {name: tensor for file in files for name, tensor in load_file(file).items()}
    vectors = {name: t for name, t in tensors.items() if t.ndim < 2}
    shapes = {n: {"shape": list(t.shape), "zero": not bool(t.any())} for n, t in tensors.items() if t.ndim >= 2}
    save_file(vectors, folder / f"{OUTLINE}.safetensors", {"format": "pt"})
    (folder / f"{OUTLINE}.json").write_text(json.dumps(shapes, indent=0) + "\n", "utf-8")
    for file in (*files, *folder.glob("*.safetensors.index.json")):
        file.unlink()


def write(folder: Path, net: Network) -> None:
    """The compressed network's tensors, beside the outline of what it was."""
    from safetensors.torch import save_file

    save_file(packed(net.state_dict()), folder / WEIGHTS, {"format": "pt"})


def reopen(folder: Path, recipe: Recipe) -> Network:
    """The compressed network, ready to answer. Raises `BadInput` where what was stored does not fit."""
    from safetensors.torch import load_file

    from sartor.network import Network, taken_up

    with tempfile.TemporaryDirectory() as made:
        plain = Path(made)
        _filled(folder, plain)
        body = recipe.backbone.reopen(plain, recipe.task.layout)
        net = Network(body, taken_up(recipe.task, body, folder))
    for compressor in recipe.compress:
        compressor.reshape(net)
    try:
        net.load_state_dict(unpacked(load_file(folder / WEIGHTS)), assign=True)
    except (RuntimeError, LookupError) as error:
        fix = "copy the bundle again from where it was made, or compress again"
        said = f"what was stored does not fit: {str(error).splitlines()[-1].strip()}"
        raise BadInput("COMPRESSED_SHAPE", said, fix=fix, where=str(folder)) from None
    return net.requires_grad_(False).eval()


def _filled(folder: Path, plain: Path) -> None:
    """The outline as a plain model: matrices are drawn, or zero where they were, since a body may be known by zeros."""
    import torch
    from safetensors.torch import load_file, save_file

    for file in folder.iterdir():
        if file.is_file():
            shutil.copy(file, plain / file.name)
    shapes: dict[str, Any] = json.loads((folder / f"{OUTLINE}.json").read_text("utf-8"))
    draw = torch.Generator().manual_seed(0)
    tensors = load_file(folder / f"{OUTLINE}.safetensors")
    for name, told in shapes.items():
        drawn = torch.zeros(told["shape"]) if told["zero"] else torch.randn(told["shape"], generator=draw)
        tensors[name] = drawn / math.sqrt(told["shape"][-1])
    save_file(tensors, plain / PLAIN, {"format": "pt"})


def packed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as they are stored."""
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        tensor = tensor.detach().cpu().clone().contiguous()
        if tensor.numel() < LEAST or float((tensor == 0).float().mean()) < SPARSE:
            found[name] = tensor
            continue
        there = tensor.reshape(-1) != 0
        found[f"{name}::places"] = _bits(there)
        found[f"{name}::shape"] = _numbers(tensor.shape)
        found[f"{name}::numbers"] = tensor.reshape(-1)[there]
    return found


def unpacked(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors again."""
    found: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        whole, parted, what = name.partition("::")
        if not parted:
            found[name] = tensor
        elif what == "numbers":
            shape = stored[f"{whole}::shape"].tolist()
            flat = tensor.new_zeros(math.prod(shape))
            flat[_places(stored[f"{whole}::places"], len(flat))] = tensor
            found[whole] = flat.view(shape)
    return found


def _numbers(shape: Any) -> Tensor:
    import torch

    return torch.tensor(list(shape), dtype=torch.int64)


def _bits(there: Tensor) -> Tensor:
    """(N,) truth values -> eight in a byte."""
    import numpy as np
    import torch

    return torch.from_numpy(np.packbits(there.numpy()))


def _places(bits: Tensor, count: int) -> Tensor:
    import numpy as np
    import torch

    return torch.from_numpy(np.unpackbits(bits.numpy(), count=count).astype(bool))
